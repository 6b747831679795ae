"""The routes of the tabs RIN and CARML: sampling as a job, trials at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from scalable_binding import files, weights
from scalable_binding.app import security, trials
from scalable_binding.app.sampling import MAX_SAMPLES, MAX_STEPS, Processes
from scalable_binding.app.workspace import Workspace
from scalable_binding.engine.checkpoint import CONFIG, WEIGHTS
from scalable_binding.errors import UserError
from scalable_binding.rin.sampling_config import SamplingConfig

_NEVER = {"cache-control": "no-store"}
_MAX_SEED = 2**31 - 1
_MAX_FOLDERS = 200  # looked into for runs


class Sampling(BaseModel):
    """What to sample."""

    network: str = Field(max_length=4096)
    num: int = Field(ge=1, le=MAX_SAMPLES)
    steps: int = Field(50, ge=1, le=MAX_STEPS)
    sampler: Literal["ddpm", "ddim", "dpmpp_2m"] = "ddpm"
    seed: int = Field(0, ge=0, le=_MAX_SEED)
    label: int | None = Field(None, ge=0)
    given: Literal["digits", "video"] = "digits"
    frame: int = Field(0, ge=0)


class Goal(BaseModel):
    """A place that an agent has to find."""

    agent: str = Field(max_length=4096)
    x: float
    y: float
    seed: int = Field(0, ge=0, le=_MAX_SEED)


def add_play(api: FastAPI, workspace: Workspace) -> None:
    """Add the routes of both tabs."""
    _add_sampling(api, workspace, Processes())
    _add_trials(api, workspace)


def _add_sampling(api: FastAPI, workspace: Workspace, processes: Processes) -> None:
    @api.get("/api/rin/networks")
    def networks() -> Response:
        return JSONResponse(runs(workspace.root, "rin"), headers=_NEVER)

    @api.get("/api/rin/network")
    def network(name: str) -> Response:
        """What a network makes."""
        pretrained = processes.network(named(workspace.root, "rin", name))
        model = pretrained.model
        names = pretrained.classes or tuple(map(str, range(model.num_classes)))
        found = {"size": list(model.size), "context": model.context, "classes": list(names)}
        return JSONResponse(found, headers=_NEVER)

    @api.post("/api/rin/sample")
    def sample(wanted: Sampling) -> Response:
        name = named(workspace.root, "rin", wanted.network)
        pretrained = processes.network(name)
        config = SamplingConfig(steps=wanted.steps, sampler=wanted.sampler, seed=wanted.seed)
        given = None
        if pretrained.model.context and wanted.given == "video":
            frames = workspace.session.frames
            last = wanted.frame + pretrained.model.context
            given = torch.stack([frames.frame(number) for number in range(wanted.frame, last)])
        job = workspace.jobs.add(
            f"sample {Path(name).name}",
            lambda: processes.sample(name, wanted.num, config, label=wanted.label, given=given),
        )
        return JSONResponse(job.describe(), headers=_NEVER)

    @api.get("/api/rin/{number}")
    def process(number: int) -> Response:
        return JSONResponse(processes.process(number).describe(), headers=_NEVER)

    @api.get("/api/rin/{number}/steps/{step}.png")
    def step(number: int, step: int) -> Response:
        return Response(processes.process(number).png(step), 200, _NEVER, "image/png")

    @api.get("/api/rin/{number}/reading/{step}/{sample}")
    def reading(number: int, step: int, sample: int) -> Response:
        """Each latent's read attention over all tokens, row by row, as float32."""
        found = processes.process(number).reading(step, sample)
        return Response(found.tobytes(), 200, _NEVER, "application/octet-stream")


def _add_trials(api: FastAPI, workspace: Workspace) -> None:
    @api.get("/api/carml/agents")
    def agents() -> Response:
        return JSONResponse(runs(workspace.root, "carml"), headers=_NEVER)

    @api.get("/api/carml/world")
    def world(name: str) -> Response:
        return JSONResponse(trials.world(named(workspace.root, "carml", name)), headers=_NEVER)

    @api.post("/api/carml/trial")
    def trial(goal: Goal) -> Response:
        agent = named(workspace.root, "carml", goal.agent)
        return JSONResponse(trials.trial(agent, goal.x, goal.y, goal.seed), headers=_NEVER)


def named(root: Path, system: str, name: str) -> str:
    """A model that ships, by its name, or the folder of a run below the root.

    Raises:
        UserError: neither is there.
    """
    if name in weights.names(system):
        return name
    return str(security.confine(root, name))


def runs(root: Path, system: str) -> list[str]:
    """Models of a system that ship, and the runs in the root and in its folders."""
    found = weights.names(system)
    folders = [root, *(each for each in sorted(root.iterdir()) if each.is_dir())]
    folders += [each for folder in folders[1:_MAX_FOLDERS] for each in _inside(folder)]
    for folder in folders[: 4 * _MAX_FOLDERS]:
        if _system(folder) == system and (folder / WEIGHTS).is_file():
            found.append(folder.relative_to(root).as_posix())
    return found


def _inside(folder: Path) -> list[Path]:
    try:
        return [each for each in sorted(folder.iterdir())[:_MAX_FOLDERS] if each.is_dir()]
    except OSError:
        return []  # not ours to read


def _system(folder: Path) -> Any:
    try:
        record = files.read_json(folder / CONFIG, 2**20)
    except UserError:
        return None
    return record.get("system") if isinstance(record, dict) else None
