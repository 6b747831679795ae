"""What lambda does to the tasks of a VAE in the maze: a picture in the manner of Fig. 4.4.

    python -m benchmarks.carml.exploration --out DIR [--weights 0 0.5 0.9 0.99 1] [--seed 0]

Not run by make bench; some three minutes on one CPU core for each lambda. Every run is the preset
`maze` with spiral walls, the scaffold and the contextual policy of 4.7.3, and tasks made anew every
20 updates, kept in DIR; one that is
there is not trained again. The picture has a row for each lambda and a column for each round: the
mean reconstructions of the last episodes of 256 trials of that round's tasks. The table says which
share of the 10 x 10 cells these episodes visit, and how far a trajectory is from its
reconstruction.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from scalable_binding.carml import inference
from scalable_binding.carml import skills as practice
from scalable_binding.carml.presets import maze
from scalable_binding.carml.round_files import list_rounds, read_round
from scalable_binding.carml.train import train
from scalable_binding.carml.vae import VAEScaffold
from scalable_binding.data.frames import images
from scalable_binding.engine.config import override
from scalable_binding.envs import registry
from scalable_binding.envs.maze import from_states, to_states
from scalable_binding.plots import canvas, grids, skills
from scalable_binding.plots.curves import table

_WORLD = registry.describe("maze", layout="spiral")
assert _WORLD is not None
PLANE = skills.Plane(size=200, walls=_WORLD.walls)


def learn(run: Path, weight: float, seed: int, updates: int | None) -> None:
    """Train the agent of one lambda; a run that is over is left as it is."""
    changes = {
        "method": "contextual",
        "environment.options": ("layout=spiral",),
        "scaffold.kind": "vae",
        "reward.weight": weight,
        "fit.seed": seed,
    }
    if updates is not None:
        changes["fit.steps"] = updates
    train(override(maze(), changes), run)


def look(run: Path, number: int) -> tuple[torch.Tensor, dict[str, float]]:
    """Return the picture (3 h w) of a round's tasks, and its figures."""
    found = practice.rollout_round(run, number)
    config, policy = inference.read_config(run), inference.load(run)
    scaffold, _ = practice.rebuild(config, policy, read_round(run, number))
    assert isinstance(scaffold, VAEScaffold)
    positions = found.truths["position"].float()
    rebuilt = from_states(scaffold.reconstruct(to_states(positions)))
    picture = skills.draw_ground(PLANE)
    colors = skills.time_colors(*rebuilt.shape[:2])
    skills.draw_ways(picture, PLANE.pixels(rebuilt), colors)
    error = torch.linalg.vector_norm(rebuilt - positions, dim=-1).mean()
    return canvas.finish(picture), {"coverage": found.figures["coverage"], "error": float(error)}


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("--out", type=Path, required=True, help="folder of the runs")
    options.add_argument("--weights", type=float, nargs="+", default=[0.0, 0.5, 0.9, 0.99, 1.0])
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--updates", type=int, help="of every agent, to try the script")
    asked = options.parse_args()
    pictures, rows = [], []
    for weight in asked.weights:
        run = asked.out / f"lambda-{weight:g}-{asked.seed}"
        learn(run, weight, asked.seed, asked.updates)
        looks = [look(run, number) for number in list_rounds(run)]
        pictures.append(torch.stack([picture for picture, _ in looks]))
        row: dict[str, Any] = {"lambda": f"{weight:g}"}
        row |= {
            f"round {n}": f"{figures['coverage']:.2f}" for n, (_, figures) in enumerate(looks, 1)
        }
        row |= {"error": f"{looks[-1][1]['error']:.0f}"}
        rows.append(row)
    columns = [f"round {number}" for number in range(1, len(pictures[0]) + 1)]
    names = [f"lambda {weight:g}" for weight in asked.weights]
    drawn = grids.table(torch.stack(pictures), rows=names, columns=columns)
    images.write(asked.out / "exploration.png", drawn)
    print(table(rows))


if __name__ == "__main__":
    main()
