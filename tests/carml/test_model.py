"""The policy: one step at a time or all at once, and what it can be built from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from scalable_binding.carml import model
from scalable_binding.carml.model import Policy
from scalable_binding.errors import UserError

SMALL: dict[str, Any] = {"widths": (8,), "hidden": 12, "head": 8}
PIXELS: dict[str, Any] = {"observation": (3, 20, 20), "channels": (4, 4), "strides": (2, 2)}


def sequence(policy: Policy, b: int, t: int) -> tuple[torch.Tensor, ...]:
    """Random observations, previous actions, rewards and dones."""
    random = torch.Generator().manual_seed(0)
    observations = torch.randn(b, t, *policy.observation, generator=random)
    if policy.is_pixels:
        observations = (observations * 50 + 128).clamp(0, 255).byte()
    actions = torch.randint(-1, policy.actions.width, (b, t), generator=random)
    if policy.continuous:
        actions = torch.randn(b, t, policy.actions.width, generator=random)
    rewards = torch.randn(b, t, generator=random)
    return observations, actions, rewards, torch.rand(b, t, generator=random) < 0.3


@pytest.mark.parametrize("recurrence", ["gru", "lstm"])
@pytest.mark.parametrize("kind", [{"observation": (5,)}, PIXELS])
@pytest.mark.parametrize("continuous", [False, True])
def test_a_sequence_is_its_steps(recurrence: str, kind: dict, continuous: bool) -> None:
    settings = SMALL | kind | {"recurrence": recurrence, "continuous": continuous}
    policy = model.init_policy(0, actions=3, **settings)
    inputs = sequence(policy, 4, 6)
    whole = policy(*inputs, policy.initial_state(4))
    state = policy.initial_state(4)
    for t in range(6):
        random = torch.Generator().manual_seed(t)
        act = policy.act(*[each[:, t] for each in inputs], state, random)
        torch.testing.assert_close(act.values, whole.values[:, t])
        expected = policy.actions.log_prob(whole.parameters[:, t], act.actions)
        torch.testing.assert_close(act.log_probs, expected)
        state = act.state
    torch.testing.assert_close(state, whole.state)


@pytest.mark.parametrize("recurrence", ["gru", "lstm"])
def test_a_sequence_goes_on_from_a_state(recurrence: str) -> None:
    policy = model.init_policy(0, observation=(5,), actions=3, recurrence=recurrence, **SMALL)
    inputs = sequence(policy, 4, 6)
    whole = policy(*inputs, policy.initial_state(4))
    first = policy(*[each[:, :2] for each in inputs], policy.initial_state(4))
    second = policy(*[each[:, 2:] for each in inputs], first.state)
    torch.testing.assert_close(second.values, whole.values[:, 2:])


def test_it_is_read_back_from_a_folder(tmp_path: Path) -> None:
    policy = model.init_policy(0, actions=3, **SMALL | PIXELS)
    policy.save_pretrained(tmp_path)
    loaded = Policy.from_pretrained(tmp_path)
    assert model.arguments(loaded) == model.arguments(policy)
    inputs = sequence(policy, 2, 3)
    state = policy.initial_state(2)
    assert torch.equal(loaded(*inputs, state).values, policy(*inputs, state).values)


def test_the_thesis_network_has_the_expected_size() -> None:
    """Facts of 4.7.2: at strides (4, 2) 2.1 million parameters, at (1, 2) 7 to 8 million."""
    sizes = {}
    for stride in (4, 1):
        with torch.device("meta"):
            policy = Policy(observation=(3, 84, 84), actions=3, strides=(stride, 2))
        sizes[stride] = sum(p.numel() for p in policy.parameters()) / 1e6
    assert sizes[4] == pytest.approx(1.9, abs=0.3)
    assert sizes[1] == pytest.approx(7.5, abs=0.5)


def test_a_seed_gives_the_same_weights_and_leaves_the_global_generator() -> None:
    before = torch.random.get_rng_state()
    first, second = (model.init_policy(3, observation=(5,), actions=3, **SMALL) for _ in range(2))
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)
    )
    assert torch.equal(torch.random.get_rng_state(), before)


def box(*shape: int) -> spaces.Box:
    return spaces.Box(-1.0, 1.0, shape, np.float32)


def test_spaces_decide_inputs_and_actions() -> None:
    found = model.spaces_to_arguments(box(5), spaces.Discrete(4))
    assert found == {"observation": (5,), "actions": 4, "continuous": False}
    assert model.spaces_to_arguments(box(3, 8, 8), box(2))["continuous"]


@pytest.mark.parametrize(
    ("observation", "action", "named"),
    [
        (spaces.Discrete(3), spaces.Discrete(3), "observation space"),
        (box(4, 4), spaces.Discrete(3), "observation space"),
        (box(5), spaces.MultiBinary(3), "action space"),
        (box(5), box(2, 2), "action space"),
    ],
)
def test_other_spaces_are_refused(
    observation: spaces.Space, action: spaces.Space, named: str
) -> None:
    with pytest.raises(UserError, match=named):
        model.spaces_to_arguments(observation, action)


def test_kernels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match=r"kernels.*images of 6 x 6"):
        model.init_policy(0, observation=(3, 6, 6), actions=3)
