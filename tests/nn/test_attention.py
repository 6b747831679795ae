"""Attention by its formula, in every precision."""

import pytest
import torch
from torch import Tensor

from scalable_binding.nn.attention import gather


def heads(dtype: torch.dtype) -> list[Tensor]:
    """Queries (2 3 5 4), keys and values (2 3 7 4)."""
    generator = torch.Generator().manual_seed(0)
    shapes = (2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 4)
    return [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for s in shapes]


def by_formula(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1) @ v


def test_what_is_gathered_follows_the_formula() -> None:
    assert torch.allclose(gather(*heads(torch.float64)), by_formula(*heads(torch.float64)))


@pytest.mark.parametrize("autocast", [False, True])
def test_bfloat16_is_attended_in_float32_on_a_cpu(autocast: bool) -> None:
    """Rounded once at the end; under autocast too, which would round queries and keys' products."""
    rounded = [part.requires_grad_() for part in heads(torch.bfloat16)]
    exact = [part.detach().double().requires_grad_() for part in rounded]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = gather(*rounded)
    truth = by_formula(*exact)
    assert found.dtype == torch.bfloat16
    assert torch.allclose(found.double(), truth, rtol=2**-8, atol=1e-6)
    found.square().sum().backward()
    truth.square().sum().backward()
    for part, reference in zip(rounded, exact, strict=True):
        assert part.grad.dtype == torch.bfloat16
        error = (part.grad.double() - reference.grad).norm() / reference.grad.norm()
        assert error < 0.01


def test_of_bfloat16_nothing_wider_is_kept_for_the_way_back() -> None:
    rounded = [part.requires_grad_() for part in heads(torch.bfloat16)]
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        gather(*rounded)
    wide = [tensor for tensor in kept if tensor.dtype != torch.bfloat16]
    assert len(kept) == 5
    assert [tensor.shape for tensor in wide] == [rounded[0].shape[:-1]]
