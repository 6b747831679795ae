"""The report of a run: scores, curves, the tasks of each round seen from above, an adaptation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor

from scalable_binding import report as page
from scalable_binding import weights
from scalable_binding.atomic import explain_write_errors
from scalable_binding.carml import inference
from scalable_binding.carml import skills as practice
from scalable_binding.carml.config import CARMLConfig
from scalable_binding.carml.evaluate import Transfer, sound_reward_stats
from scalable_binding.carml.inference import Adaptation
from scalable_binding.carml.round_files import list_rounds, read_round
from scalable_binding.carml.vae import VAEScaffold
from scalable_binding.data.frames import images, videos
from scalable_binding.engine.log import LOG, read_log
from scalable_binding.engine.randomness import generator
from scalable_binding.envs import registry
from scalable_binding.envs.maze import from_states
from scalable_binding.envs.tasks import Task
from scalable_binding.errors import UserError
from scalable_binding.plots import curves, grids, skills
from scalable_binding.plots.curves import Curve, Panel
from scalable_binding.plots.skills import Plane, Track
from scalable_binding.report import Chapter, Section

TASKS_TITLE = "Tasks that it made"
NUM_TRIALS = 256
NUM_SHOWN = 4
"""Test tasks whose trials are drawn."""


def write(run: Path, path: Path, scores: Mapping[str, Transfer]) -> None:
    """Write the report of a run into one HTML file, and its pictures into a folder beside it.

    Where a file of the run is damaged, the part made from it says so, and the others are drawn.

    Args:
        run: of CARML.
        path: of the file.
        scores: of the agent, and of whatever it is to be compared with, by name.

    Raises:
        UserError: it cannot be written.
    """
    run = weights.find("carml", run)
    config = inference.read_config(run)
    folder = path.with_name(f"{path.stem}-pictures")
    with explain_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _, damage = sound_reward_stats(run)
    notes = [] if damage is None else [page.note(damage)]
    sections = [_scores(folder, scores, config, notes)]
    for name, title, draw in (
        ("learning", "Learning", lambda: [_learning(run, folder)]),
        ("tasks", TASKS_TITLE, lambda: _tasks(run, folder, config)),
        ("trials", "Trials of unseen tasks", lambda: [_trials(run, folder, config)]),
    ):
        sections += _or_what_is_missing(name, title, draw)
    chapter = Chapter(
        name="carml",
        title=f"{run.name}: {config.environment.name}, {config.method}",
        lead="An agent that made its own tasks, and what it does with tasks that it never saw.",
        sections=sections,
    )
    page.write(path, [chapter], footer=f"{config.fit.steps} updates, seed {config.fit.seed}")


def _or_what_is_missing(name: str, title: str, draw: Callable[[], list[Section]]) -> list[Section]:
    """The sections that ``draw`` makes, or one that says which file of the run is damaged."""
    try:
        return draw()
    except UserError as error:
        return [Section(name=name, title=title, blocks=[page.note(f"Not drawn: {error}")])]


def _scores(
    folder: Path, scores: Mapping[str, Transfer], config: CARMLConfig, notes: Sequence[str]
) -> Section:
    episodes = range(1, config.curriculum.episodes + 1)
    lines = [
        Curve(
            label=name,
            x=list(episodes),
            y=[score.mean for score in found.success],
            spread=[score.margin for score in found.success],
        )
        for name, found in scores.items()
    ]
    panel = Panel(curves=lines, x_label="episode of a trial", y_label="share of goals reached")
    curves.save(folder / "transfer.png", [panel])
    rows = [(name, [score.mean for score in found.success]) for name, found in scores.items()]
    num = next(iter(scores.values())).num_tasks
    return Section(
        name="scores",
        title="Unseen tasks",
        blocks=[
            page.paragraph(f"{num} tasks, a trial each; no gradient. Bands are 95 % intervals."),
            page.table(["", *map(str, episodes)], rows, "Goals reached", best_of="column"),
            page.pictures([(folder / "transfer.png", "Episodes of a trial")]),
            *notes,
        ],
        scores={name: found.record() for name, found in scores.items()},
    )


def _learning(run: Path, folder: Path) -> Section:
    """Rewards of each episode in training, and what validation found."""
    entries = read_log(run)
    panels = []
    for prefix, label in (("reward_", "mean reward of a step"), ("solved_", "validation solved")):
        names = sorted({name for entry in entries for name in entry if name.startswith(prefix)})
        drawn = []
        for name in names:
            points = [
                (entry["step"], float(entry[name]))
                for entry in entries
                if isinstance(entry.get(name), int | float)
            ]
            if not points:
                continue
            x, y = zip(*points, strict=True)
            drawn.append(Curve(label=f"episode {name.removeprefix(prefix)}", x=x, y=y))
        if drawn:
            panels.append(Panel(curves=drawn, x_label="updates", y_label=label))
    if not panels:
        raise UserError(f"{run / LOG} holds no figures of training that can be read")
    curves.save(folder / "learning.png", panels)
    return Section(
        name="learning",
        title="Learning",
        blocks=[page.pictures([(folder / "learning.png", "Training and validation")], wide=True)],
    )


def _tasks(run: Path, folder: Path, config: CARMLConfig) -> list[Section]:
    """What the agent does for the tasks of each round (Fig. 4.6, 4.8, 4.13), and a VAE's (4.4)."""
    numbers = list_rounds(run)
    if not numbers or config.method == "pipelined":
        return []
    blocks = []
    if config.scaffold.kind == "vae":
        file = folder / "reconstructions.png"
        images.write(file, _render_reconstructions(run, numbers, config))
        blocks.append(page.pictures([(file, "Mean trajectories of 16 tasks, round by round.")]))
    else:
        found = {f"round {number}": practice.rollout_round(run, number) for number in numbers}
        found["selected"] = practice.rollout_round(run)
        num = config.scaffold.mixture.components
        maps = [_render_skills(each, num, config) for each in found.values()]
        file = folder / "skills.png"
        images.write(file, skills.evolution(maps, list(found)))
        caption = "A column for each component; last episodes of trials of its task."
        names = list(next(iter(found.values())).figures)
        rows = [(name, [each.figures[f] for f in names]) for name, each in found.items()]
        blocks += [
            page.pictures([(file, caption)], wide=True),
            page.table(["", *(name.replace("_", " ") for name in names)], rows, "Figures"),
        ]
    return [Section(name="tasks", title=TASKS_TITLE, blocks=blocks)]


def _trials(run: Path, folder: Path, config: CARMLConfig) -> Section:
    """Trials of a few test tasks, episode by episode."""
    settings, num = config.environment, NUM_SHOWN
    drawn = registry.sample_tasks(
        settings.name, num, generator(config.fit.seed, 9), **settings.arguments()
    )
    blocks = [page.paragraph("A row for each task, a column for each episode of one trial.")]
    rows, names = [], []
    for number in range(num):
        task = drawn[number]
        asked = f"object={task.target}" if task.goal is None else "goal={},{}".format(*task.goal)
        found = inference.try_out(run, asked, seed=number, episodes=config.curriculum.episodes)
        rows.append(_render_trial(found, task, config))
        names.append(found.name)
        if found.trials.observations.ndim == 6:
            file = folder / f"trial-{number}.mp4"
            frames = rearrange(found.trials.trajectories[0], "n t c h w -> (n t) c h w")
            videos.write(file, grids.enlarge(frames, 160), fps=12)
            blocks.append(page.video(file, f"{found.name}: what the agent sees"))
    file = folder / "trials.png"
    columns = [f"episode {n}" for n in range(1, config.curriculum.episodes + 1)]
    images.write(file, grids.table(torch.stack(rows), rows=names, columns=columns))
    caption = "White: the goal. Color: where the agent heads, or time from blue to yellow."
    blocks.append(page.pictures([(file, caption)], wide=True))
    return Section(name="trials", title="Trials of unseen tasks", blocks=blocks)


def _render_trial(found: Adaptation, task: Task, config: CARMLConfig) -> Tensor:
    """A map for each episode of the first trial, with the goal in it."""
    truths = found.truths
    goal = task.goal
    if task.target is not None:
        x, y = truths["objects"][0, 0, 0, task.target].tolist()
        goal = (x, y)
    places = [goal] if goal is not None else []
    maps = []
    for episode in range(found.returns.shape[1]):
        here = {name: values[:1, episode] for name, values in truths.items()}
        plane = _plane(config, places)
        maps.append(skills.skill_maps(_tracks(here), torch.zeros(1, dtype=torch.int64), 1, plane))
    return torch.cat(maps)


def _render_skills(found: practice.Skills, num: int, config: CARMLConfig) -> Tensor:
    return skills.skill_maps(_tracks(found.truths), found.tasks, num, _plane(config, []))


def _tracks(truths: Mapping[str, Tensor]) -> list[Track]:
    """What moves: a puck and a hand, or the agent, colored by heading or by time."""
    positions = truths["position"].float()
    num, length = positions.shape[:2]
    if "puck" in truths:
        puck = skills.plain_colors(skills.PUCK, num, length)
        hand = skills.plain_colors(skills.HAND, num, length)
        return [Track(positions, hand), Track(truths["puck"].float(), puck)]
    if "heading" in truths:
        return [Track(positions, skills.heading_colors(truths["heading"].float()))]
    return [Track(positions, skills.time_colors(num, length))]


def _plane(config: CARMLConfig, places: Sequence[tuple[float, float]]) -> Plane:
    settings = config.environment
    world = registry.describe(settings.name, **settings.arguments())
    if world is None:
        return Plane(places=places)
    return Plane(low=world.map_low, high=world.map_high, places=places, walls=world.walls)


def _render_reconstructions(run: Path, numbers: list[int], config: CARMLConfig) -> Tensor:
    """Mean trajectories of the same 16 tasks in every round; for mazes only, as in Fig. 4.4."""
    policy, rows = inference.load(run), []
    for number in numbers:
        scaffold, _ = practice.rebuild(config, policy, read_round(run, number))
        assert isinstance(scaffold, VAEScaffold)
        tasks = scaffold.sample_tasks(16, generator(0, 9))
        positions = from_states(scaffold.decode(tasks)[..., :2])
        track = Track(positions, skills.time_colors(*positions.shape[:2]))
        rows.append(skills.skill_maps([track], torch.arange(16), 16, _plane(config, [])))
    return skills.evolution(rows, [f"round {number}" for number in numbers])
