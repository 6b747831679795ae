"""Discrete data as bits: back and forth, and generated beside continuous data."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from scalable_binding.engine.fit_config import EmaConfig, FitConfig, OptimizerConfig
from scalable_binding.errors import UserError
from scalable_binding.rin import inference, train
from scalable_binding.rin.bits import from_bits, to_bits
from scalable_binding.rin.config import DiffusionConfig, ModelConfig, RINConfig
from scalable_binding.rin.sampling_config import SamplingConfig


def test_numbers_survive_their_bits() -> None:
    numbers = torch.arange(32).view(2, 4, 4)
    bits = to_bits(numbers, 5)
    assert bits.shape == (2, 5, 4, 4) and set(bits.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(from_bits(bits), numbers)
    assert torch.equal(from_bits(0.3 * bits + 0.2), numbers)
    assert bits[1, :, 0, 1].tolist() == [1, -1, -1, -1, 1]
    assert torch.equal(to_bits(numbers.byte(), 5), bits)
    assert to_bits(torch.tensor([6]), 3).tolist() == [[1, 1, -1]]


@pytest.mark.parametrize("wrong", [[8], [-1]])
def test_numbers_that_need_more_bits_are_refused(wrong: list[int]) -> None:
    with pytest.raises(UserError, match="expected 0 to 7"):
        to_bits(torch.tensor(wrong), 3)


class Pairs:
    """A number of 0 to 3 at every place, and a level that belongs to it."""

    levels = torch.tensor([-0.9, -0.3, 0.3, 0.9])

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(index)
        number = torch.randint(0, 4, (), generator=generator).expand(4)
        return {"number": number, "level": self.levels[number]}


def encode(batch: dict[str, Tensor]) -> Tensor:
    return torch.cat([batch["level"][:, None], to_bits(batch["number"], 2)], dim=1)


@pytest.mark.slow
def test_discrete_and_continuous_data_are_generated_together(tmp_path: Path) -> None:
    """Each sampled number comes with the level that belongs to it, and each number comes."""
    config = RINConfig(
        model=ModelConfig(
            size=(4,),
            channels=3,
            patch=(1,),
            num_latents=4,
            latent_width=32,
            interface_width=32,
            num_blocks=1,
            num_layers=1,
            num_heads=4,
            cross_heads=4,
        ),
        fit=FitConfig(
            steps=500,
            batch_size=64,
            optimizer=OptimizerConfig(name="adamw", lr=3e-3),
            ema=EmaConfig(decay=0.99),
            progress=False,
        ),
    )
    network = train.train_on(Pairs(), config, tmp_path / "run", encode=encode)
    pretrained = inference.Pretrained(model=network, diffusion=DiffusionConfig())
    *_, state = inference.sample(pretrained, 128, SamplingConfig(steps=50))
    numbers = from_bits(state.x0[:, 1:])
    fits = (Pairs.levels[numbers] - state.x0[:, 0]).abs() < 0.3
    assert fits.float().mean() > 0.9
    assert all((numbers == number).any() for number in range(4))
    assert ((numbers == numbers[:, :1]).float().mean()) > 0.9
