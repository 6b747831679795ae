"""A tiny network and a tiny batch."""

from __future__ import annotations

import torch

from scalable_binding.permanence import model
from scalable_binding.permanence.model import SpatialMemory


def network(*, memory: bool = True, seed: int = 0) -> SpatialMemory:
    arguments = {"widths": (4, 6), "width": 6, "node_width": 5, "side": 32}
    return model.draw(seed, **arguments, memory=memory)


def batch(seed: int = 0, *, b: int = 2, t: int = 5, o: int = 3) -> dict[str, torch.Tensor]:
    """Random frames and boxes; in every clip the last object is missing and one is hidden twice."""
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randint(0, 256, (b, t, 3, 32, 32), generator=generator, dtype=torch.uint8)
    low = 20 * torch.rand(b, t, o, 2, generator=generator)
    size = 4 + 6 * torch.rand(b, t, o, 2, generator=generator)
    visible = torch.ones(b, t, o, dtype=torch.bool)
    visible[:, 2:4, 0] = False
    exists = torch.ones(b, o, dtype=torch.bool)
    exists[:, -1] = False
    boxes = torch.cat([low, low + size], dim=-1)
    return {"frames": frames, "boxes": boxes, "visible": visible, "exists": exists}
