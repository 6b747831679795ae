"""Trials of agents on goals that are given by a click, as the page shows them."""

from __future__ import annotations

import base64
import io
import math
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from scalable_binding import weights
from scalable_binding.carml import inference
from scalable_binding.carml.task_rewards import functions_of, read_reward_stats
from scalable_binding.engine.randomness import generator
from scalable_binding.envs import registry
from scalable_binding.envs.description import Description
from scalable_binding.envs.tasks import Task, TaskBatch, find
from scalable_binding.errors import UserError

EPISODES = 4

_NEAR = 0.08
"""Of an object of the room: a click within this share of its side asks for the object."""


def world(agent: str) -> dict[str, Any]:
    """The map of an agent's environment: corners, walls, and what stands in it.

    Raises:
        UserError: no such agent, or its environment has no map.
    """
    config, described = _open(agent)
    return {
        "agent": agent,
        "environment": config.environment.name,
        "low": described.map_low,
        "high": described.map_high,
        "walls": described.walls,
        "places": described.places,
        "episodes": EPISODES,
    }


def trial(agent: str, x: float, y: float, seed: int = 0) -> dict[str, Any]:
    """One trial of a goal: what happened in each of its episodes.

    The goal is the place (x, y), or the object that stands there.

    Args:
        agent: name of one that ships, or a run's folder.
        x, y: in the units of the environment's map.
        seed: of the actions.

    Raises:
        UserError: no such agent, or a place outside the map.
    """
    config, described = _open(agent)
    asked = _task(described, x, y)
    settings = config.environment
    tasks = TaskBatch((asked,))
    with closing(registry.make(settings.name, 1, seed, **settings.arguments())) as env:
        found = inference.adapt(
            inference.load(agent),
            env,
            functions_of(tasks),
            generator(seed, inference.PLACE),
            episodes=EPISODES,
            reward_stats=read_reward_stats(weights.find("carml", agent)),
        )
    truths = {name: values[0] for name, values in found.truths.items()}
    goals = tasks.goals({name: values[None] for name, values in truths.items()})[0]
    near = torch.linalg.vector_norm(truths["position"] - goals, dim=-1) <= asked.radius
    seen = found.trials.trajectories[0]
    return {
        "agent": agent,
        "goal": [float(value) for value in goals[0, 0]],
        "radius": asked.radius,
        "target": asked.target,
        "positions": truths["position"].round(decimals=1).tolist(),
        "headings": truths["heading"].tolist() if "heading" in truths else None,
        "reached": [_first(row) for row in near],
        "returns": [round(float(value), 2) for value in found.returns[0]],
        "views": _sheet(seen) if seen.dtype == torch.uint8 else None,
        "view_size": seen.shape[-1] if seen.dtype == torch.uint8 else None,
    }


def _open(agent: str) -> tuple[Any, Description]:
    """An agent's configuration and the map of its environment."""
    if not (Path(agent).is_dir() or agent in weights.SHIPPED["carml"]):
        raise UserError(f"no agent {agent}", expected=" or ".join(weights.names("carml")))
    config = inference.read_config(agent)
    settings = config.environment
    described = registry.describe(settings.name, **settings.arguments())
    if described is None:
        raise UserError(f"environment {settings.name} has no map to click on")
    return config, described


def _task(described: Description, x: float, y: float) -> Task:
    side = described.map_high[0] - described.map_low[0]
    distances = [math.dist((x, y), place) for place in described.places]
    if distances and min(distances) <= _NEAR * side:
        return find(distances.index(min(distances)))
    return described.goal_task(x, y)


def _first(near: Tensor) -> int | None:
    """The first moment at which the goal is reached."""
    return int(near.nonzero()[0]) if bool(near.any()) else None


def _sheet(seen: UInt8[Tensor, "n t 3 h w"]) -> str:
    """What was seen, a row an episode and a column a moment, as the address of a picture."""
    sheet = rearrange(seen, "n t c h w -> (n h) (t w) c").contiguous().numpy()
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
