"""A small network and pictures that move by a known number of pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from scalable_binding.flow import model
from scalable_binding.flow.model import FlowNet

ARGUMENTS = {"widths": (8, 12, 16, 24), "width": 16, "radius": 2, "head": 8}


def network(seed: int = 0, **changes: object) -> FlowNet:
    return model.draw(seed, **(ARGUMENTS | changes)).eval()


def texture(height: int, width: int, seed: int = 0) -> Tensor:
    """Coarse and fine noise, uint8."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(1, 3, height, width)
    for cell in (16, 4):
        noise = torch.rand(1, 3, height // cell + 2, width // cell + 2, generator=generator)
        fine = torch.nn.functional.interpolate(noise, scale_factor=float(cell), mode="bilinear")
        total += fine[..., :height, :width] / 2
    return (total[0] * 255).byte()


def shifted(right: int, down: int, size: tuple[int, int] = (64, 96), seed: int = 0) -> Tensor:
    """Two frames (2 3 h w): what is at (x, y) in the first is at (x + right, y + down) then."""
    margin = 32
    whole = texture(size[0] + 2 * margin, size[1] + 2 * margin, seed)
    cuts = []
    for x, y in ((0, 0), (-right, -down)):
        cuts.append(whole[:, margin + y : margin + y + size[0], margin + x : margin + x + size[1]])
    return torch.stack(cuts)
