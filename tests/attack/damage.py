"""Damaged files: what is done to them, and every reader that has to refuse or to read them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from scalable_binding.data.frames import images, videos
from scalable_binding.data.labels import boxes, flow_files, keypoints, masks
from scalable_binding.data.labels.boxes import Box
from scalable_binding.data.labels.keypoints import Keypoint
from scalable_binding.engine import checkpoint, config
from scalable_binding.engine.log import read_log

Reader = tuple[bytes, str, Callable[[Path], object]]


def damage(data: bytes, draw: random.Random) -> bytes:
    """The bytes with one kind of damage, at a random place."""
    made = bytearray(data)
    place = draw.randrange(len(made))
    length = draw.choice([1, 2, 8, 64, 500])
    match draw.randrange(7):
        case 0:
            made[place] ^= 1 << draw.randrange(8)
        case 1:
            del made[place:]
        case 2:
            del made[place : place + length]
        case 3:
            made[place : place + length] = draw.randbytes(length)
        case 4:
            made[place:place] = made[place : place + length]
        case 5:
            made[place : place + length] = bytes(length)
        case 6:
            made[place : place + 4] = draw.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"])
    return bytes(made)


def readers(folder: Path) -> dict[str, Reader]:
    """A sound file of every kind: its bytes, its suffix, and the reader."""
    draw = torch.Generator().manual_seed(0)
    frames = (torch.rand(6, 3, 24, 32, generator=draw) * 255).byte()
    ids = (torch.rand(24, 32, generator=draw) * 4).byte()
    flow = torch.randn(2, 24, 32, generator=draw)
    made: dict[str, tuple[str, Callable[[Path], object], Callable[[Path], object]]] = {
        "image": (".png", lambda p: images.write(p, frames[0]), images.read),
        "mask": (".png", lambda p: masks.write(p, ids), masks.read),
        "video": (".mp4", lambda p: videos.write(p, frames, fps=8), videos.read),
        "keypoints": (
            ".csv",
            lambda p: keypoints.write(p, [Keypoint(0, 1, 3.0, 4.0), Keypoint(1, 2, 5.0, 6.0)]),
            keypoints.read,
        ),
        "keypoints, JSON": (
            ".json",
            lambda p: keypoints.write(p, [Keypoint(0, 1, 3.0, 4.0)]),
            keypoints.read,
        ),
        "boxes": (
            ".csv",
            lambda p: boxes.write(p, [Box(0, 1, 1.0, 2.0, 8.0, 9.0)]),
            boxes.read,
        ),
        "flow, .flo": (".flo", lambda p: flow_files.write(p, flow), flow_files.read),
        "flow, KITTI": (".png", lambda p: flow_files.write(p, flow), flow_files.read),
        "flow, .npz": (".npz", lambda p: flow_files.write(p, flow), flow_files.read),
        "safetensors": (
            ".safetensors",
            lambda p: checkpoint.save_tensors({"a": flow}, p, step=1),
            checkpoint.read_tensors,
        ),
        "torch file": (".pt", lambda p: torch.save({"a": flow}, p), checkpoint.read_tensors),
        "settings": (
            ".yaml",
            lambda p: p.write_text("fit: {steps: 3, optimizer: {lr: 1e-3}}\nwalk: [1, 2]\n"),
            config.read,
        ),
        "log": (
            ".jsonl",
            lambda p: p.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": null}\n'),
            _read_log,
        ),
    }
    found = {}
    for kind, (suffix, write, read) in made.items():
        path = folder / f"sound{suffix}"
        write(path)
        found[kind] = (path.read_bytes(), suffix, read)
        path.unlink()
    return found


def _read_log(path: Path) -> object:
    run = path.parent / "run"
    run.mkdir(exist_ok=True)
    (run / "log.jsonl").write_bytes(path.read_bytes())
    return read_log(run)


def same(first: object, second: object) -> bool:
    """Whether two readings hold the same tensors."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(
            np.array_equal(first[name].numpy(), second[name].numpy(), equal_nan=True)
            for name in first
        )
    return first == second
