"""Inpainting: known values are kept, and the others follow from them where they must."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from scalable_binding.diffusion import samplers, targets
from scalable_binding.diffusion.inpainting import with_known
from scalable_binding.diffusion.schedules import Sigmoid
from scalable_binding.diffusion.targets import Target, to_eps


def average(x_t: Tensor, gamma: Tensor, carry: Any, target: Target) -> tuple[Tensor, Any]:
    """The denoiser of signals whose two numbers are equal and standard normal.

    Given both, ``x0 = sqrt(gamma) (a + b) / (1 + gamma)``.
    """
    total = x_t.sum(dim=1, keepdim=True) * gamma.sqrt()[:, None] / (1 + gamma)[:, None]
    x0 = total.expand_as(x_t)
    return targets.from_x(x0, to_eps(x0, x_t, gamma), gamma, target), carry


@pytest.mark.parametrize("target", ["eps", "x", "v"])
@pytest.mark.parametrize("rule", ["ddpm", "ddim"])
def test_known_values_are_kept_and_the_others_agree_with_them(rule: str, target: Target) -> None:
    noise = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
    values = torch.linspace(-1.5, 1.5, 400)[:, None].expand(-1, 2)
    known = torch.tensor([True, False]).expand(400, 2)

    def denoise(x_t: Tensor, gamma: Tensor, carry: Any) -> tuple[Tensor, Any]:
        return average(x_t, gamma, carry, target)

    conditioned = with_known(denoise, values, known, target)
    named: dict[str, Any] = {"target": target, "bound": None}
    if rule == "ddpm":
        generator = torch.Generator().manual_seed(1)
        states = samplers.ddpm(conditioned, noise, Sigmoid(), 200, generator, **named)
    else:
        states = samplers.ddim(conditioned, noise, Sigmoid(), 200, **named)
    found = samplers.last(states)
    torch.testing.assert_close(found[:, 0], values[:, 0], atol=1e-3, rtol=0)
    correlation = torch.corrcoef(found.T)[0, 1]
    assert correlation > (0.95 if rule == "ddpm" else 0.8)
