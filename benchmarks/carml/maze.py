"""The claims of chapter 4 on the maze: what CARML's agents do beside baselines and variants.

    python -m benchmarks.carml.maze --out DIR [--seeds 0 1 2] [--only NAME ...] [--tasks 200]

Not run by make bench. About ten minutes on one CPU core for a seed. Every run is the preset
`maze`, changed as its row says, and is kept in DIR; what is there already is not trained again, so
that one call can go on where another stopped. Tables at the end are means over the seeds, with the
range of seeds.

Transfer: share of unseen goals that were reached in each episode of a trial, nothing trained.
Skills: in the last episodes of 256 trials of the last whole round's tasks, the share of 10 x 10
cells visited, the information between task and cell (nats), and how many tasks are in use. One
task: share of episodes that reach one test goal, against environment steps, from scratch (episodes
by themselves), from CARML's agent and from one that was paid for novelty (RND). Many tasks: the
same for supervised meta-learning, from scratch and from CARML's agent.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks import timing
from scalable_binding.carml import evaluate, inference, skills
from scalable_binding.carml.presets import maze
from scalable_binding.carml.round_files import list_rounds, read_round
from scalable_binding.carml.task_rewards import read_reward_stats
from scalable_binding.carml.train import train
from scalable_binding.engine import checkpoint
from scalable_binding.engine.config import override
from scalable_binding.plots.curves import table

SKILLS: dict[str, dict[str, Any]] = {
    "carml": {},
    "online-discriminator": {"method": "online-discriminator", "reward.weight": 1.0},
    "tasks made once": {"curriculum.period": 10_000},
    "oracle": {"method": "oracle"},
    "lambda 1": {"reward.weight": 1.0},
    "lambda 0.5": {"reward.weight": 0.5},
    "pretrained-discriminator": {"method": "pretrained-discriminator", "reward.weight": 1.0},
    "pipelined": {"method": "pipelined"},
    "lambda 0.9": {"reward.weight": 0.9},
    "metra": {"method": "metra"},
    "reservoir whitening": {"reward.whitening": "reservoir"},
}
"""Runs of their own, by what they change; the default is lambda 0.99."""

ALONE = {
    "method": "ppo",
    "curriculum.episodes": 1,
    "fit.batch_size": 100,
    "fit.steps": 40,
    "fit.log_every": 1,
    "validation.every": 0,
}
"""PPO on one task, 100 episodes in an update as in 4.5.2."""

GOALS = ("goal=380,330", "goal=110,250", "goal=250,420")
MARKS = (2_000, 8_000, 16_000, 32_000, 64_000)
"""Environment steps at which single tasks are compared."""


def main() -> None:
    """Do the runs that are missing, and print what all of them came to."""
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("--out", type=Path, required=True, help="folder of the runs")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--only", nargs="*", help="rows, by name; all by default")
    options.add_argument("--tasks", type=int, default=200, help="unseen goals")
    options.add_argument("--updates", type=int, help="of every agent, to try the script")
    given = options.parse_args()
    for seed in given.seeds:
        for name in given.only if given.only is not None else [*SKILLS, "one task", "many tasks"]:
            if name in SKILLS:
                learn_skills(given.out, name, seed, given.tasks, given.updates)
            elif name == "one task":
                compare_on_one_task(given.out, seed, given.updates)
            else:
                compare_on_many(given.out, seed, given.updates)
    report(given.out)


def learn_skills(out: Path, name: str, seed: int, num_tasks: int, updates: int | None) -> None:
    """Train one agent, if it is missing, and keep its scores."""
    run = folder(out, name, seed)
    file = run.with_suffix(".json")
    if file.exists():
        return
    start = time.process_time()
    config = override(maze(), {**SKILLS[name], "fit.seed": seed})
    if updates is not None:
        config = override(config, {"fit.steps": updates})
    train(config, run)
    scores: dict[str, Any] = {"seconds": time.process_time() - start}
    policy, reward_stats = inference.load(run), read_reward_stats(run)
    agents = {"transfer": policy}
    if name == "carml":
        agents["random"] = evaluate.untrained(policy)
        scores["first rounds"] = early(run, num_tasks)
    for agent, each in agents.items():
        found = evaluate.transfer(
            each, config, num_tasks=num_tasks, seed=seed, reward_stats=reward_stats
        )
        scores[agent] = found.record()["success"]
    if name not in ("oracle", "metra"):  # which have no scaffold
        numbers = list_rounds(run)
        # The last round that is over, with the agent that it led to.
        scores |= skills.rollout_round(run, numbers[-2] if numbers[1:] else None).figures
    write(file, scores)


def early(run: Path, num_tasks: int) -> list[float]:
    """Return the share of goals reached in the last episode by the agent after each round."""
    config, policy, found = inference.read_config(run), inference.load(run), []
    for number in list_rounds(run)[1:]:
        checkpoint.load_tensors(policy, read_round(run, number).policy, run)
        score = evaluate.transfer(policy, config, num_tasks=num_tasks, seed=config.fit.seed)
        found.append(score.success[-1].mean)
    return found


def compare_on_one_task(out: Path, seed: int, updates: int | None) -> None:
    """Train on single goals: from scratch, and from agents of the same seed that know no goal."""
    novelty = folder(out, "rnd", seed)
    steps = {} if updates is None else {"fit.steps": updates}
    train(override(maze(), {"method": "rnd", "fit.seed": seed, **steps}), novelty)
    begun = {"scratch": None, "from carml": folder(out, "carml", seed), "from rnd": novelty}
    for number, goal in enumerate(GOALS):
        changes: dict[str, Any] = {**ALONE, "task": goal, "fit.seed": seed, **steps}
        for name, agent in begun.items():
            run = folder(out, f"{name} {number}", seed)
            if run.with_suffix(".json").exists():
                continue
            start: dict[str, Any] = {}
            if agent is not None:
                # An agent keeps its trials of four episodes: 25 trials are 100 episodes.
                start = {"start.weights": str(agent), "curriculum.episodes": 4}
                start |= {"fit.batch_size": 25, "ppo.minibatches": 1}
            train(override(maze(), {**changes, **start}), run)
            samples, values = skills.curve(run, "solved_last")
            write(run.with_suffix(".json"), {"samples": samples, "solved": values})


def compare_on_many(out: Path, seed: int, updates: int | None) -> None:
    """Meta-learn the training goals, from scratch and from CARML's agent of the same seed."""
    carml = folder(out, "carml", seed)
    for name in ("meta scratch", "meta from carml"):
        run = folder(out, name, seed)
        if run.with_suffix(".json").exists():
            continue
        changes = {"method": "oracle", "fit.steps": updates or 60, "fit.log_every": 1}
        changes |= {"fit.seed": seed, "validation.every": 0}
        start = {} if name == "meta scratch" else {"start.weights": str(carml)}
        train(override(maze(), {**changes, **start}), run)
        samples, values = skills.curve(run, "solved_last")
        write(run.with_suffix(".json"), {"samples": samples, "solved": values})


def report(out: Path) -> None:
    """Print the tables of all that is in the folder."""
    print("\nSkills and transfer\n")
    rows = []
    for name in SKILLS:
        found = read(out, name)
        if not found:
            continue
        if name == "carml":
            rows.append(row("random", [each["random"] for each in found], []))
        rows.append(row(name, [each["transfer"] for each in found], found))
    print(table(rows, digits=2))
    for name in ("one task", "many tasks"):
        print(f"\n{name}: share of episodes that reach the goal, by environment steps\n")
        kinds = ["scratch", "from carml", "from rnd"]
        if name == "many tasks":
            kinds = ["meta scratch", "meta from carml"]
        lines = []
        for kind in kinds:
            pool = [f"{kind} {n}" for n in range(len(GOALS))] if name == "one task" else [kind]
            found = [each for one in pool for each in read(out, one)]
            if found:
                lines.append({"": kind, "runs": len(found), **at_marks(found)})
        print(table(lines, digits=2))
    early_ones = [each["first rounds"] for each in read(out, "carml") if each["first rounds"]]
    if early_ones:
        means = [statistics.mean(column) for column in zip(*early_ones, strict=True)]
        print("\ncarml, last episode, after each round:", " ".join(f"{m:.2f}" for m in means))
    for name, value in timing.conditions().items():
        print(f"{name}: {value}")


def row(name: str, transfer: list[list[float]], found: list[dict[str, Any]]) -> dict[str, object]:
    """Return a row of the first table: means, and the range of seeds for the last episode."""
    episodes = [statistics.mean(column) for column in zip(*transfer, strict=True)]
    last = [each[-1] for each in transfer]
    cells: dict[str, object] = {"": name, "seeds": len(transfer)}
    cells |= {"episode 1": f"{episodes[0]:.2f}", f"episode {len(episodes)}": f"{episodes[-1]:.2f}"}
    cells["from - to"] = f"{min(last):.2f} - {max(last):.2f}"
    for figure in ("coverage", "information", "tasks_in_use", "seconds"):
        values = [each[figure] for each in found if figure in each]
        cells[figure.replace("_", " ")] = f"{statistics.mean(values):.2f}" if values else ""
    return cells


def at_marks(found: list[dict[str, list[float]]]) -> dict[str, object]:
    """Return the mean share at each number of environment steps, over two updates before it."""
    cells: dict[str, object] = {}
    for mark in MARKS:
        values = []
        for each in found:
            before = [v for s, v in zip(each["samples"], each["solved"], strict=True) if s <= mark]
            values += [statistics.mean(before[-2:])] if before else []
        if values:
            cells[f"{mark:,}"] = f"{statistics.mean(values):.2f}"
    return cells


def folder(out: Path, name: str, seed: int) -> Path:
    """Return where a run is kept."""
    return out / f"{name.replace(' ', '-').replace('.', '_')}-{seed}"


def read(out: Path, name: str) -> list[dict[str, Any]]:
    """Return the scores of all seeds of a row that are there."""
    pattern = folder(out, name, 0).name[:-1]
    files = sorted(out.glob(f"{pattern}[0-9].json"))
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def write(file: Path, scores: dict[str, Any]) -> None:
    """Keep scores beside their run."""
    file.write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
