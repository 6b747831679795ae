"""Each target gives x and eps back; weights do not depend on which one is predicted."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scalable_binding.diffusion import targets
from scalable_binding.diffusion.targets import Target

KINDS: tuple[Target, ...] = ("eps", "x", "v")


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, eps = torch.randn(2, 4, 3, 5, 6, generator=generator, dtype=torch.float64)
    return x, eps


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("gamma", [torch.tensor([0.999, 0.7, 0.2, 1e-3]), torch.tensor(0.4)])
def test_a_perfect_prediction_gives_signal_and_noise_back(
    pair: tuple[Tensor, Tensor], gamma: Tensor, target: Target
) -> None:
    x, eps = pair
    gamma = gamma.double()
    x_t = targets.add_noise(x, eps, gamma)
    prediction = targets.from_x(x, eps, gamma, target)
    torch.testing.assert_close(targets.to_x(prediction, x_t, gamma, target), x)
    torch.testing.assert_close(targets.to_eps(x, x_t, gamma), eps)


def test_noised_signals_have_the_stated_mean_and_deviation() -> None:
    generator = torch.Generator().manual_seed(0)
    eps = torch.randn(3, 100_000, generator=generator)
    x_t = targets.add_noise(torch.ones(3, 100_000), eps, torch.tensor([1.0, 0.64, 0.0]))
    torch.testing.assert_close(x_t.mean(1), torch.tensor([1.0, 0.8, 0.0]), atol=0.02, rtol=0)
    torch.testing.assert_close(x_t.std(1), torch.tensor([0.0, 0.6, 1.0]), atol=0.02, rtol=0)


def test_a_single_gamma_of_double_precision_leaves_the_signal_single() -> None:
    x = torch.ones(2, 3)
    assert targets.add_noise(x, x, torch.tensor(0.5, dtype=torch.float64)).dtype == torch.float32


@pytest.mark.parametrize("bound", [1.0, 0.4])
def test_pictures_are_scaled_and_back(bound: float) -> None:
    images = torch.tensor([[0.0, 0.25, 1.0]])
    signals = targets.scale(images, bound)
    torch.testing.assert_close(signals, bound * torch.tensor([[-1.0, -0.5, 1.0]]))
    torch.testing.assert_close(targets.unscale(signals, bound), images)
    assert targets.unscale(torch.tensor([[-9.0, 9.0]]), bound).tolist() == [[0.0, 1.0]]


def test_signals_are_clipped_to_the_bound() -> None:
    x = torch.tensor([[-3.0, 0.1, 3.0]])
    torch.testing.assert_close(targets.clip(x, 0.5), torch.tensor([[-0.5, 0.1, 0.5]]))
    assert targets.clip(x, None) is x


def test_weighted_errors_are_the_same_for_every_target() -> None:
    generator = torch.Generator().manual_seed(0)
    x, eps, guess = torch.randn(3, 5, 8, generator=generator, dtype=torch.float64)
    gamma = torch.tensor([0.999, 0.9, 0.5, 0.1, 0.001], dtype=torch.float64)
    x_t = targets.add_noise(x, eps, gamma)
    losses = []
    for target in KINDS:
        guessed = targets.from_x(guess, targets.to_eps(guess, x_t, gamma), gamma, target)
        errors = (guessed - targets.from_x(x, eps, gamma, target)) ** 2
        losses.append(targets.min_snr_weight(gamma, target) * errors.mean(1))
    expected = (gamma / (1 - gamma)).clamp(max=5.0) * ((guess - x) ** 2).mean(1)
    for loss in losses:
        torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("target", KINDS)
def test_weighted_errors_know_the_input_scale(target: Target) -> None:
    generator = torch.Generator().manual_seed(0)
    x, eps, guess = torch.randn(3, 4, 8, generator=generator, dtype=torch.float64)
    gamma, b = torch.tensor([0.999, 0.9, 0.5, 0.1], dtype=torch.float64), 0.1
    x, guess = b * x, b * guess
    x_t = targets.add_noise(x, eps, gamma)
    guessed = targets.from_x(guess, targets.to_eps(guess, x_t, gamma), gamma, target)
    errors = (guessed - targets.from_x(x, eps, gamma, target)).square().mean(1)
    if target == "x":
        errors = errors / b**2
    expected = (b**2 * gamma / (1 - gamma)).clamp(max=5.0) * (guess - x).square().mean(1) / b**2
    weights = targets.min_snr_weight(gamma, target, bound=b)
    torch.testing.assert_close(weights * errors, expected)


@pytest.mark.parametrize("target", KINDS)
def test_weights_are_finite_at_both_ends(target: Target) -> None:
    weights = targets.min_snr_weight(torch.tensor([0.0, 1.0]), target)
    assert weights.isfinite().all() and (weights >= 0).all()
