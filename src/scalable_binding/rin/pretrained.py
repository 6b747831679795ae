"""Trained networks read from run folders, with the settings that sampling needs."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch

from scalable_binding import weights as registry
from scalable_binding.diffusion import schedules
from scalable_binding.diffusion.schedules import Schedule
from scalable_binding.engine import config
from scalable_binding.engine.checkpoint import CONFIG, WEIGHTS, read_config, read_tensors, restore
from scalable_binding.errors import UserError
from scalable_binding.rin import model as networks
from scalable_binding.rin.config import DiffusionConfig, ModelConfig
from scalable_binding.rin.model import RIN
from scalable_binding.rin.sampling_config import SamplingConfig

SHIPPED = registry.ROOT

NAMES = registry.SHIPPED["rin"]
"""The networks that come with the package, and their folders among its weights."""


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A trained network with the training settings that sampling needs.

    Args:
        model: in evaluation mode, where it is to run.
        diffusion: target, input scale, schedule, and what was dropped in training.
        fps: frames a second of the videos that it was trained on; None if unknown.
        classes: names of the classes in the order of their numbers; empty if unknown.
    """

    model: RIN
    diffusion: DiffusionConfig
    fps: float | None = None
    classes: tuple[str, ...] = ()

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return self.model.device

    @property
    def schedule(self) -> Schedule:
        """The noise schedule of training."""
        chosen = self.diffusion
        return chosen_schedule(chosen)

    @property
    def carries_latents(self) -> bool:
        """Whether the network was taught to go on from the latents of a step before."""
        return self.diffusion.self_conditioning > 0

    @property
    def is_video(self) -> bool:
        """Whether the samples have a time."""
        return len(self.model.size) == 3

    @property
    def generated_size(self) -> tuple[int, ...]:
        """Channels and sides of what is sampled: context frames are not."""
        first, *others = self.model.size
        return (self.model.channels, first - self.model.context, *others)


def is_shipped(name: str) -> bool:
    """Whether this installation holds the network of that name."""
    return (SHIPPED / NAMES[name] / WEIGHTS).is_file()


def chosen_schedule(config: DiffusionConfig | SamplingConfig) -> Schedule:
    """The noise schedule that a configuration names."""
    return schedules.named(
        config.schedule, temperature=config.temperature, start=config.start, end=config.end
    )


def run_folder(run: str | Path) -> Path:
    """The folder of a run, or of a network that ships, given by its name.

    Raises:
        UserError: there is no such folder.
    """
    name = str(run)
    folder = SHIPPED / NAMES[name] if name in NAMES else registry.find("rin", run)
    if not folder.is_dir():
        if name in NAMES:
            raise UserError(f"this installation holds no network {run}", fix="give a run's folder")
        names = " or ".join(repr(name) for name in NAMES)
        raise UserError(f"no such run: {folder}", fix=f"give a run's folder, or {names}")
    return folder


def open_run(folder: Path, *, device: torch.device | str = "cpu") -> Pretrained:
    """The network of a folder with ``config.json`` and ``model.safetensors``.

    Raises:
        UserError: no weights in it yet, another system's, or weights that do not fit the
            configuration.
    """
    record = _read(folder / CONFIG)
    if not (folder / WEIGHTS).is_file():
        expected = f"{WEIGHTS}, which training writes with its first checkpoint"
        raise UserError(f"run {folder} has no weights", expected=expected)
    settings = _settings(record, folder / CONFIG)
    tensors = read_tensors(folder / WEIGHTS)
    make = partial(networks.init_model, 0, **config.to_mapping(settings))
    model = restore(make, tensors, folder / WEIGHTS, "a network")
    return Pretrained(
        model=model.to(device),
        diffusion=config.from_mapping(DiffusionConfig, record["diffusion"]),
        fps=_fps(record),
        classes=_classes(record, model.num_classes),
    )


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"run {path.parent}", expected=f"a {path.name} in it", got="none")
    record = read_config(path)
    system = record.get("system") if isinstance(record, dict) else None
    if system != "rin":
        raise UserError(f"{path}: system", expected="'rin'", got=repr(system))
    if not isinstance(record.get("diffusion"), dict):
        raise UserError(f"{path}", expected="settings of 'diffusion'", got="none")
    return dict(record)


def _settings(record: dict[str, Any], path: Path) -> ModelConfig:
    known = {field.name for field in fields(ModelConfig)}
    missing = sorted({"size", "channels", "patch"} - record.keys())
    if missing:
        raise UserError(f"{path}", expected=f"the network's {missing[0]!r}", got="none")
    described = {name: value for name, value in record.items() if name in known}
    described.setdefault("gamma_includes_end", True)  # runs of before this setting
    try:
        return config.from_mapping(ModelConfig, described)
    except UserError as error:
        raise UserError(f"{path} does not describe a network ({error})") from error


def _fps(record: dict[str, Any]) -> float | None:
    data = record.get("data")
    value = data.get("fps") if isinstance(data, dict) else None
    return float(value) if isinstance(value, int | float) else None


def _classes(record: dict[str, Any], count: int) -> tuple[str, ...]:
    names = record.get("classes")
    return tuple(map(str, names)) if isinstance(names, list) and len(names) == count else ()
