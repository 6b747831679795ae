"""Trials on unseen tasks: films and success rates."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import torch

from scalable_binding import report
from scalable_binding.carml import inference
from scalable_binding.carml.evaluate import interval, untrained
from scalable_binding.carml.inference import Adaptation
from scalable_binding.carml.task_rewards import functions_of
from scalable_binding.data.frames import videos
from scalable_binding.demo.carml.skills import colors, plane
from scalable_binding.demo.context import Context
from scalable_binding.engine.randomness import generator
from scalable_binding.envs import registry
from scalable_binding.envs.tasks import TaskBatch
from scalable_binding.plots import rollouts
from scalable_binding.plots.rollouts import Episode
from scalable_binding.report import Section

_PLACE = 40
_FPS = 6


def show(context: Context, run: Path) -> Section:
    """The first few test tasks on film, and all of them in a table beside chance."""
    context.say("Adaptation to an unseen reward")
    settings, seed = context.config.carml, context.config.seed
    config, policy = inference.read_config(run), inference.load(run)
    world = config.environment
    asked = registry.sample_tasks(world.name, settings.num_tasks, generator(seed, _PLACE))
    found = {}
    for name, agent in (("agent", policy), ("random", untrained(policy))):
        with closing(
            registry.make(world.name, settings.num_tasks, seed, **world.arguments())
        ) as env:
            random = generator(seed, _PLACE, 1)
            episodes = config.curriculum.episodes
            found[name] = inference.adapt(
                agent, env, functions_of(asked), random, episodes=episodes
            )
    clip = context.out / "trials.mp4"
    rows = [_episodes(found["agent"], asked, number) for number in range(settings.num_shown)]
    names = [asked[number].name for number in range(settings.num_shown)]
    videos.write(clip, rollouts.film(rows, plane(world.name), names=names), fps=_FPS)
    goal = "a place" if asked[0].target is None else "one of the objects"
    shares = {name: _shares(each) for name, each in found.items()}
    return Section(
        name="trials",
        title="Adaptation to an unseen reward",
        blocks=[
            report.paragraph(
                f"The reward now increases with proximity to {goal}, which the agent has to find "
                f"within {len(shares['random'])} episodes. No weights change; it adapts through "
                f"its hidden state. The first {settings.num_shown} of {settings.num_tasks} test "
                "tasks, not selected:"
            ),
            report.video(
                clip, "The agent's path and, where it has pixels, its view; the ring is the goal."
            ),
            report.table(
                ("goal reached", *(f"episode {n + 1}" for n in range(len(shares["random"])))),
                list(shares.items()),
                f"Share of {settings.num_tasks} tasks; give or take {_margin(found['agent']):.2f}.",
                best_of="column",
            ),
        ],
        scores={"reached": shares},
    )


def _shares(found: Adaptation) -> list[float]:
    """How often the goal was reached in each episode."""
    assert found.reached is not None
    return [float(share) for share in found.reached.double().mean(0)]


def _margin(found: Adaptation) -> float:
    """The widest margin of error of an episode."""
    assert found.reached is not None
    return max(interval(each).margin for each in found.reached.double().unbind(1))


def _episodes(found: Adaptation, asked: TaskBatch, number: int) -> list[Episode]:
    """The episodes of a trial, for a film."""
    truths = {name: values[number] for name, values in found.truths.items()}
    goals = asked.select([number]).goals({name: values[None] for name, values in truths.items()})[0]
    seen = found.trials.trajectories[number]
    return [
        Episode(
            positions=positions,
            colors=ways,
            goal=(float(goals[n, 0, 0]), float(goals[n, 0, 1])),
            radius=asked[number].radius,
            frames=seen[n] if seen.dtype == torch.uint8 else None,
        )
        for n, (positions, ways) in enumerate(zip(truths["position"], colors(truths), strict=True))
    ]
