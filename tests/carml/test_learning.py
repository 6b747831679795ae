"""A gate: learning from pixels works, without rewards. Half a minute on one CPU core."""

from __future__ import annotations

import pytest
import torch

from scalable_binding.carml import presets, train
from scalable_binding.carml.rollout import StickyEnv, collect
from scalable_binding.carml.scaffold import build_scaffold
from scalable_binding.carml.task_rewards import NoReward
from scalable_binding.engine.config import override
from scalable_binding.engine.log import read_log
from scalable_binding.envs import registry
from scalable_binding.envs.batch import BatchEnv, GroundTruth, Step
from scalable_binding.envs.layouts import FIXED_PLACES


class Watch(NoReward):
    """Notes the true positions of every step."""

    def __init__(self) -> None:
        self.positions: list[torch.Tensor] = []

    def step(self, step: Step, env: BatchEnv) -> torch.Tensor:
        truth: GroundTruth = env.ground_truth()
        self.positions.append(truth["position"])
        return super().step(step, env)


@pytest.mark.slow
def test_tasks_made_from_pixels_resemble_coming_near_to_objects() -> None:
    """Correlation of the best task's reward with each object's: .57 to .71 (before: .24 to .35)."""
    config = presets.room()
    random = torch.Generator().manual_seed(0)
    env = registry.make("room", 250, 0, **config.environment.arguments())
    sticky = StickyEnv(env, config.curriculum.first_sticky, random)
    watch = Watch()
    trials = collect(sticky, train.build(config, env), watch, 4, random)  # type: ignore[arg-type]
    trajectories = trials.trajectories.flatten(0, 1)
    scaffold = build_scaffold(trajectories.shape[2:], config.scaffold, 16)
    figures = scaffold.fit(trajectories, random)
    assert figures["clusters_accuracy"] > 0.3, "chance is .06"
    assert figures["scaffold_components"] > 12
    positions = torch.stack(watch.positions, 1).unflatten(1, (4, 16)).flatten(0, 2)
    features = scaffold.encode(trajectories.flatten(0, 1))
    rewards = scaffold.log_likelihood(features, torch.arange(16))
    rewards = rewards - scaffold.marginal(features)[:, None]
    best = []
    for place in FIXED_PLACES:
        distance = (positions - torch.tensor(place)).norm(dim=-1)
        near = (80 / distance.clamp(min=80)).double()
        best.append(float(torch.corrcoef(torch.cat([near[None], rewards.mT]))[0, 1:].max()))
    assert sum(best) / len(best) > 0.45, best


@pytest.mark.slow
def test_an_agent_learns_tasks_made_from_pixels(tmp_path) -> None:
    """Rewards of its own tasks after 40 updates: .36, .46, .49 for seeds 0 to 2, from about .25."""
    changes = {"fit.steps": 40, "validation.every": 0}
    train.train(override(presets.room(), changes), tmp_path)
    rewards = [line["reward_1"] for line in read_log(tmp_path) if "reward_1" in line]
    assert rewards[-1] > rewards[0] + 0.05, rewards
