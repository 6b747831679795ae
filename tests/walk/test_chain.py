import itertools

import pytest
import torch
from torch.nn.functional import normalize

from reference import walk as reference
from scalable_binding.walk import chain as module
from scalable_binding.walk.affinity import transition
from scalable_binding.walk.chain import chain, palindromes


def clip(b, t, n, d, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(b, t, n, d, generator=generator, dtype=dtype), dim=-1)


def test_chain_equals_the_loop():
    generator = torch.Generator().manual_seed(0)
    sizes = [3, 5, 4, 6]
    steps = [
        torch.rand(2, a, b, generator=generator, dtype=torch.float64).softmax(-1)
        for a, b in itertools.pairwise(sizes)
    ]
    result = chain(steps)
    for i in range(2):
        torch.testing.assert_close(result[i], reference.chain([step[i] for step in steps]))


def test_chain_of_nothing_is_refused():
    with pytest.raises(ValueError, match="transitions"):
        chain([])


@pytest.mark.parametrize("num_frames", [2, 3, 5])
def test_palindromes_equal_the_loop(num_frames):
    frames = clip(2, num_frames, 5, 8, dtype=torch.float64)
    returns = palindromes(frames.unbind(1), temperature=0.1)
    assert len(returns) == num_frames - 1
    for k, walk in enumerate(returns, start=1):
        for i in range(2):
            torch.testing.assert_close(walk[i], reference.palindrome(frames[i], k, 0.1))


def test_rows_of_returns_sum_to_one():
    generator = torch.Generator().manual_seed(0)
    for walk in palindromes(clip(2, 10, 49, 16).unbind(1), 0.07, 0.2, generator):
        torch.testing.assert_close(walk.sum(-1), torch.ones(2, 49))


def test_identical_frames_return_home_at_a_low_temperature():
    frames = clip(2, 1, 12, 32).expand(2, 6, 12, 32)
    for walk in palindromes(frames.unbind(1), temperature=0.01):
        torch.testing.assert_close(walk, torch.eye(12).expand(2, 12, 12), atol=1e-4, rtol=0)


def test_permuted_frames_return_home_too():
    frame = clip(1, 1, 12, 32)[0, 0]
    orders = [torch.randperm(12, generator=torch.Generator().manual_seed(s)) for s in range(4)]
    frames = torch.stack([frame[order] for order in orders]).unsqueeze(0)
    for walk in palindromes(frames.unbind(1), temperature=0.01):
        torch.testing.assert_close(walk, torch.eye(12).unsqueeze(0), atol=1e-4, rtol=0)


def test_walkers_come_home_to_another_view():
    frames = clip(1, 3, 6, 16, dtype=torch.float64)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(0))
    plain = palindromes(frames.unbind(1), 0.1)
    other = palindromes(frames.unbind(1), 0.1, home=frames[:, 0, order[:4]])
    assert other[0].shape == (1, 6, 4)
    for k in (1, 2):
        # Fewer places to go to: the last step's softmax runs over the four that are left.
        steps = [transition(frames[:, j] @ frames[:, j + 1].mT, 0.1) for j in range(k)]
        steps += [transition(frames[:, j] @ frames[:, j - 1].mT, 0.1) for j in range(k, 1, -1)]
        steps += [transition(frames[:, 1] @ frames[:, 0, order[:4]].mT, 0.1)]
        torch.testing.assert_close(other[k - 1], chain(steps))
    same = palindromes(frames.unbind(1), 0.1, home=frames[:, 0])
    torch.testing.assert_close(same, plain)


@pytest.mark.parametrize("temperature", [1e-3, 0.07])
def test_gradients_are_finite(temperature):
    frames = clip(2, 6, 9, 8).requires_grad_()
    returns = palindromes(frames.unbind(1), temperature, 0.3, torch.Generator().manual_seed(0))
    sum(-torch.log(walk.diagonal(dim1=-2, dim2=-1) + 1e-20).sum() for walk in returns).backward()
    assert frames.grad is not None and torch.isfinite(frames.grad).all()


def test_edges_drop_independently_in_each_direction(monkeypatch):
    """Each direction loses its rate of edges, and an edge and its reverse the square of it."""
    steps = []

    def record(*arguments):
        steps.append(transition(*arguments))
        return steps[-1]

    monkeypatch.setattr(module, "transition", record)
    frames = torch.zeros(4, 4, 50, 1)
    palindromes(frames.unbind(1), 0.1, 0.1, torch.Generator().manual_seed(0))
    there = torch.stack(steps[0::2]) == 0
    back = torch.stack(steps[1::2]) == 0
    assert there.float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert back.float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert (there & back.mT).float().mean().item() == pytest.approx(0.01, abs=0.003)


def test_autocast_does_not_lower_the_precision():
    frames = clip(1, 6, 20, 16)
    plain = palindromes(frames.unbind(1), 0.05)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = palindromes(frames.unbind(1), 0.05)
    torch.testing.assert_close(cast, plain, rtol=0, atol=0)


def test_a_clip_of_one_frame_is_refused():
    with pytest.raises(ValueError, match="at least 2, got 1"):
        palindromes(clip(1, 1, 4, 4).unbind(1), 0.1)
