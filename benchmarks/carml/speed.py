"""Roll-outs and updates of the agent beside stable-baselines3's RecurrentPPO.

    python -m benchmarks.carml.speed [--peer DIR] [--rounds 5] [--clock cpu] [--json FILE]

Some two minutes. The claim: at least 1.5 times the steps a second in roll-outs and 2.3 times in
updates. DIR holds the peer, which is no dependency and is not run without this option:

    pip install --no-deps --target DIR stable-baselines3 sb3-contrib

Both have the thesis' network for 84 x 84 pixels with strides 4 and 2: two convolutions, 256
features, an LSTM of 512 (the peer knows no GRU) that policy and value share, heads of 256. Eight
environments show recorded frames, which costs next to nothing; four episodes of 50 steps are a
trial, which for the peer has to pose as one episode of 200. An update is one pass over all 1,600
steps as one batch, with clipping of the gradient and Adam. The agent here also sees its last
action, reward and the ends of episodes, as RL^2 has to. "GRU" is the thesis' own network.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from benchmarks import timing
from scalable_binding.carml import model, objective
from scalable_binding.carml.config import PPOConfig
from scalable_binding.carml.model import Recurrence
from scalable_binding.carml.rollout import collect
from scalable_binding.carml.task_rewards import OwnReward
from scalable_binding.engine.distributed import DistributedContext
from scalable_binding.engine.fit_config import EmaConfig, FitConfig, OptimizerConfig
from scalable_binding.engine.loading import MicroBatch
from scalable_binding.engine.trainer import Trainer
from scalable_binding.envs.batch import Step

PEER = "stable-baselines3"
NUM_ENVS, EPISODES, LENGTH, ACTIONS = 8, 4, 50, 3
PPO = PPOConfig(epochs=1)


class Film:
    """Environments that show recorded frames, whatever is done in them."""

    def __init__(self, num_envs: int, size: int, length: int) -> None:
        self.num_envs, self.episode_length = num_envs, length
        self.observation_space = spaces.Box(0, 255, (3, size, size), np.uint8)
        self.action_space = spaces.Discrete(ACTIONS)
        random = torch.Generator().manual_seed(0)
        shape = (64, num_envs, 3, size, size)
        self.frames = torch.randint(256, shape, dtype=torch.uint8, generator=random)
        self.rewards = torch.rand(64, num_envs, generator=random)
        self.time = 0

    def resample_world(self) -> None:
        pass

    def reset(self) -> Tensor:
        self.time = 0
        return self.frames[0]

    def step(self, actions: Tensor) -> Step:
        self.time += 1
        place = self.time % len(self.frames)
        done = torch.full((self.num_envs,), self.time == self.episode_length)
        return Step(self.frames[place], self.rewards[place], done)

    def ground_truth(self) -> dict[str, Tensor]:
        return {}

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        pass

    def close(self) -> None:
        pass


def own(
    recurrence: Recurrence, size: int, hidden: int
) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return a roll-out and an update of ours."""
    env, random = Film(NUM_ENVS, size, LENGTH), torch.Generator().manual_seed(0)
    decided = model.spaces_to_arguments(env.observation_space, env.action_space)
    policy = model.init_policy(0, **decided, strides=(4, 2), recurrence=recurrence, hidden=hidden)
    optimizer = OptimizerConfig(lr=3e-4)
    config = FitConfig(
        optimizer=optimizer, ema=EmaConfig(decay=0.0), max_grad_norm=0.5, device="cpu"
    )
    ranks = DistributedContext(0, 1, torch.device("cpu"))
    trainer = Trainer(policy, partial(objective.loss, config=PPO), config, ranks)

    def roll_out() -> Any:
        return collect(env, policy, OwnReward(), EPISODES, random)

    trials = roll_out()

    def update() -> object:
        batch = objective.batch_of(trials, PPO, ranks)
        return trainer.update([MicroBatch(0, batch)], 1)

    return roll_out, update


def peer(folder: Path, size: int, hidden: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return a roll-out and an update of RecurrentPPO, its own methods."""
    sys.path.insert(0, str(folder))
    from sb3_contrib import RecurrentPPO
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

    class Encoder(BaseFeaturesExtractor):
        def __init__(self, observation_space: spaces.Box) -> None:
            super().__init__(observation_space, features_dim=256)
            decided = {"observation": observation_space.shape, "actions": ACTIONS}
            self.layers = model.init_policy(0, **decided, strides=(4, 2)).encoder

        def forward(self, observations: Tensor) -> Tensor:
            return self.layers(observations)

    settings = {
        "features_extractor_class": Encoder,
        "lstm_hidden_size": hidden,
        "shared_lstm": True,
        "enable_critic_lstm": False,
        "net_arch": {"pi": [256], "vf": [256]},
        "activation_fn": nn.ReLU,
    }
    steps = EPISODES * LENGTH
    trainer = RecurrentPPO(
        "CnnLstmPolicy",
        _vectorized(Film(NUM_ENVS, size, steps)),
        n_steps=steps,
        batch_size=NUM_ENVS * steps,
        n_epochs=1,
        clip_range=PPO.clip,
        max_grad_norm=0.5,
        policy_kwargs=settings,
        device="cpu",
        seed=0,
    )
    _, callback = trainer._setup_learn(NUM_ENVS * steps)

    def roll_out() -> object:
        return trainer.collect_rollouts(trainer.env, callback, trainer.rollout_buffer, steps)

    roll_out()
    return roll_out, trainer.train


def _vectorized(film: Film) -> Any:
    """Return recorded environments as the peer takes them."""
    from stable_baselines3.common.vec_env import VecEnv

    class Recorded(VecEnv):
        def __init__(self) -> None:
            super().__init__(film.num_envs, film.observation_space, film.action_space)

        def reset(self) -> np.ndarray:
            return film.reset().numpy()

        def step_async(self, actions: np.ndarray) -> None:
            self.actions = torch.from_numpy(actions)

        def step_wait(self) -> Any:
            step = film.step(self.actions)
            observation = step.observation.numpy()
            infos: list[dict[str, Any]] = [{} for _ in range(film.num_envs)]
            if bool(step.done.all()):
                for info, last in zip(infos, observation, strict=True):
                    info["terminal_observation"] = last
                observation = film.reset().numpy()
            return observation, step.reward.numpy(), step.done.numpy(), infos

        def close(self) -> None:
            pass

        def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
            return [None] * film.num_envs

        def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
            pass

        def env_method(self, method_name: str, *arguments: Any, **options: Any) -> list[Any]:
            return [None] * film.num_envs

        def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
            return [False] * film.num_envs

    return Recorded()


def rows_of(seconds: timing.Seconds, baseline: str) -> list[dict[str, Any]]:
    """Return the comparison with steps a second beside it."""
    steps = NUM_ENVS * EPISODES * LENGTH
    rows = timing.compare(seconds, baseline)
    return [{**row, "steps / s": round(steps / float(row["median s"]))} for row in rows]


def main() -> None:
    options = timing.parser(__doc__ or "", rounds=5)
    options.add_argument("--peer", type=Path, help="folder with the peer")
    options.add_argument("--size", type=int, default=84, help=argparse.SUPPRESS)
    options.add_argument("--hidden", type=int, default=512, help=argparse.SUPPRESS)
    arguments = options.parse_args()
    sizes = arguments.size, arguments.hidden
    contestants = {} if arguments.peer is None else {PEER: peer(arguments.peer, *sizes)}
    contestants |= {"here, LSTM": own("lstm", *sizes), "here, GRU": own("gru", *sizes)}
    rows = []
    for place, work in enumerate(("roll-out", "update")):
        runs = {name: both[place] for name, both in contestants.items()}
        seconds = timing.in_turns(runs, arguments.rounds, clock=arguments.clock)
        rows += [{"work": work, **row} for row in rows_of(seconds, next(iter(runs)))]
    facts = {"clock": arguments.clock, **timing.conditions()}
    timing.report(rows, facts, arguments.json)


if __name__ == "__main__":
    main()
