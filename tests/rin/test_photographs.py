"""A gate on pictures: a briefly trained network sees more than any linear filter of a patch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from scalable_binding.diffusion import targets
from scalable_binding.engine.config import override
from scalable_binding.rin import inference, train
from scalable_binding.rin.config import RINConfig
from scalable_binding.rin.presets import images32

SIDE, PATCH = 16, 4
TRAINED_ON = ("astronaut.png", "chelsea.png", "camera.png", "rocket.jpg", "moon.png", "coins.png")
HELD_OUT = ("coffee.png", "motorcycle_left.png")
SHARES = (0.9, 0.6, 0.3)
"""Of signal in the noise, at which the filter and the network are compared."""


def photographs(names: tuple[str, ...]) -> list[Float[Tensor, "1 1 h w"]]:
    """Gray photographs that scikit-image brings along, at half their size, in [-1, 1]."""
    folder = Path(pytest.importorskip("skimage").__file__).parent / "data"
    found = []
    for name in names:
        picture = Image.open(folder / name).convert("L")
        small = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BOX)
        values = torch.tensor(list(small.tobytes()), dtype=torch.uint8)
        found.append(values.view(1, 1, small.height, small.width))
    return found


class Crops(Dataset[dict[str, Tensor]]):
    """Endless crops of photographs, a function of the index."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.pictures = photographs(names)

    def __getitem__(self, index: int) -> dict[str, UInt8[Tensor, "1 h w"]]:
        generator = torch.Generator().manual_seed(index)
        whole = self.pictures[index % len(self.pictures)][0]
        top, left = (
            int(torch.randint(side - SIDE + 1, (), generator=generator))
            for side in whole.shape[-2:]
        )
        return {"image": whole[:, top : top + SIDE, left : left + SIDE]}


def settings(steps: int) -> RINConfig:
    """The preset ``images32``, narrow and short."""
    changes = {"model.size": f"{SIDE},{SIDE}", "model.patch": f"{PATCH},{PATCH}"}
    changes |= {"model.channels": "1", "model.num_latents": "17", "model.latent_width": "64"}
    changes |= {"model.interface_width": "64", "model.num_heads": "4", "model.cross_heads": "4"}
    changes |= {"model.num_blocks": "2", "fit.steps": str(steps), "fit.batch_size": "64"}
    changes |= {"fit.progress": "false", "fit.schedule.warm_up": "50", "fit.ema.decay": "0.99"}
    return replace(override(images32(), changes), sample_every=0)


def error_of_filter(signals: Float[Tensor, "n 1 h w"], share: float) -> float:
    """The mean squared error of the best linear filter of a patch, fitted to these very signals."""
    patches = rearrange(signals, "n c (h p) (w q) -> (n h w) (c p q)", p=PATCH, q=PATCH)
    variances = torch.linalg.eigvalsh(torch.cov(patches.mT.double())).clamp(min=0)
    return float((variances * (1 - share) / (share * variances + 1 - share)).mean())


@torch.no_grad()
def error_of_network(
    pretrained: inference.Pretrained, signals: Float[Tensor, "n 1 h w"], share: float
) -> float:
    """The mean squared error of the signal that the network expects, after a first look."""
    denoise = inference.denoiser(pretrained)
    noise = torch.randn(signals.shape, generator=torch.Generator().manual_seed(0))
    gamma = torch.full((len(signals),), share)
    x_t = targets.add_noise(signals, noise, gamma)
    _, carry = denoise(x_t, gamma, None)
    prediction, _ = denoise(x_t, gamma, carry)
    found = targets.to_x(prediction, x_t, gamma, pretrained.diffusion.target)
    return float(functional.mse_loss(found, signals))


@pytest.mark.slow
def test_a_network_sees_more_than_the_best_linear_filter_of_a_patch(tmp_path: Path) -> None:
    config = settings(steps=400)
    network = train.train_on(Crops(TRAINED_ON), config, tmp_path / "run")
    held_out = Crops(HELD_OUT)
    signals = torch.stack([held_out[index]["image"] for index in range(256)]).float() / 127.5 - 1
    pretrained = inference.Pretrained(model=network, diffusion=config.diffusion)
    for share in SHARES:
        error = error_of_network(pretrained, signals, share)
        assert error < 0.9 * error_of_filter(signals, share)
