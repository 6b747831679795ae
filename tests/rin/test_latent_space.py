"""Diffusion in the codes of an autoencoder."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from scalable_binding.data.datasets.digits import Digits
from scalable_binding.engine.config import override
from scalable_binding.rin import inference, latent_space, objective, train
from scalable_binding.rin.latent_space import Autoencoder
from scalable_binding.rin.presets import debug
from scalable_binding.rin.sampling_config import SamplingConfig


class Halves:
    """Codes of two channels and half the side: the mean of 2 x 2 pixels, thrice and shifted."""

    def encode(self, pictures: Tensor) -> Tensor:
        means = functional.avg_pool2d(pictures, 2)
        return torch.cat([3 * means + 1, means.flip(-1)], dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        return functional.interpolate((codes[:, :1] - 1) / 3, scale_factor=2.0)


def batch(num: int = 300) -> dict[str, Tensor]:
    items = [Digits()[i] for i in range(num)]
    return {name: torch.stack([item[name] for item in items]) for name in ("image", "label")}


def test_codes_are_standardized_and_come_back() -> None:
    assert isinstance(Halves(), Autoencoder)
    space = latent_space.measure(Halves(), batch())
    codes = space(batch())
    assert codes.shape == (300, 2, 4, 4)
    mean, std = codes.mean(dim=(0, 2, 3)), codes.std(dim=(0, 2, 3))
    torch.testing.assert_close(mean, torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(std, torch.ones(2), atol=1e-3, rtol=0)
    expected = Halves().decode(Halves().encode(objective.pictures(batch())))
    torch.testing.assert_close(space.decode(codes), expected)
    assert space.decode(9 * codes).abs().max() <= 1


def test_a_network_learns_codes_and_its_samples_are_decoded(tmp_path: Path) -> None:
    space = latent_space.measure(Halves(), batch())
    config = override(
        debug(),
        {
            "model.size": "4,4",
            "model.channels": "2",
            "diffusion.clip": "false",
            "fit.steps": "20",
            "fit.progress": "false",
            "fit.save_every": "20",
        },
    )
    held = batch(60)
    before = objective.held_out_loss(train.build(config), held, config.diffusion, encode=space)
    network = train.train_on(Digits(), config, tmp_path / "run", encode=space)
    assert objective.held_out_loss(network, held, config.diffusion, encode=space) < 0.8 * before
    pretrained = inference.load(tmp_path / "run")
    *_, state = inference.sample(pretrained, 2, SamplingConfig(steps=2), classes=[3, 5])
    assert state.x0.abs().max() > 1  # codes are not clipped as pictures are
    assert space.decode(state.x0 / config.diffusion.scale).shape == (2, 1, 8, 8)
