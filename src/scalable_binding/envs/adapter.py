"""One Gymnasium environment, made to fit: spaces and shapes checked at every step.

Whether numbers are finite is checked for all environments of a batch at once (``check_finite``).

Worker processes import this module, so it keeps away from torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit
from PIL import Image

from scalable_binding.errors import UserError

Factory = Callable[[], gymnasium.Env[Any, Any]]

_Convert = Callable[[Any], np.ndarray]

_FLOAT = np.dtype(np.float32)

_StepFunction = Callable[[Any], tuple[Any, Any, bool, bool, dict[str, Any]]]

_OUTER = (TimeLimit, OrderEnforcing, PassiveEnvChecker)
"""Wrappers that ``gymnasium.make`` adds. A batch does their work: it counts steps, and resets
before it steps."""

MOST_ONE_HOT, DIGIT_BASE = 1024, 16

_WRAP_OBSERVATION = "wrap it, for example with gymnasium.wrappers.FlattenObservation"
_OBSERVATION_ADVICE = {
    spaces.Dict: "choose one with --observation KEY (options: observation=KEY)",
    spaces.Text: "encode it as numbers, for example with gymnasium.wrappers.TransformObservation",
}


class Adapter:
    """An environment whose observations and actions are those of a batch.

    Pixels (``Box`` of uint8, gray or RGB, channels first or last) become uint8 `(3 h w)`; any other
    ``Box`` becomes float32 `(d)`, a ``Discrete`` observation one-hot (above 1,024, its digits in
    base 16). Continuous actions between finite bounds are scaled to [-1, 1].

    Args:
        factory: makes the environment.
        name: what errors call it.
        size: shrink frames to this many pixels a side, None as they come.

    Raises:
        UserError: spaces that are neither ``Box`` nor ``Discrete``; later, an observation of
            another shape, or frames that uint8 cannot hold.
    """

    def __init__(self, factory: Factory, name: str, size: int | None = None) -> None:
        self.name = name
        self.env = factory()
        self.observation_space, self._see = _adapt_observations(
            self.env.observation_space, name, size
        )
        self.action_space, self._act = _adapt_actions(self.env.action_space, name)
        self._shape = self.env.observation_space.shape or ()
        self._is_vector = len(self._shape) == 1
        self._step: _StepFunction = self._first_step

    @property
    def max_steps(self) -> int | None:
        """The steps after which its specification ends an episode, if it says so.

        Whoever steps it counts them: a ``TimeLimit`` of ``gymnasium.make`` is passed by.
        """
        spec = self.env.spec
        return None if spec is None else spec.max_episode_steps

    def reset(self, seed: int) -> np.ndarray:
        """The first observation of an episode."""
        observation, _ = self.env.reset(seed=seed)
        return self._look(observation)

    def step(self, action: np.ndarray | np.integer[Any] | int) -> tuple[np.ndarray, float, bool]:
        """Observation, reward, and whether the episode is over."""
        observation, reward, terminated, truncated, _ = self._step(self._act(action))
        return self._look(observation), float(reward), bool(terminated or truncated)

    def ground_truth(self) -> dict[str, np.ndarray]:
        """The true state, if the environment has a method of that name."""
        tell = getattr(self.env.unwrapped, "ground_truth", None)
        return {} if tell is None else tell()

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def _first_step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """A step through Gymnasium's own checks, which look at the first one only."""
        found = self.env.step(action)
        self._step = _bare(self.env, self.max_steps).step
        return found

    def _look(self, observation: Any) -> np.ndarray:
        if type(observation) is np.ndarray:
            shape = observation.shape
            if self._is_vector and observation.dtype is _FLOAT and shape == self._shape:
                return observation  # nothing to convert; copied by whoever keeps it
        else:
            shape = np.shape(observation)
        if shape != self._shape:
            what = f"observation of {self.name}"
            raise UserError(what, expected=f"shape {self._shape} as at first", got=str(shape))
        return self._see(observation)


def check_finite(
    adapters: Sequence[Adapter], observations: np.ndarray, rewards: np.ndarray | None = None
) -> None:
    """Check what environments show and pay, one row each.

    Raises:
        UserError: an infinite number or NaN; it names the environment.
    """
    if rewards is not None and not np.isfinite(rewards).all():
        number = int(np.flatnonzero(~np.isfinite(rewards))[0])
        what = f"reward of {adapters[number].name}"
        raise UserError(what, expected="a finite number", got=str(rewards[number]))
    if observations.dtype != np.uint8 and not np.isfinite(observations).all():
        number, *place = np.argwhere(~np.isfinite(observations))[0].tolist()
        what = f"observation of {adapters[number].name}"
        got = str(observations[number][tuple(place)])
        raise UserError(what, expected="finite numbers", got=got)


def _bare(env: gymnasium.Env[Any, Any], max_steps: int | None) -> gymnasium.Env[Any, Any]:
    """An environment without the outermost wrappers that ``gymnasium.make`` adds.

    A limit below ``max_steps``, which the batch does not know of, stays.
    """
    while isinstance(env, gymnasium.Wrapper) and type(env) in _OUTER:
        if isinstance(env, TimeLimit) and env._max_episode_steps < (max_steps or math.inf):
            break
        env = env.env
    return env


def _adapt_observations(
    space: spaces.Space[Any], name: str, size: int | None
) -> tuple[spaces.Box, _Convert]:
    if isinstance(space, spaces.Discrete):
        return _adapt_numbers(space)
    if not isinstance(space, spaces.Box):
        got = type(space).__name__
        if isinstance(space, spaces.Dict):
            got = f"Dict of {', '.join(space.spaces)}"
        raise UserError(
            f"observation space of {name}",
            expected="Box or Discrete",
            got=got,
            fix=_OBSERVATION_ADVICE.get(type(space), _WRAP_OBSERVATION),
        )
    if space.dtype == np.uint8 and len(space.shape) in (2, 3):
        return _adapt_pixels(space, name, size)
    low, high = (np.ravel(bound).astype(np.float32) for bound in (space.low, space.high))

    def convert(state: Any) -> np.ndarray:
        return np.ravel(state).astype(np.float32)

    return spaces.Box(low, high, dtype=np.float32), convert


def _adapt_numbers(space: spaces.Discrete) -> tuple[spaces.Box, _Convert]:
    """One-hot vectors; of large spaces, those of the digits of the number to the base 16."""
    count, start = int(space.n), int(space.start)
    base, digits = (count, 1) if count <= MOST_ONE_HOT else (DIGIT_BASE, 1)
    while base**digits < count:
        digits += 1
    places = np.arange(digits)

    def convert(number: Any) -> np.ndarray:
        code = np.zeros((digits, base), np.float32)
        code[places, (int(np.asarray(number).item()) - start) // base**places % base] = 1
        return code.ravel()

    return spaces.Box(0.0, 1.0, (digits * base,), np.float32), convert


def _check_pixels(frame: np.ndarray, name: str) -> np.ndarray:
    """Whole numbers from 0 to 255 as uint8.

    Raises:
        UserError: others, which a cast to uint8 would silently change.
    """
    if frame.dtype == np.uint8:
        return frame
    what, expected = f"observation of {name}", "whole numbers from 0 to 255, as its space says"
    if not np.issubdtype(frame.dtype, np.integer):
        fix = "return uint8, or declare a space of floats"
        raise UserError(what, expected=expected, got=str(frame.dtype), fix=fix)
    if frame.size and (frame.min() < 0 or frame.max() > 255):
        raise UserError(what, expected=expected, got=f"{frame.min()} to {frame.max()}")
    return frame.astype(np.uint8)


def _adapt_pixels(space: spaces.Box, name: str, size: int | None) -> tuple[spaces.Box, _Convert]:
    shape = space.shape
    first = len(shape) == 3 and shape[0] in (1, 3) and shape[2] not in (1, 3)
    if len(shape) == 3 and not first and shape[2] not in (1, 3):
        raise UserError(f"frames of {name}", expected="1 or 3 channels", got=str(shape))

    def convert(frame: np.ndarray) -> np.ndarray:
        frame = _check_pixels(np.asarray(frame), name)
        frame = frame.transpose(1, 2, 0) if first else frame
        frame = np.broadcast_to(np.atleast_3d(frame), (*frame.shape[:2], 3))
        if size is not None:
            picture = Image.fromarray(np.ascontiguousarray(frame))
            frame = np.asarray(picture.resize((size, size), Image.Resampling.BOX))
        return frame.transpose(2, 0, 1)

    return spaces.Box(0, 255, convert(np.zeros(shape, np.uint8)).shape, np.uint8), convert


def _adapt_actions(
    space: spaces.Space[Any], name: str
) -> tuple[spaces.Discrete | spaces.Box, Callable[[Any], Any]]:
    if isinstance(space, spaces.Discrete):
        start, numbers = int(space.start), spaces.Discrete(int(space.n))
        return numbers, np.int64 if start == 0 else lambda action: np.int64(action + start)
    if not isinstance(space, spaces.Box):
        raise UserError(
            f"action space of {name}",
            expected="Box or Discrete",
            got=type(space).__name__,
            fix="map it to numbers, for example with gymnasium.wrappers.TransformAction",
        )
    shape, dtype = space.shape, space.dtype
    low, high = (np.ravel(bound).astype(np.float32) for bound in (space.low, space.high))
    bounded = np.isfinite(low) & np.isfinite(high)
    middle = np.where(bounded, (low / 2 + high / 2), 0)
    reach = np.where(bounded, (high / 2 - low / 2), 1)

    def act(action: np.ndarray) -> np.ndarray:
        return np.clip(middle + reach * action, low, high).reshape(shape).astype(dtype)

    limit = np.where(bounded, 1.0, np.inf).astype(np.float32)
    return spaces.Box(-limit, limit, dtype=np.float32), act


class SelectObservation(gymnasium.ObservationWrapper[Any, Any, Any]):
    """One entry of a ``Dict`` observation.

    Args:
        env: with a ``Dict`` observation space.
        key: of the entry.

    Raises:
        UserError: there is no such entry.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], key: str) -> None:
        super().__init__(env)
        space = env.observation_space
        if not isinstance(space, spaces.Dict) or key not in space.spaces:
            expected = "a Dict observation space"
            if isinstance(space, spaces.Dict):
                expected = f"one of {', '.join(space.spaces)}"
            got = "none of that name" if isinstance(space, spaces.Dict) else type(space).__name__
            raise UserError(f"observation {key!r}", expected=expected, got=got)
        self.key = key
        self.observation_space = space.spaces[key]

    def observation(self, observation: Any) -> Any:
        """The entry."""
        return observation[self.key]


def make_selected(factory: Factory, key: str) -> gymnasium.Env[Any, Any]:
    """An environment that shows one entry of its observations; worker processes call this too."""
    return SelectObservation(factory(), key)
