"""Noise is a sample's own."""

from __future__ import annotations

import torch

from scalable_binding.diffusion import noises


def test_noise_depends_on_seed_and_number_alone() -> None:
    whole = noises.sample_noise(noises.generators(3, range(4)), (2, 5))
    assert whole.shape == (4, 2, 5)
    assert torch.equal(noises.sample_noise(noises.generators(3, [2]), (2, 5))[0], whole[2])
    assert not torch.equal(noises.sample_noise(noises.generators(4, [2]), (2, 5))[0], whole[2])


def test_noise_is_standard_normal_and_unrelated_between_samples() -> None:
    noise = noises.sample_noise(noises.generators(0, range(8)), (20_000,))
    torch.testing.assert_close(noise @ noise.T / 20_000, torch.eye(8), atol=0.05, rtol=0)


def test_one_generator_serves_a_whole_batch() -> None:
    x = torch.zeros(4, 3, dtype=torch.float64)
    drawn = noises.sample_noise_like(x, torch.Generator().manual_seed(0))
    assert drawn.dtype == torch.float64
    expected = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.equal(drawn, expected)
