"""Any Gymnasium environment as a batch, in this process and in workers; and what goes wrong."""

import importlib
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from functools import partial

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from envs import strange
from scalable_binding.envs import registry, vector
from scalable_binding.envs.batch import BatchEnv
from scalable_binding.envs.vector import VectorConfig, VectorEnv
from scalable_binding.envs.vector_backends import EnvironmentWarning
from scalable_binding.errors import UserError

WAYS = ["sync", pytest.param("workers", marks=pytest.mark.slow)]


def batch(factory, num_envs=3, seed=0, **options):
    options = {"episode_length": 6, **options}
    return VectorEnv(factory, "strange", num_envs, seed, VectorConfig(**options))


def act(env, action=1):
    return env.step(torch.full((env.num_envs,), action))


@pytest.mark.parametrize("vector", WAYS)
def test_a_batch_is_its_environments(vector):
    env = batch(strange.Counter, num_envs=5, vector=vector, num_workers=2)
    assert isinstance(env, BatchEnv)
    first = env.reset()
    assert first.shape == (5, 3) and first.dtype == torch.float32
    assert len(set(first[:, 0].tolist())) == 5
    step = env.step(torch.tensor([0, 1, 2, 3, 0]))
    assert step.observation[:, 1:].tolist() == [[1, 0], [1, 1], [1, 2], [1, 3], [1, 0]]
    assert torch.equal(step.observation[:, 0], first[:, 0])
    assert step.reward.tolist() == [1.0] * 5 and not step.done.any()
    assert torch.equal(env.ground_truth()["position"][:, 1], first[:, 0])
    for _ in range(5):
        step = act(env)
    assert step.done.all() and step.reward.tolist() == [6.0] * 5
    after = act(env)
    assert after.done.all() and (after.reward == 0).all()
    assert torch.equal(after.observation, step.observation)
    env.close()


def test_an_environment_that_ends_early_waits():
    env = batch(partial(strange.Counter, ends_at=2), num_envs=2)
    env.reset()
    steps = [act(env) for _ in range(4)]
    assert [step.done.tolist() for step in steps] == [[False] * 2, *[[True] * 2] * 3]
    assert [step.reward[0].item() for step in steps] == [1.0, 2.0, 0.0, 0.0]
    assert torch.equal(steps[1].observation, steps[3].observation)


def test_seeds_differ_by_episode_or_by_trial():
    env = batch(strange.Counter)
    first, second = env.reset(), env.reset()
    assert (first[:, 0] != second[:, 0]).any()
    env = batch(strange.Counter, worlds="trial")
    env.resample_world()
    first, second = env.reset(), env.reset()
    assert torch.equal(first, second)
    env.resample_world()
    assert (env.reset()[:, 0] != first[:, 0]).any()
    assert (batch(strange.Counter, seed=1).reset() != batch(strange.Counter).reset()).any()


def test_a_state_continues_exactly_between_episodes():
    env = batch(strange.Counter)
    env.reset()
    state = env.state_dict()
    expected = env.reset()
    other = batch(strange.Counter)
    other.load_state_dict(state)
    assert torch.equal(other.reset(), expected)


def test_gymnasium_environments_go_by_their_id():
    env = registry.make("CartPole-v1", 2, 0)
    assert env.episode_length == 500 and env.observation_space.shape == (4,)
    assert env.action_space == spaces.Discrete(2)
    env.reset()
    assert act(env).reward.tolist() == [1.0, 1.0]
    env = registry.make("MountainCarContinuous-v0", 2, 0, episode_length=7)
    assert env.episode_length == 7 and env.action_space.shape == (1,)
    env.reset()
    env.step(torch.zeros(2, 1))
    assert registry.make("Counter-v0", 1, ends_at=3).episode_length == 5


@pytest.mark.parametrize(
    ("space", "shape"),
    [
        (spaces.Box(0, 255, (30, 20, 3), np.uint8), (3, 30, 20)),
        (spaces.Box(0, 255, (3, 30, 20), np.uint8), (3, 30, 20)),
        (spaces.Box(0, 255, (30, 20), np.uint8), (3, 30, 20)),
        (spaces.Box(0, 255, (30, 20, 1), np.uint8), (3, 30, 20)),
        (spaces.Box(-1, 1, (2, 3), np.float64), (6,)),
        (spaces.Discrete(5, start=2), (5,)),
    ],
)
def test_observations_are_frames_or_vectors(space, shape):
    env = batch(partial(strange.Spaces, observation=space))
    seen = env.reset()
    assert seen.shape == (3, *shape) and env.observation_space.shape == shape
    assert env.observation_space.contains(seen[0].numpy())
    if isinstance(space, spaces.Discrete):
        assert (seen.sum(-1) == 1).all()


def test_channels_go_first_and_frames_shrink_by_area():
    space = spaces.Box(0, 255, (40, 60, 3), np.uint8)
    space.seed(1)
    frame = space.sample()
    env = gymnasium.wrappers.TransformObservation(
        strange.Spaces(observation=space), lambda _: frame, space
    )
    seen = batch(lambda: env, num_envs=1, size=20).reset()[0]
    expected = frame.reshape(20, 2, 20, 3, 3).mean((1, 3)).transpose(2, 0, 1)
    assert np.abs(seen.numpy() - expected).max() <= 1
    assert torch.equal(
        batch(lambda: env, num_envs=1).reset()[0], torch.tensor(frame).movedim(-1, 0)
    )


def test_actions_are_scaled_to_the_bounds_of_the_environment():
    space = spaces.Box(np.array([0.0, -2.0]), np.array([1.0, np.inf]), dtype=np.float64)
    made = []

    def factory():
        made.append(strange.Spaces(action=space))
        return made[-1]

    env = batch(factory, num_envs=1)
    env.reset()
    for action, expected in (([-1.0, 0.5], [0.0, 0.5]), ([0.5, -9.0], [0.75, -2.0])):
        env.step(torch.tensor([action]))
        assert made[0].taken.tolist() == expected
    env = batch(partial(strange.Spaces, action=spaces.Discrete(2, start=3)), num_envs=2)
    env.reset()
    act(env)


@pytest.mark.parametrize(
    ("factory", "line"),
    [
        (
            partial(strange.Spaces, observation=spaces.Dict(a=spaces.Discrete(2))),
            r"observation space of strange \(environment 0\): expected Box or Discrete, got Dict",
        ),
        (
            partial(strange.Spaces, action=spaces.MultiDiscrete([2, 2])),
            r"action space .*: expected Box or Discrete, got MultiDiscrete; map it",
        ),
        (
            partial(strange.Spaces, observation=spaces.Box(0, 255, (9, 9, 4), np.uint8)),
            r"frames .*: expected 1 or 3 channels, got \(9, 9, 4\)",
        ),
    ],
)
def test_other_spaces_are_refused(factory, line):
    with pytest.raises(UserError, match=line):
        batch(factory)


@pytest.mark.parametrize("vector", WAYS)
@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("nan reward", r"reward of strange \(environment 0\): expected a finite number, got nan"),
        ("infinite reward", r"reward of .*: expected a finite number, got inf"),
        ("nan observation", r"observation of .*: expected finite numbers, got nan"),
        ("shape", r"observation of .*: expected shape \(3,\) as at first, got \(4,\)"),
    ],
)
def test_wrong_numbers_are_named(fault, line, vector):
    env = batch(partial(strange.Faulty, fault), vector=vector, num_workers=1)
    env.reset()
    act(env), act(env)
    with pytest.raises(UserError, match=line):
        act(env)
    env.close()


def test_an_environment_that_raises_is_made_anew_a_few_times():
    env = batch(partial(strange.Faulty, "raises"), num_envs=2, restarts=3)
    env.reset()
    act(env), act(env)
    with pytest.warns(EnvironmentWarning, match="the wheel came off") as caught:
        step = act(env)
    assert len(caught) == 2 and "strange (environment 1)" in str(caught[1].message)
    assert step.done.all() and (step.reward == 0).all()
    env.reset()
    assert act(env).observation[:, 1].tolist() == [1.0, 1.0]
    act(env)
    with (
        pytest.warns(EnvironmentWarning),
        pytest.raises(UserError, match=r"environment 1\) failed again: RuntimeError: the wheel"),
    ):
        act(env)


def test_an_environment_made_anew_can_tell_where_it_is():
    env = batch(partial(strange.Lost, "raises"), num_envs=2, restarts=3)
    env.reset()
    act(env), act(env)
    with pytest.warns(EnvironmentWarning):
        act(env)
    assert env.ground_truth()["position"][:, 0].tolist() == [0.0, 0.0]


def test_what_cannot_be_made_or_told_is_named():
    with pytest.raises(UserError, match=r"true state of strange.*got AttributeError"):
        batch(partial(strange.Lost, None), num_envs=1).ground_truth()
    gymnasium.register("Licensed-v0", strange.Licensed)
    with pytest.raises(UserError, match="Licensed-v0 cannot be made: got RuntimeError: no license"):
        registry.make("Licensed-v0", 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "timeout", "why"),
    [
        ("raises", 30.0, r"strange \(environment 1\): RuntimeError: the wheel came off"),
        ("hangs", 1.0, "no answer in 1 seconds"),
        ("dies", 30.0, "its process ended with code 7"),
    ],
)
def test_a_worker_that_fails_is_started_anew_once_and_then_named(fault, timeout, why):
    unlucky = tuple(vector._derive(0, episode, 4)[1] for episode in range(2))
    factory = partial(strange.Faulty, fault, unlucky)
    env = batch(factory, num_envs=4, vector="workers", num_workers=2, timeout=timeout, restarts=1)
    strays = []
    for attempt in range(2):
        env.reset()
        act(env), act(env)
        if attempt == 1:
            with pytest.raises(UserError, match=f"worker .* failed again: {why}"):
                act(env)
            break
        with pytest.warns(EnvironmentWarning, match=rf"\(environments 0 to 1\).*{why}"):
            step = act(env)
        strays.append(step.done.tolist())
    env.close()
    assert strays == [[True, True, False, False]]


@pytest.mark.slow
def test_a_worker_that_cannot_even_begin_is_an_error():
    env = batch(strange.DeadOnArrival, vector="workers", num_workers=1, restarts=1)
    with (
        pytest.warns(EnvironmentWarning, match="no such level"),
        pytest.raises(UserError, match=r"failed again: strange .*no such level"),
    ):
        env.reset()
    env.close()


def test_what_cannot_be_pickled_cannot_go_into_a_worker():
    with pytest.raises(UserError, match="expected something that can be pickled"):
        batch(lambda: strange.Counter(), vector="workers", num_workers=1)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: registry.make("Nowhere-v0", 1), "maze, room.*Nowhere"),
        (lambda: registry.make("no_such_module:Nowhere-v0", 1), "no_such_module"),
        (
            lambda: registry.make("CartPole-v1", 1, wheels=3),
            "CartPole-v1 cannot be made.*wheels",
        ),
        (lambda: batch(strange.Counter, episode_length=None), "expected a number of steps"),
        (lambda: batch(strange.Counter, num_envs=0), "num_envs"),
        (lambda: batch(strange.Counter, seed=-1), "seed"),
        (lambda: VectorConfig(timeout=0.0), "timeout"),
        (lambda: VectorConfig(restarts=-1), "restarts"),
        (lambda: VectorConfig(num_workers=0), "num_workers"),
        (lambda: VectorConfig(size=2), "size"),
    ],
)
def test_mistakes_are_named(make, line):
    with warnings.catch_warnings(action="ignore"), pytest.raises(UserError, match=line):
        make()


def test_workers_need_no_torch():
    code = "import sys, scalable_binding.envs.worker; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_large_discrete_space_is_told_by_its_digits():
    env = batch(strange.Grid, num_envs=2)
    assert env.observation_space.shape == (5 * 16,)
    seen = [env.reset(), env.step(torch.zeros(2, dtype=torch.int64)).observation]
    powers = 16 ** torch.arange(5)
    for time, observation in enumerate(seen):
        digits = observation.view(2, 5, 16).argmax(-1)
        assert (digits * powers).sum(-1).tolist() == [70_000 + time] * 2
        assert observation.sum(-1).tolist() == [5, 5]


@pytest.mark.parametrize("value", [0.5, 300, -1])
def test_frames_that_uint8_cannot_hold_are_named(value):
    env = batch(partial(strange.Frames, value), num_envs=1)
    with pytest.raises(UserError, match="expected whole numbers from 0 to 255"):
        env.reset()


def test_whole_numbers_in_range_are_frames():
    env = batch(partial(strange.Frames, 255), num_envs=1)
    assert int(env.reset().min()) == 255


def test_an_entry_of_a_dict_is_seen_by_its_key():
    config = VectorConfig(episode_length=4, observation="image")
    env = VectorEnv(strange.Sentences, "mine", 2, 0, config)
    assert env.reset().shape == (2, 3, 8, 8)
    with pytest.raises(UserError, match="expected one of image, direction, mission, got none"):
        VectorEnv(strange.Sentences, "mine", 1, 0, replace(config, observation="picture"))
    with pytest.raises(UserError, match="got Dict of image, direction, mission; choose one with"):
        batch(strange.Sentences, num_envs=1)


UNFIT = [
    {"observation": spaces.Text(5)},
    {"observation": spaces.Tuple((spaces.Discrete(2), spaces.Discrete(3)))},
    {"observation": spaces.MultiDiscrete([3, 4])},
    {"observation": spaces.MultiBinary(5)},
    {"action": spaces.MultiDiscrete([3, 2])},
    {"action": spaces.MultiBinary(3)},
    {"action": spaces.Dict(a=spaces.Discrete(2))},
]


@pytest.mark.parametrize("unfit", UNFIT, ids=str)
def test_advice_names_what_can_be_imported(unfit):
    with pytest.raises(UserError) as caught:
        batch(partial(strange.Unfit, **unfit), num_envs=1)
    named = re.findall(r"(gymnasium\.wrappers)\.(\w+)", str(caught.value))
    assert named
    for module, name in named:
        assert hasattr(importlib.import_module(module), name)


def test_a_batch_of_ones_own_comes_from_a_function():
    env = registry.make("envs.strange:make_batch", 3, 0, episode_length=7)
    assert env.num_envs == 3 and env.episode_length == 7
    with pytest.raises(UserError, match="expected a BatchEnv, got object without num_envs"):
        registry.make("envs.strange:make_nothing", 3)
    with pytest.raises(UserError, match="make_batch cannot be made: got UserError: maze, speed"):
        registry.make("envs.strange:make_batch", 3, speed=-1.0)


def limited(limits):
    env = gymnasium.make("Counter-v0", disable_env_checker=True)
    for limit in limits:
        env = gymnasium.wrappers.TimeLimit(env, limit)
    return env


@pytest.mark.parametrize(
    ("factory", "asked", "length"),
    [
        (partial(gymnasium.make, "Counter-v0"), None, 5),
        (partial(gymnasium.make, "Counter-v0"), 9, 5),
        (partial(gymnasium.make, "Counter-v0"), 3, 3),
        (partial(limited, (3,)), None, 3),
        (partial(limited, (2, 4)), 9, 2),
    ],
)
def test_limits_of_gymnasium_end_an_episode(factory, asked, length):
    env = batch(factory, num_envs=2, episode_length=asked)
    env.reset()
    done = [act(env).done.all().item() for _ in range(length)]
    assert done == [False] * (length - 1) + [True]
