"""Steps of environments a second of processor time, this process and its children together.

    OMP_NUM_THREADS=1 python -m benchmarks.envs.throughput

Claim: the pixel room gives at least 15,000 steps of 42 pixels, ViZDoom 5,000 and Sawyer 600 a
second and core. Beside the batch of rooms runs one room at a time through Gymnasium's interface,
beside the wrapper for users' environments Gymnasium's own vector environment, beside ViZDoom the
game without frames that are read and shrunk. Here every episode starts from a seed of its own, so
that a stopped run goes on exactly; Gymnasium's vector seeds nothing after the first reset, and does
the same work in the row where it is told to (CartPole's episodes are short: 22 steps).
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode

from benchmarks import timing
from scalable_binding.envs import registry
from scalable_binding.envs.batch import BatchEnv
from scalable_binding.envs.doom import DoomConfig, DoomRoom
from scalable_binding.errors import UserError

_TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds() -> float:
    """Return the processor time of this process and of its living children, ViZDoom's games."""
    total = time.process_time()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[1]) == os.getpid():
            total += (int(words[11]) + int(words[12])) / _TICKS
    return total


def step(env: BatchEnv, num_steps: int) -> Callable[[], None]:
    """Return a run of episodes with random actions, ``num_steps`` for the whole batch."""
    generator = torch.Generator().manual_seed(0)

    def draw() -> torch.Tensor:
        if isinstance(env.action_space, gymnasium.spaces.Box):
            return 2 * torch.rand(env.num_envs, *env.action_space.shape, generator=generator) - 1
        return torch.randint(int(env.action_space.n), (env.num_envs,), generator=generator)

    def run() -> None:
        for number in range(num_steps // env.num_envs):
            if number % env.episode_length == 0:
                env.reset()
            env.step(draw())

    return run


def step_one(env: gymnasium.Env[Any, Any], num_steps: int, length: int) -> Callable[[], None]:
    """Return a run of one environment through Gymnasium's interface."""
    env.action_space.seed(0)

    def run() -> None:
        for number in range(num_steps):
            if number % length == 0:
                env.reset()
            env.step(env.action_space.sample())

    return run


def step_theirs(
    name: str, num_envs: int, num_steps: int, *, seeded: bool = False
) -> Callable[[], None]:
    """Return a run of Gymnasium's own vector of environments; steps of restarts do not count.

    Args:
        name: Gymnasium's id.
        num_envs: environments.
        num_steps: of all of them together.
        seeded: whether each episode starts from a seed of its own.
    """
    mode = AutoresetMode.DISABLED if seeded else AutoresetMode.NEXT_STEP
    kwargs = {"autoreset_mode": mode}
    env = gymnasium.make_vec(name, num_envs, vectorization_mode="sync", vector_kwargs=kwargs)
    env.action_space.seed(0)

    def run() -> None:
        count, seed, over = 0, 0, np.zeros(num_envs, bool)
        env.reset()
        while count < num_steps:
            if seeded and over.any():
                seeds = [seed + number for number in range(num_envs)]
                env.reset(seed=seeds, options={"reset_mask": over})
                seed, over = seed + num_envs, np.zeros(num_envs, bool)
            count += over.tolist().count(False)
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            over = terminated | truncated

    return run


def step_episodes(name: str, num_envs: int, num_steps: int) -> Callable[[], None]:
    """Return a run of ours, of which the steps of environments that wait do not count."""
    env = registry.make(name, num_envs)
    assert isinstance(env.action_space, gymnasium.spaces.Discrete)
    num_actions, generator = int(env.action_space.n), torch.Generator().manual_seed(0)

    def run() -> None:
        count = 0
        while count < num_steps:
            env.reset()
            over = [False] * num_envs
            while not all(over):
                count += over.count(False)
                actions = torch.randint(num_actions, (num_envs,), generator=generator)
                over = env.step(actions).done.tolist()

    return run


def play(num_steps: int) -> Callable[[], None]:
    """Return a run of the game alone, whose frames nobody reads."""
    env = DoomRoom(DoomConfig())

    def run() -> None:
        for number in range(num_steps):
            if number % 50 == 0:
                env._game.new_episode()
            env._game.make_action([0.0, 1.0], 4)

    return run


def contestants(num: int) -> dict[str, tuple[int, Callable[[], None]]]:
    """Return the steps of each contestant's run, and the run; without what is not installed."""
    make = registry.make
    few, fewer = max(1, num // 10), max(1, num // 40)
    runs = {
        "maze, 128 at once": (num, step(make("maze", 128), num)),
        "room, 24 px, 128 at once": (num, step(make("room", 128, size=24), num)),
        "room, 42 px, 128 at once": (num, step(make("room", 128, size=42), num)),
        "room, 42 px, 128 at once, random": (
            num,
            step(make("room", 128, size=42, layout="random"), num),
        ),
        "room, 42 px, 16 at once": (num, step(make("room", 16, size=42), num)),
        "room, 84 px, 128 at once": (num, step(make("room", 128, size=84), num)),
        "room, 42 px, one by one": (
            few,
            step_one(gymnasium.make("scalable_binding.envs:Room-v0"), few, 50),
        ),
    }
    for name in ("MountainCar", "CartPole"):
        identity = "MountainCar-v0" if name == "MountainCar" else "CartPole-v1"
        runs[f"{name}, 16 here"] = (num, step_episodes(identity, 16, num))
        runs[f"{name}, 16 by Gymnasium"] = (num, step_theirs(identity, 16, num))
        seeded = step_theirs(identity, 16, num, seeded=True)
        runs[f"{name}, 16 by Gymnasium, seeded"] = (num, seeded)
    try:
        runs["ViZDoom, 84 px, 2 games"] = (few, step(make("vizdoom-fixed", 2), few))
        runs["ViZDoom, the game alone"] = (few, play(few))
        runs["Sawyer, 84 px, 16 at once"] = (fewer, step(make("sawyer", 16), fewer))
    except UserError as error:
        print(f"left out: {error}")
    return runs


def main() -> None:
    options = timing.parser(__doc__, rounds=5)
    options.add_argument("--num", type=int, default=16_000, help="steps of the fast ones a round")
    options.add_argument("--only", default="", help="contestants with this in their name")
    arguments = options.parse_args()
    timing.CLOCKS["cpu"] = processor_seconds
    everyone = {
        name: contestant
        for name, contestant in contestants(arguments.num).items()
        if arguments.only in name
    }
    seconds = timing.in_turns(
        {name: run for name, (_, run) in everyone.items()}, arguments.rounds, clock="cpu"
    )
    rows = [
        {
            "": name,
            "steps": everyone[name][0],
            "a second": round(everyone[name][0] / statistics.median(own)),
            "from": round(everyone[name][0] / max(own)),
            "to": round(everyone[name][0] / min(own)),
        }
        for name, own in seconds.items()
    ]
    timing.report(rows, {"clock": "cpu", **timing.conditions()}, arguments.json)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
