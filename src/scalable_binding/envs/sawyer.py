"""An arm that pushes a puck over a table, simulated by MuJoCo."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from einops import rearrange
from gymnasium import spaces
from jaxtyping import Float64, UInt8
from torch import Tensor

from scalable_binding.envs.batch import Actions, GroundTruth, Observations, Step
from scalable_binding.envs.description import Description
from scalable_binding.envs.tasks import Split, Task, TaskBatch, goal_anywhere, sample_points
from scalable_binding.errors import UserError, require

MODEL = Path(__file__).with_name("sawyer.xml")

LOW, HIGH = np.array([-0.2, 0.5]), np.array([0.2, 0.7])
"""Where hand and puck can be on the table, x and y in meters."""

HAND_START, HAND_HEIGHT = np.array([0.0, 0.52]), 0.06
PUCK_START = np.array([0.0, 0.6])
# Shoulder up, elbow down, wrist straight down: the hand hangs near its start.
_POSTURE = {"j1": 0.86, "j3": -1.73, "j5": -0.70}
_SETTLING_STEPS = 400


@dataclass(frozen=True, kw_only=True)
class SawyerConfig:
    """How the arm is moved and seen.

    Attributes:
        size: side of a frame, in pixels.
        episode_length: steps in an episode.
        frame_skip: steps of the simulation, of 2.5 ms, in a step.
        action_scale: how far a step moves the hand at most along each axis, in meters.

    Raises:
        UserError: a number makes no sense.

    Source: Thesis 4.7.2 and the environment that it cites (Nair et al. 2018).
    """

    size: int = 84
    episode_length: int = 50
    frame_skip: int = 50
    action_scale: float = 0.02

    def __post_init__(self) -> None:
        require("sawyer, size", self.size, 16 <= self.size <= 256, "16 to 256")
        require(
            "sawyer, episode_length", self.episode_length, self.episode_length >= 1, "at least 1"
        )
        require("sawyer, frame_skip", self.frame_skip, self.frame_skip >= 1, "at least 1")
        scale = self.action_scale
        require("sawyer, action_scale", scale, 0 < scale <= 0.1, "above 0, at most 0.1 m")


class Sawyer:
    """A batch of arms with seven joints, each before a table with a puck.

    An observation is the camera's frame (uint8, `(3 size size)`); an action moves the hand in the
    plane. Every episode begins with the same pose, the puck in the middle. Rewards are 0.
    ``ground_truth`` tells the "position" of the hand and the "puck", `(e 2)` in meters.

    One simulation serves all environments, one after the other: each keeps its state as a vector.

    Raises:
        UserError: MuJoCo is not installed or cannot render; a number that makes no sense.

    Source: Thesis 4.5.3 and 4.7.2.
    """

    def __init__(
        self, config: SawyerConfig | None = None, num_envs: int = 1, seed: int = 0
    ) -> None:
        require("sawyer, num_envs", num_envs, num_envs >= 1, "at least 1")
        require("sawyer, seed", seed, seed >= 0, "at least 0")
        self.config = config or SawyerConfig()
        self.num_envs = num_envs
        self.episode_length = self.config.episode_length
        size = self.config.size
        self.observation_space: spaces.Box = spaces.Box(0, 255, (3, size, size), np.uint8)
        self.action_space: spaces.Discrete | spaces.Box = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._mujoco = _import()
        self._model = self._mujoco.MjModel.from_xml_path(str(MODEL))
        self._data = self._mujoco.MjData(self._model)
        self._kind = self._mujoco.mjtState.mjSTATE_INTEGRATION
        self._renderer = self._open_renderer()
        self._start = self._settle()
        self._first = self._look()
        self._time = 0
        self._begin()

    def resample_world(self) -> None:
        """Nothing: there is one table."""

    def reset(self) -> Observations:
        """The first frame, once for every environment."""
        self._begin()
        return self._frames.clone()

    def step(self, actions: Actions) -> Step:
        """The frames after the hands have moved; rewards are 0, the table knows no task."""
        if self._time < self.episode_length:
            self._time += 1
            for number, action in enumerate(actions.numpy()):
                self._restore(self._states[number])
                self._move(action)
                self._frames[number] = self._look()
                self._states[number], self._places[number] = self._state(), self._locate()
        done = torch.full((self.num_envs,), self._time == self.episode_length)
        return Step(self._frames.clone(), torch.zeros(self.num_envs), done)

    def ground_truth(self) -> GroundTruth:
        """The "position" of every hand and every "puck"."""
        hand, puck = torch.from_numpy(self._places.copy()).float().unbind(1)
        return {"position": hand, "puck": puck}

    def state_dict(self) -> dict[str, Tensor]:
        """All states of the simulation, what is seen and known of them, and the step."""
        return {
            "states": torch.from_numpy(self._states.copy()),
            "places": torch.from_numpy(self._places.copy()),
            "frames": self._frames.clone(),
            "time": torch.tensor(self._time),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from where ``state_dict`` was taken."""
        self._states = state["states"].numpy().copy()
        self._places = state["places"].numpy().copy()
        self._frames = state["frames"].clone()
        self._time = int(state["time"])

    def close(self) -> None:
        """Let go of the renderer."""
        self._renderer.close()

    def _begin(self) -> None:
        self._time = 0
        self._states = np.tile(self._start, (self.num_envs, 1))
        self._places = np.tile(np.stack((HAND_START, PUCK_START)), (self.num_envs, 1, 1))
        self._frames = self._first.repeat(self.num_envs, 1, 1, 1)

    def _move(self, action: np.ndarray) -> None:
        step = self.config.action_scale * np.clip(action, -1, 1)
        self._data.mocap_pos[0, :2] = np.clip(self._data.mocap_pos[0, :2] + step, LOW, HIGH)
        self._mujoco.mj_step(self._model, self._data, self.config.frame_skip)
        # Positions of bodies lag behind the joints' by a step unless they are computed anew.
        self._mujoco.mj_forward(self._model, self._data)

    def _settle(self) -> Float64[np.ndarray, " n"]:
        """The state that every episode begins with: the hand at rest at its start."""
        for joint, angle in _POSTURE.items():
            self._data.joint(joint).qpos[0] = angle
        self._mujoco.mj_forward(self._model, self._data)
        self._data.mocap_pos[0] = (*HAND_START, HAND_HEIGHT)
        self._data.mocap_quat[0] = self._data.body("hand").xquat
        self._mujoco.mj_step(self._model, self._data, _SETTLING_STEPS)
        self._data.qvel[:] = 0
        self._mujoco.mj_forward(self._model, self._data)
        return self._state()

    def _look(self) -> UInt8[Tensor, "3 h w"]:
        self._renderer.update_scene(self._data, "watch")
        return rearrange(torch.from_numpy(self._renderer.render()), "h w c -> c h w").contiguous()

    def _locate(self) -> Float64[np.ndarray, "2 2"]:
        """x, y of hand and puck."""
        return np.stack([self._data.body(name).xpos[:2] for name in ("hand", "puck")])

    def _state(self) -> Float64[np.ndarray, " n"]:
        state = np.empty(self._mujoco.mj_stateSize(self._model, self._kind))
        self._mujoco.mj_getState(self._model, self._data, state, self._kind)
        return state

    def _restore(self, state: Float64[np.ndarray, " n"]) -> None:
        self._mujoco.mj_setState(self._model, self._data, state, self._kind)

    def _open_renderer(self) -> Any:
        try:
            renderer = self._mujoco.Renderer(self._model, self.config.size, self.config.size)
        except Exception as error:
            raise UserError(
                f"MuJoCo cannot render: {error}",
                fix="install Debian's libegl1, libegl-mesa0 and libgl1-mesa-dri, or set MUJOCO_GL",
            ) from error
        for flag in (
            self._mujoco.mjtRndFlag.mjRND_SHADOW,
            self._mujoco.mjtRndFlag.mjRND_REFLECTION,
        ):
            renderer.scene.flags[flag] = 0
        return renderer


def _import() -> ModuleType:
    """MuJoCo, told to render without a screen unless ``MUJOCO_GL`` says otherwise."""
    if sys.platform == "linux":
        os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        import mujoco
    except ImportError as error:
        raise UserError(
            "MuJoCo is not installed", fix="pip install 'scalable-binding[mujoco]'"
        ) from error
    return mujoco


def describe(**options: Any) -> Description:
    """The table's plane and test tasks: places for the puck; success as in the original."""
    return Description(
        low=(-0.2, 0.4),
        high=(0.2, 0.8),
        map_low=(-0.25, 0.45),
        map_high=(0.25, 0.75),
        goal_task=_push_to,
        sample_tasks=_sample_tasks,
    )


def _push_to(x: float, y: float) -> Task:
    return replace(goal_anywhere(x, y), of="puck", shape="negative", radius=0.06, unit=0.1)


def _sample_tasks(num: int, generator: torch.Generator, split: Split) -> TaskBatch:
    start = torch.tensor((0.0, 0.6))
    points = sample_points(num, generator, split, (-0.1, 0.1), torch.zeros(2), 0.07) + start
    return TaskBatch(tuple(_push_to(float(x), float(y)) for x, y in points))
