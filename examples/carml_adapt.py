"""An agent that was trained without rewards meets one, and gets better at it within four episodes.

python examples/carml_adapt.py [RUN] [X] [Y]

RUN is a folder that `sbind carml train --preset maze --run RUN` has made; X, Y is a place in the
maze, from 0 to 500. The loop below is all that an environment of your own needs.
"""

import sys

import torch

from scalable_binding.carml import inference
from scalable_binding.envs.maze import Maze


def main(run: str = "runs/maze", x: float | str = 380, y: float | str = 330) -> None:
    """Print how near the agent came to the goal in every episode."""
    agent = inference.Agent(inference.load(run), seed=0)
    world, goal = Maze(num_envs=1, seed=0), torch.tensor([float(x), float(y)])

    agent.reset()  # once a task
    reward, done = 0.0, False
    for episode in range(1, 5):
        observation, nearest = world.reset(), float("inf")
        for _ in range(world.episode_length):
            action = agent.act(observation[0].numpy(), reward, done)
            step = world.step(torch.tensor([action]))
            distance = float((world.ground_truth()["position"][0] - goal).norm())
            reward, done = 50 / max(distance, 50.0), bool(step.done[0])  # your reward goes here
            observation, nearest = step.observation, min(nearest, distance)
        print(f"episode {episode}: came within {nearest:.0f} of the goal")


if __name__ == "__main__":
    main(*sys.argv[1:])
