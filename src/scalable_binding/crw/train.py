"""Training on unlabeled videos."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

from scalable_binding.crw import calibration, dense_objective, model, objective, views
from scalable_binding.crw.dense_clips import DenseClips
from scalable_binding.crw.dense_config import DenseWalkConfig
from scalable_binding.crw.model import Encoder
from scalable_binding.crw.presets import ClipConfig, CRWConfig
from scalable_binding.crw.walk_config import WalkConfig
from scalable_binding.data.datasets import frame_store
from scalable_binding.data.datasets.clips import VideoClips
from scalable_binding.data.datasets.mixture import with_synthetic
from scalable_binding.data.synthetic.clips import SyntheticClips
from scalable_binding.data.synthetic.config import WorldConfig
from scalable_binding.engine.checkpoint import latest_step
from scalable_binding.engine.config import to_mapping
from scalable_binding.engine.fit import Hook, fit
from scalable_binding.engine.randomness import generator
from scalable_binding.plots import walks
from scalable_binding.walk.affinity import similarity, transition

CALIBRATION_CLIPS = 16
"""Clips whose frames give the batch norms their statistics where batches do not."""

WORLD_FPS = 24.0
"""Frames a second that the rates of the synthetic world are meant for."""


def train(
    config: CRWConfig, data: Sequence[Path], run: Path, hooks: Sequence[Hook] = ()
) -> Encoder:
    """The encoder trained on the videos under ``data``, averaged over the run (EMA).

    Writes the run folder of :func:`scalable_binding.engine.fit.fit`, and pictures of walks on one
    clip under ``walks/``; a run that was stopped goes on.

    Args:
        config: a preset, changed at will.
        data: folders of videos, of folders of frames, or of tar shards. May be empty when all clips
            are synthetic.
        run: the folder for everything that the run writes.
        hooks: what else to do on the way.

    Raises:
        UserError: no videos, or a folder that cannot be written.
        Interrupted: the run was stopped; it is saved.

    Source: Thesis Alg. 6.
    """
    if config.dense is not None:
        return _train_dense(config, config.dense, data, run, hooks)
    encoder = build(config)
    clips = open_clips(config.clips, data, config.fit.seed)
    if not config.encoder.batch_statistics and latest_step(run) is None:
        encoder.calibrate(_some_frames(clips, CALIBRATION_CLIPS))
    hooks = list(hooks)
    if config.picture_every:
        clip = clips[0]["frames"]
        hooks.append(Hook(config.picture_every, partial(draw_walks, clip=clip, walk=config.walk)))
    settings = to_mapping(config)
    record = {"system": "crw", **model.arguments(encoder)}
    record |= {name: settings[name] for name in ("encoder", "clips", "walk")}
    loss = partial(objective.loss, config=config.walk)
    trained = fit(encoder, loss, clips, config.fit, run, hooks=hooks, record=record)
    assert isinstance(trained, Encoder)
    if not trained.reader.is_fitted:
        frames = _some_frames(clips, CALIBRATION_CLIPS)
        trained.calibrate(frames)
        calibration.save_reader(trained, run, {"videos": [path.name for path in data]})
    return trained


def _train_dense(
    config: CRWConfig,
    walk: DenseWalkConfig,
    data: Sequence[Path],
    run: Path,
    hooks: Sequence[Hook],
) -> Encoder:
    """:func:`train` by the dense walk."""
    encoder = build(config)
    settings = to_mapping(config)
    record = {"system": "crw", **model.arguments(encoder)}
    record |= {name: settings[name] for name in ("encoder", "clips", "dense")}
    loss = partial(dense_objective.loss, config=walk)
    clips = open_dense_clips(config.clips, walk, data, run, config.fit.seed)
    trained = fit(encoder, loss, clips, config.fit, run, hooks=hooks, record=record)
    assert isinstance(trained, Encoder)
    if config.reader is None:
        return trained
    return calibration.calibrate(run, data, reader=to_mapping(config.reader))


def open_dense_clips(
    config: ClipConfig, walk: DenseWalkConfig, data: Sequence[Path], run: Path, seed: int
) -> DenseClips:
    """The clips of the dense walk, after all videos were decoded once into ``config.store``.

    Raises:
        UserError: no videos, or all of them too short.
    """
    assert isinstance(config.fps, float | int) and config.size is not None
    folder = run / "frames" if config.store is None else Path(config.store)
    stored = frame_store.store(data, folder, fps=config.fps, size=config.size)
    return DenseClips(stored, config, walk, seed)


def build(config: CRWConfig) -> Encoder:
    """A fresh encoder whose weights are drawn from the run's seed."""
    settings = config.encoder
    return model.draw(
        config.fit.seed,
        widths=settings.widths,
        width=settings.width,
        readout=settings.readout,
        windows=settings.windows,
        padding_mode=settings.padding,
        batch_statistics=settings.batch_statistics,
        components=settings.components,
    )


def _some_frames(clips: Dataset[dict[str, Tensor]], count: int) -> Tensor:
    """The frames of the first clips, colors in [0, 1]."""
    return torch.cat([clips[index]["frames"] for index in range(count)]).float() / 255


def open_clips(config: ClipConfig, data: Sequence[Path], seed: int) -> Dataset[dict[str, Tensor]]:
    """The clips to train on: from videos, from the synthetic world, or from both.

    Raises:
        UserError: no videos, and not all clips are synthetic.
    """
    videos = partial(
        VideoClips,
        num_frames=config.num_frames,
        fps=config.fps,
        size=config.size,
        crop=config.crop,
        square=config.square,
        mirror=config.mirror,
        reverse=config.reverse,
        seed=seed,
    )
    return with_synthetic(data, videos, synthetic_clips(config, seed), config.synthetic)


def synthetic_clips(
    config: ClipConfig, seed: int
) -> SyntheticClips | PacedSyntheticClips | StandingClips:
    """Clips of the synthetic world, of textures to train on, at the rates asked for."""
    side = config.crop or config.size or 256
    world = WorldConfig(num_frames=config.num_frames, height=side, width=side, split="train")
    fps = config.fps
    if fps is None:
        return SyntheticClips(world, seed)
    if isinstance(fps, tuple):
        return PacedSyntheticClips(world, fps, seed)
    if math.isinf(fps):
        return StandingClips(SyntheticClips(replace(world, num_frames=1), seed), config.num_frames)
    return SyntheticClips(replace(world, time_step=WORLD_FPS / fps), seed)


class PacedSyntheticClips(Dataset[dict[str, Tensor]]):
    """Synthetic clips, each at a frame rate of its own, drawn evenly in the logarithm."""

    def __init__(self, world: WorldConfig, fps: tuple[float, float], seed: int) -> None:
        self.world, self.fps, self.seed = world, fps, seed

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        share = float(torch.rand((), generator=generator(self.seed, index)))
        slowest, fastest = self.fps
        fps = slowest * (fastest / slowest) ** share
        return SyntheticClips(replace(self.world, time_step=WORLD_FPS / fps), self.seed)[index]


class StandingClips(Dataset[dict[str, Tensor]]):
    """Clips of one frame as clips of many, in which nothing moves: an infinite frame rate."""

    def __init__(self, clips: SyntheticClips, num_frames: int) -> None:
        self.clips, self.num_frames = clips, num_frames

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        item = self.clips[index]
        return item | {"frames": item["frames"].repeat(self.num_frames, 1, 1, 1)}


def draw_walks(step: int, encoder: nn.Module, run: Path, *, clip: Tensor, walk: WalkConfig) -> None:
    """Write a picture of where walkers go along a clip to ``walks/<step>.png`` in the run."""
    assert isinstance(encoder, Encoder)
    size = walk.patches.frame_size if walk.nodes == "patches" else walk.views.size
    frames = _squares(clip, size)
    inset = 0.0
    with torch.no_grad():
        if walk.nodes == "cells":
            nodes = encoder(frames.to(encoder.device) / 255, pool=False)
        else:
            cut = views.still_patches(frames, walk.patches)
            nodes = encoder(cut.flatten(0, 1).to(encoder.device))
            nodes = rearrange(nodes, "(t n) 1 d -> t n d", t=len(frames))
            inset = (walk.patches.size - walk.patches.stride) / 2
        side = math.isqrt(nodes.shape[1])
        edges = similarity(nodes[:-1], nodes[1:])
        steps = list(transition(edges, walk.temperature).cpu())
    picture = walks.draw(frames, steps, (side, side), inset=inset)
    folder = run / "walks"
    folder.mkdir(exist_ok=True)
    Image.fromarray(rearrange(picture, "c h w -> h w c").numpy()).save(folder / f"{step:07}.png")


def _squares(clip: UInt8[Tensor, "t 3 h w"], size: int) -> UInt8[Tensor, "t 3 s s"]:
    """The middle square of each frame, resized."""
    height, width = clip.shape[-2:]
    side = min(height, width)
    box = torch.tensor([(height - side) / 2, (width - side) / 2, side, side])
    squares = views.resample(clip, box.expand(len(clip), 1, 4), size)[:, 0]
    return (squares * 255).round().byte()
