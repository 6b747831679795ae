"""Refinement: beside slow loops, fractions of a pixel, changes of light, and what is hidden."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from flow.small import texture
from reference import refinement as reference
from scalable_binding.flow import refinement


def gray(height: int, width: int, seed: int, blur: int = 5) -> torch.Tensor:
    maps = texture(height, width, seed)[None].float().mean(dim=1, keepdim=True) / 255
    return functional.avg_pool2d(maps, blur, 1, blur // 2, count_include_pad=False)


def moved(maps: torch.Tensor, right: float, down: float) -> torch.Tensor:
    """The image whose content lies that many pixels to the right and down."""
    height, width = maps.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([(2 * (x - right) + 1) / width, (2 * (y - down) + 1) / height], dim=-1) - 1
    return functional.grid_sample(
        maps, places[None], mode="bicubic", padding_mode="border", align_corners=False
    )


def constant(right: float, down: float, size: tuple[int, int]) -> torch.Tensor:
    return torch.tensor([right, down]).view(1, 2, 1, 1).expand(1, 2, *size).contiguous()


@pytest.mark.parametrize("size", [(24, 32), (21, 27)])
def test_a_step_solves_the_equations_of_slow_loops(size):
    first, second = gray(*size, 0), gray(*size, 1)
    flow = 3 * torch.randn(1, 2, *size, generator=torch.Generator().manual_seed(0))
    found = refinement.least_squares_step(first, second, flow)
    expected = reference.least_squares_step(first[0, 0], second[0, 0], flow[0])
    torch.testing.assert_close(found[0], expected, atol=1e-4, rtol=1e-3)


def test_fractions_of_a_pixel_are_found():
    first = gray(64, 96, 0)
    second = moved(first, 1.3, -0.6)
    flow = constant(1.0, 0.0, (64, 96))
    for _ in range(4):
        flow = refinement.least_squares_step(first, second, flow)
    error = (flow - constant(1.3, -0.6, (64, 96))).norm(dim=1)[:, 8:-8, 8:-8]
    assert error.mean() < 0.1


def test_light_that_changes_slowly_moves_nothing():
    first = gray(64, 96, 0)
    ramp = torch.linspace(0, 0.2, 96)
    flow = refinement.least_squares_step(first, first + ramp, constant(0.0, 0.0, (64, 96)))
    assert flow[..., 12:-12, 12:-12].abs().mean() < 0.05


def test_without_texture_nothing_moves():
    flat = torch.full((1, 1, 32, 32), 0.5)
    flow = constant(2.0, 1.0, (32, 32))
    torch.testing.assert_close(refinement.least_squares_step(flat, flat, flow), flow)


def test_hidden_pixels_take_what_is_around():
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(56.0), indexing="ij")
    truth = torch.stack([0.1 * x, 0.05 * y])[None]
    known = torch.ones(1, 40, 56, dtype=torch.bool)
    known[:, 10:20, 20:32] = False
    wrong = torch.where(known[:, None], truth, torch.tensor(50.0))
    filled = refinement.fill(wrong, known)
    torch.testing.assert_close(filled[:, :, known[0]], truth[:, :, known[0]])
    assert (filled - truth).abs().max() < 1.0


def test_where_nothing_is_known_displacements_are_left():
    flow = constant(3.0, -2.0, (16, 16))
    nothing = torch.zeros(1, 16, 16, dtype=torch.bool)
    torch.testing.assert_close(refinement.fill(flow, nothing), flow)


def test_both_ways_tell_what_leaves_the_image_and_continue_it():
    first = gray(64, 96, 3)
    second = moved(first, 6.4, 0.3)
    there, back = constant(6.0, 0.0, (64, 96)), constant(-6.0, 0.0, (64, 96))
    flow, hidden, _ = refinement.refine_both_ways(first, second, there, back)
    assert hidden[:, :, -5:].all() and hidden[:, 12:-12, 12:-16].float().mean() < 0.05
    error = (flow - constant(6.4, 0.3, (64, 96))).norm(dim=1)
    assert error[:, 12:-12, 12:].mean() < 0.2
