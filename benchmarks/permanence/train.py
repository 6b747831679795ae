"""Train the tracker that ships, and the same with other seeds and without memory.

    python -m benchmarks.permanence.train --out DIR [--seeds 0 1 2] [--kinds memory] [--ship]

Per seed two runs of the preset "small", ``DIR/memory-SEED`` and ``DIR/memoryless-SEED``, on the
same games, which are painted once and kept in ``DIR/games.pt``. A run that was stopped goes on.
``--ship`` puts the first seed's run with memory into the package. Not run by make bench.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from benchmarks.shipping import ship
from scalable_binding.cli.settings import configure
from scalable_binding.data.synthetic.games import hiding
from scalable_binding.data.synthetic.hiding import Hiding, HidingClips
from scalable_binding.permanence.inference import SHIPPED, load
from scalable_binding.permanence.presets import GameConfig, PermanenceConfig
from scalable_binding.permanence.train import train

COMMAND = "python -m benchmarks.permanence.train --out DIR --ship"
CARD = {
    "name": "permanence",
    "data": "200 games of hide and seek of the synthetic world, of generated textures",
    "license": "Apache-2.0",
    "command": COMMAND,
    "score": "distance on occluded frames, three seeds, told where objects are seen: 4.81 pixels "
    "of 48 (last seen 5.62, constant velocity 5.80, the walk without memory 5.26)",
}
GAMES_SEED = 0
KINDS = {"memory": True, "memoryless": False}


def paint(config: GameConfig, kept: Path) -> dict[int, Hiding]:
    """The games to train on, from the file where they are kept or painted anew."""
    if kept.is_file():
        painted: dict[int, Hiding] = torch.load(kept, weights_only=False)  # our own file
        return painted
    world = hiding(size=config.size, num_frames=config.num_frames)
    clips = HidingClips(world, num_games=config.num_games, seed=GAMES_SEED)
    painted = {number: clips.game(number) for number in range(config.num_games)}
    kept.parent.mkdir(parents=True, exist_ok=True)
    torch.save(painted, kept)
    return painted


def configured(seed: int, *, memory: bool, settings: list[str]) -> PermanenceConfig:
    chosen = [f"fit.seed={seed}", f"model.memory={str(memory).lower()}", *settings]
    config: PermanenceConfig = configure("permanence", "small", settings=chosen)
    return config


def run_folder(out: Path, seed: int, *, memory: bool) -> Path:
    return out / f"{'memory' if memory else 'memoryless'}-{seed}"


def learn(out: Path, seed: int, *, memory: bool, settings: list[str]) -> None:
    """One run; prints the CPU seconds that it took."""
    config = configured(seed, memory=memory, settings=settings)
    painted = paint(config.games, out / "games.pt")
    world = hiding(size=config.games.size, num_frames=config.games.num_frames)
    clips = HidingClips(world, num_games=len(painted), seed=seed, painted=painted)
    run = run_folder(out, seed, memory=memory)
    begin = time.process_time()
    train(config, run, clips=clips)
    if (spent := time.process_time() - begin) > 1:
        print(f"{run}: {spent:.0f} s of CPU")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--set", dest="settings", nargs="*", default=[])
    parser.add_argument("--ship", action="store_true")
    chosen = parser.parse_args()
    for seed in chosen.seeds:
        for kind in chosen.kinds:
            learn(chosen.out, seed, memory=KINDS[kind], settings=chosen.settings)
    if chosen.ship:
        run = run_folder(chosen.out, chosen.seeds[0], memory=True)
        ship(load(run), run, SHIPPED, CARD)


if __name__ == "__main__":
    main()
