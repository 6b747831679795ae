import pytest
import torch
from torch import Tensor

from reference.lamb import SlowLamb
from scalable_binding.engine.lamb import Lamb

SETTINGS = {"lr": 0.03, "betas": (0.9, 0.99), "eps": 1e-8}


def gradients(steps: int, *shape: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(*shape, generator=generator, dtype=torch.float64) for _ in range(steps)]


def start(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def run(weight: Tensor, grads: list[Tensor], **group: object) -> Tensor:
    parameter = torch.nn.Parameter(weight.clone())
    optimizer = Lamb([{"params": [parameter], **group}], **SETTINGS)
    for gradient in grads:
        parameter.grad = gradient.clone()
        optimizer.step()
    return parameter.detach()


def run_slowly(weight: Tensor, grads: list[Tensor], decay: float, *, adapt: bool) -> Tensor:
    slow = SlowLamb(decay=decay, adapt=adapt, **SETTINGS)
    rows = weight.tolist()
    for gradient in grads:
        rows = slow.step(rows, gradient.tolist())
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("adapt", [True, False])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_equals_the_reference(adapt: bool, decay: float) -> None:
    weight, grads = start(4, 3), gradients(7, 4, 3)
    fast = run(weight, grads, weight_decay=decay, adapt=adapt)
    slow = run_slowly(weight, grads, decay, adapt=adapt)
    torch.testing.assert_close(fast, slow, rtol=1e-12, atol=1e-14)


def test_each_slice_of_a_fused_matrix_has_its_own_ratio() -> None:
    weight, grads = start(6, 3), gradients(5, 6, 3)
    weight[2:4] *= 100
    fast = run(weight, grads, weight_decay=0.1, slices=[3])
    slow = [
        run_slowly(part, [g.chunk(3)[i] for g in grads], 0.1, adapt=True)
        for i, part in enumerate(weight.chunk(3))
    ]
    torch.testing.assert_close(fast, torch.cat(slow), rtol=1e-12, atol=1e-14)


def test_the_first_step_moves_a_matrix_by_the_learning_rate_times_its_norm() -> None:
    weight = start(5, 5)
    moved = (run(weight, gradients(1, 5, 5)) - weight).norm()
    torch.testing.assert_close(moved, SETTINGS["lr"] * weight.norm())


def test_a_zero_matrix_starts_to_move_and_a_zero_gradient_does_not() -> None:
    zero = torch.zeros(3, 3, dtype=torch.float64)
    assert run(zero, gradients(1, 3, 3)).abs().min() > 0
    weight = start(3, 3)
    assert torch.equal(run(weight, [zero]), weight)


def test_parameters_without_gradient_stay_and_count_their_own_steps() -> None:
    late, early = torch.nn.Parameter(start(2, 2)), torch.nn.Parameter(start(2, 2))
    optimizer = Lamb([late, early], **SETTINGS)
    grads = gradients(3, 2, 2)
    for step, gradient in enumerate(grads):
        early.grad = gradient
        late.grad = gradient if step == 2 else None
        optimizer.step()
    torch.testing.assert_close(late.detach(), run(start(2, 2), grads[2:]))
    torch.testing.assert_close(early.detach(), run(start(2, 2), grads))
