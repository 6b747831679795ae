"""Training on unlabeled videos."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from scalable_binding.data.datasets.clips import VideoClips
from scalable_binding.data.datasets.mixture import with_synthetic
from scalable_binding.data.frames import images
from scalable_binding.data.synthetic.clips import SyntheticClips
from scalable_binding.data.synthetic.config import training
from scalable_binding.engine.config import to_mapping
from scalable_binding.engine.fit import Hook, fit
from scalable_binding.errors import UserError
from scalable_binding.flow import model, objective
from scalable_binding.flow.inference import estimate
from scalable_binding.flow.model import FlowNet
from scalable_binding.flow.presets import STRIDE, FlowClipConfig, FlowConfig
from scalable_binding.plots import flow as drawn


def train(config: FlowConfig, data: Sequence[Path], run: Path) -> FlowNet:
    """The network trained on the videos under ``data``, averaged over the run (EMA).

    Writes the run folder of :func:`scalable_binding.engine.fit.fit`, and pictures of the flow of
    one clip under ``flow/``; a run that was stopped goes on.

    Args:
        config: a preset, changed at will.
        data: folders of videos, of folders of frames, or of tar shards. May be empty when all clips
            are synthetic.
        run: the folder for everything that the run writes.

    Raises:
        UserError: no videos, a crop that the network cannot take, or a folder that cannot be
            written.
        Interrupted: the run was stopped; it is saved.

    Source: Thesis 3.6.1.
    """
    network = build(config)
    clips = open_clips(config.clips, data, config.fit.seed)
    hooks = []
    if config.picture_every:
        clip = clips[0]["frames"]
        hooks.append(Hook(config.picture_every, partial(draw_flow, clip=clip)))
    settings = to_mapping(config)
    record = {"system": "flow", **model.arguments(network)}
    record |= {name: settings[name] for name in ("network", "clips", "loss")}
    loss = partial(objective.loss, config=config.loss)
    trained = fit(network, loss, clips, config.fit, run, hooks=hooks, record=record)
    assert isinstance(trained, FlowNet)
    return trained


def build(config: FlowConfig) -> FlowNet:
    """A fresh network whose weights are drawn from the run's seed."""
    return model.draw(config.fit.seed, **to_mapping(config.network))


def open_clips(
    config: FlowClipConfig, data: Sequence[Path], seed: int
) -> Dataset[dict[str, Tensor]]:
    """The clips to train on: from videos, from the synthetic world, or from both.

    Raises:
        UserError: no videos, and not all clips are synthetic; a crop that is no multiple of 16.
    """
    if config.crop % STRIDE:
        expected = f"a multiple of {STRIDE}"
        raise UserError("clips.crop", expected=expected, got=str(config.crop))
    world = training(size=config.crop, num_frames=config.num_frames)
    videos = partial(
        VideoClips,
        num_frames=config.num_frames,
        fps=config.fps,
        size=config.size,
        crop=config.crop,
        seed=seed,
        memory=int(config.memory * 2**30),
    )
    return with_synthetic(data, videos, SyntheticClips(world, seed), config.synthetic)


def draw_flow(step: int, network: nn.Module, run: Path, *, clip: Tensor) -> None:
    """Write the first frame of a clip beside its flow to ``flow/<step>.png`` in the run."""
    assert isinstance(network, FlowNet)
    found = estimate(clip[0], clip[1], network)
    picture = torch.cat([clip[0], drawn.draw(found.flow)], dim=-1)
    images.write(run / "flow" / f"{step:07}.png", picture)
