"""The convolutional GRU against a slow one, and what its gates mean."""

from __future__ import annotations

import pytest
import torch

from reference import recurrent
from scalable_binding.nn.recurrent import ConvGRU


def cell(width_in: int = 2, width: int = 3, kernel: int = 3) -> ConvGRU:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        gru = ConvGRU(width_in, width, kernel).double()
        for layer in (gru.gates, gru.candidate):
            torch.nn.init.normal_(layer.bias)
    return gru


def maps(channels: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, channels, 3, 4, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_step_is_the_reference(kernel: int) -> None:
    gru = cell(kernel=kernel)
    x, state = maps(2, 1), maps(3, 2)
    found = gru(x, state)
    gates, candidate = (
        (layer.weight.detach(), layer.bias.detach()) for layer in (gru.gates, gru.candidate)
    )
    for i in range(2):
        expected = recurrent.step(gates, candidate, x[i], state[i])
        torch.testing.assert_close(found[i], expected, atol=1e-12, rtol=0)


def test_a_closed_gate_keeps_the_state_and_an_open_one_forgets_it() -> None:
    gru = cell()
    x, state = maps(2, 1), maps(3, 2)
    torch.nn.init.zeros_(gru.gates.weight)
    with torch.no_grad():
        gru.gates.bias[:3] = -50
        torch.testing.assert_close(gru(x, state), state)
        gru.gates.bias[:] = torch.tensor([50.0] * 3 + [-50.0] * 3)
        torch.testing.assert_close(gru(x, state), gru(x, torch.zeros_like(state)))


def test_it_starts_empty_with_the_inputs_size_and_type() -> None:
    start = cell().start(maps(2, 0))
    assert start.shape == (2, 3, 3, 4) and start.dtype == torch.float64 and not start.any()


def test_what_is_remembered_moves_by_half_a_kernel_at_most() -> None:
    gru = cell()
    state = torch.zeros(1, 3, 7, 7, dtype=torch.float64)
    changed = state.clone()
    changed[0, :, 3, 3] = 1
    x = torch.zeros(1, 2, 7, 7, dtype=torch.float64)
    difference = (gru(x, changed) - gru(x, state)).abs().sum(1)[0]
    rows, columns = torch.nonzero(difference > 1e-12, as_tuple=True)
    assert int((rows - 3).abs().max()) == 1 and int((columns - 3).abs().max()) == 1
