from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer

from reference.muon import SlowMuon
from scalable_binding.engine.muon import Muon

LR, BETAS, DECAY = 0.03, (0.9, 0.99), 0.1


def gradients(steps: int, *shape: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(*shape, generator=generator, dtype=torch.float64) for _ in range(steps)]


def start(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def run_with(kind: type[Optimizer], weight: Tensor, grads: list[Tensor], **settings: Any) -> Tensor:
    parameter = torch.nn.Parameter(weight.clone())
    optimizer = kind([parameter], lr=LR, weight_decay=DECAY, **settings)
    for gradient in grads:
        parameter.grad = gradient.clone()
        optimizer.step()
    return parameter.detach()


def run(weight: Tensor, grads: list[Tensor], **group: object) -> Tensor:
    parameter = torch.nn.Parameter(weight.clone())
    groups = [{"params": [parameter], **group}]
    optimizer = Muon(groups, lr=LR, betas=BETAS, precision=torch.float64)
    for gradient in grads:
        parameter.grad = gradient.clone()
        optimizer.step()
    return parameter.detach()


def run_slowly(weight: Tensor, grads: list[Tensor], decay: float) -> Tensor:
    slow = SlowMuon(LR, BETAS[0], decay)
    for gradient in grads:
        weight = slow.step(weight, gradient)
    return weight


@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (5, 5), (1, 6)])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_equals_the_reference(shape: tuple[int, int], decay: float) -> None:
    weight, grads = start(*shape), gradients(7, *shape)
    fast = run(weight, grads, weight_decay=decay)
    torch.testing.assert_close(fast, run_slowly(weight, grads, decay), rtol=1e-10, atol=1e-12)


def test_each_slice_of_a_fused_matrix_is_a_matrix_of_its_own() -> None:
    weight, grads = start(6, 3), gradients(5, 6, 3)
    fast = run(weight, grads, weight_decay=0.1, slices=[3])
    slow = [
        run_slowly(part, [g.chunk(3)[i] for g in grads], 0.1)
        for i, part in enumerate(weight.chunk(3))
    ]
    torch.testing.assert_close(fast, torch.cat(slow), rtol=1e-10, atol=1e-12)


def test_matrices_of_one_shape_move_as_they_would_alone() -> None:
    shapes = [(4, 3), (2, 5), (4, 3)]
    parameters = [torch.nn.Parameter(start(*shape)) for shape in shapes]
    optimizer = Muon(parameters, lr=LR, betas=BETAS, precision=torch.float64)
    for step in range(3):
        for number, parameter in enumerate(parameters):
            parameter.grad = (number + 1) ** step * gradients(3, *parameter.shape)[step]
        optimizer.step()
    for number, (shape, parameter) in enumerate(zip(shapes, parameters, strict=True)):
        grads = [(number + 1) ** step * g for step, g in enumerate(gradients(3, *shape))]
        torch.testing.assert_close(parameter.detach(), run(start(*shape), grads))


@pytest.mark.parametrize(("shape", "adapt"), [((4,), True), ((4, 3), False), ((4, 3, 3, 3), True)])
def test_all_else_moves_as_under_adamw(shape: tuple[int, ...], adapt: bool) -> None:
    weight, grads = start(*shape), gradients(5, *shape)
    expected = run_with(torch.optim.AdamW, weight, grads, betas=BETAS)
    found = run(weight, grads, weight_decay=DECAY, adapt=adapt)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_bfloat16_comes_near() -> None:
    weight, gradient = start(32, 64), gradients(1, 32, 64)
    parameter = torch.nn.Parameter(weight.float())
    optimizer = Muon([parameter], lr=LR, betas=BETAS)
    parameter.grad = gradient[0].float()
    optimizer.step()
    moved, expected = parameter.detach() - weight, run(weight, gradient) - weight
    assert (moved - expected).norm() < 0.08 * expected.norm()


@pytest.mark.parametrize("shape", [(8, 32), (32, 8)])
def test_whole_matrices_move_as_under_the_muon_of_pytorch(shape: tuple[int, int]) -> None:
    weight, grads = start(*shape).float(), [g.float() for g in gradients(5, *shape)]
    found = run_with(Muon, weight, grads, betas=BETAS) - weight
    settings = {"momentum": BETAS[0], "adjust_lr_fn": "match_rms_adamw"}
    expected = run_with(torch.optim.Muon, weight, grads, **settings) - weight
    assert (found - expected).norm() < 0.02 * expected.norm()


def test_every_direction_of_a_matrix_moves_about_as_far() -> None:
    scales = torch.tensor([100.0, 10, 1, 0.3], dtype=torch.float64)
    weight, gradient = start(4, 8), torch.linalg.svd(start(4, 8)).Vh[:4] * scales[:, None]
    moved = torch.linalg.svdvals(run(weight, [gradient]) - weight) / (LR * 0.2 * 8**0.5)
    assert moved.min() > 0.6 and moved.max() < 1.3


def test_parameters_without_gradient_stay() -> None:
    late, early = torch.nn.Parameter(start(2, 2)), torch.nn.Parameter(start(2, 2))
    optimizer = Muon([late, early], lr=LR, betas=BETAS, precision=torch.float64)
    for gradient in gradients(3, 2, 2):
        early.grad = gradient
        optimizer.step()
    assert torch.equal(late.detach(), start(2, 2))
    torch.testing.assert_close(early.detach(), run(start(2, 2), gradients(3, 2, 2)))
