"""The dense walk at full width on one GPU: frames stay in its memory, and views are cut there.

    bash benchmarks/crw/gpu.sh pack VIDEOS...      # here: frames.npz, under 60 MiB of JPEGs
    bash benchmarks/crw/gpu.sh train OUT           # there: at most 9 minutes
    python -m benchmarks.crw.gpu train OUT --frames FILE --set encoder.widths=8,16,32

Leaves OUT/run (a run folder with checkpoints, which ``sbind crw calibrate`` and ``evaluate`` read)
and OUT/report.json: clips a second, memory, and the share of the card's peak. A run that was
stopped goes on. With ``fit.device=cpu`` and tiny sizes it runs anywhere. Not run by make bench.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset
from torch.utils.flop_counter import FlopCounterMode

from scalable_binding.atomic import write_text
from scalable_binding.cli.settings import configure
from scalable_binding.crw import dense_objective, model, train
from scalable_binding.crw.dense_clips import choose_frames, draw_rates, flip_coin
from scalable_binding.crw.dense_config import DenseWalkConfig
from scalable_binding.crw.dense_views import draw_windows
from scalable_binding.crw.presets import ClipConfig, CRWConfig
from scalable_binding.crw.views import resample
from scalable_binding.data.datasets import frame_store
from scalable_binding.data.datasets.frame_store import StoredVideo
from scalable_binding.engine.config import to_mapping
from scalable_binding.engine.fit import Hook, fit
from scalable_binding.engine.randomness import generator

BUDGET = 60 * 2**20
PEAK = {"H200": 989e12, "H100": 989e12, "A100": 312e12}
"""Operations a second in bfloat16, by a part of the card's name."""

FULL_WIDTH = ["encoder.widths=64,128,256,512", "fit.batch_size=32", "fit.optimizer.lr=1e-3"]


def pack(videos: Sequence[Path], file: Path, store: Path, height: int, quality: int) -> None:
    """Write the frames of videos as JPEGs into one file, every other frame if they are too many."""
    stored = frame_store.store(videos, store, fps=8.0, size=height)
    for step in (1, 2, 3, 4):
        kept = [_encode(video, step, quality) for video in stored]
        if sum(len(jpeg) for jpegs in kept for jpeg in jpegs) < BUDGET:
            break
    flat = [np.frombuffer(jpeg, np.uint8) for jpegs in kept for jpeg in jpegs]
    np.savez(
        file,
        bytes=np.concatenate(flat),
        sizes=np.array([len(jpeg) for jpeg in flat]),
        lengths=np.array([len(jpegs) for jpegs in kept]),
        roots=np.array([video.root for video in stored]),
        fps=8.0 / step,
    )
    size = file.stat().st_size / 2**20
    print(f"{file}: {len(flat)} frames at {8 / step:.3g} a second, {size:.0f} MiB")


def _encode(video: StoredVideo, step: int, quality: int) -> list[bytes]:
    found = []
    for frame in video.read(range(0, video.num_frames, step)):
        file = io.BytesIO()
        Image.fromarray(rearrange(frame, "c h w -> h w c").numpy()).save(
            file, "JPEG", quality=quality
        )
        found.append(file.getvalue())
    return found


def unpack(file: Path) -> tuple[Tensor, Tensor, list[StoredVideo], list[int]]:
    """All frames as one padded tensor, their sizes, the videos, and each one's first frame."""
    found = np.load(file)
    ends = np.cumsum(found["sizes"])
    data = found["bytes"].tobytes()
    pictures = [
        np.asarray(Image.open(io.BytesIO(data[end - size : end])))
        for size, end in zip(found["sizes"], ends, strict=True)
    ]
    sizes = torch.tensor([picture.shape[:2] for picture in pictures])
    frames = torch.zeros(len(pictures), 3, *sizes.amax(dim=0).tolist(), dtype=torch.uint8)
    for frame, picture in zip(frames, pictures, strict=True):
        height, width = picture.shape[:2]
        frame[:, :height, :width] = torch.from_numpy(picture.copy()).permute(2, 0, 1)
    lengths, roots = found["lengths"].tolist(), found["roots"].tolist()
    videos = [StoredVideo(file, root, num) for root, num in zip(roots, lengths, strict=True)]
    return frames, sizes, videos, np.cumsum([0, *lengths[:-1]]).tolist()


class PlannedClips(Dataset[dict[str, Tensor]]):
    """What ``DenseClips`` draws, without its pixels: frames' numbers, windows, and mirroring."""

    def __init__(
        self,
        videos: Sequence[StoredVideo],
        firsts: Sequence[int],
        sizes: Tensor,
        clips: ClipConfig,
        walk: DenseWalkConfig,
        seed: int,
    ) -> None:
        long = [i for i, video in enumerate(videos) if video.num_frames >= clips.num_frames]
        self.videos, self.firsts = [videos[i] for i in long], [firsts[i] for i in long]
        self.sizes, self.clips, self.walk, self.seed = sizes, clips, walk, seed
        self._share = torch.from_numpy(draw_rates(self.videos, walk)).cumsum(dim=0)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = generator(self.seed, index)
        draw = torch.rand((), generator=rng, dtype=torch.float64)
        number = min(int(torch.searchsorted(self._share, draw)), len(self.videos) - 1)
        chosen = choose_frames(self.videos[number].num_frames, self.clips, self.walk, rng)
        mirrored = self.clips.mirror and flip_coin(rng)
        tour = torch.tensor([*chosen, chosen[0]]) + self.firsts[number]
        height, width = self.sizes[tour[0]].tolist()
        windows = draw_windows(len(tour), height, width, self.walk, rng).float()
        return {"numbers": tour, "windows": windows, "mirrored": torch.tensor(mirrored)}


def loss(
    encoder: model.Encoder,
    batch: Mapping[str, Tensor],
    generator: Generator,
    *,
    frames: Tensor,
    config: DenseWalkConfig,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of the dense walk on views that are cut on the device, sampled twice as finely."""
    numbers, windows = batch["numbers"], batch["windows"]
    flat = frames[numbers.flatten()]
    fine = resample(flat, rearrange(windows, "b v x -> (b v) 1 x"), 2 * config.view)[:, 0]
    views = functional.avg_pool2d(fine, 2).mul(255).round().byte()
    views = rearrange(views, "(b v) c y x -> b v c y x", b=len(numbers))
    flip = batch["mirrored"]
    views = torch.where(flip[:, None, None, None, None], views.flip(-1), views)
    top, left, height, width = windows.unbind(dim=-1)
    windows = torch.stack([top, torch.where(flip[:, None], -left - width, left), height, width], -1)
    return dense_objective.loss(encoder, {"views": views, "windows": windows}, generator, config)


def learn(config: CRWConfig, file: Path, out: Path) -> dict[str, Any]:
    """Train, and report speed, memory and share of the peak."""
    assert config.dense is not None
    device = torch.device(config.fit.device if config.fit.device != "auto" else "cuda")
    frames, sizes, videos, firsts = unpack(file)
    clips = PlannedClips(videos, firsts, sizes, config.clips, config.dense, config.fit.seed)
    encoder = train.build(config)
    settings = to_mapping(config)
    record = {"system": "crw", **model.arguments(encoder)}
    record |= {name: settings[name] for name in ("encoder", "clips", "dense")}
    walk = partial(loss, frames=frames.to(device), config=config.dense)
    times: list[float] = []

    def clock(step: int, encoder: nn.Module, run: Path) -> None:
        times.append(time.perf_counter())

    every = 20
    hooks = [Hook(every, clock)]
    fit(encoder, walk, clips, config.fit, out / "run", hooks=hooks, record=record)
    steps = np.diff(times) / every
    seconds = float(np.median(steps)) if len(steps) else math.nan
    flops = count_flops(config, encoder)
    peak = max((p for name, p in PEAK.items() if name in card_name(device)), default=math.nan)
    report = {
        "device": card_name(device),
        "clips a second": config.fit.batch_size / seconds,
        "GiB": torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else math.nan,
        "share of peak": flops / seconds / peak,
        "frames": len(frames),
        "steps": config.fit.steps,
    }
    text = {name: None if value != value else value for name, value in report.items()}
    write_text(out / "report.json", json.dumps(text, indent=2) + "\n")
    return text


def count_flops(config: CRWConfig, encoder: model.Encoder) -> float:
    """Of the network's passes in one step: three times those of the way forward."""
    assert config.dense is not None
    view = torch.zeros(1, 3, config.dense.view, config.dense.view, device=encoder.device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        encoder.last_map(view)
    return 3.0 * counter.get_total_flops() * config.fit.batch_size * (config.clips.num_frames + 1)


def card_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack")
    packing.add_argument("videos", type=Path, nargs="+")
    packing.add_argument("--frames", type=Path, default=Path("frames.npz"))
    packing.add_argument("--store", type=Path, default=Path("frames"))
    packing.add_argument("--height", type=int, default=240)
    packing.add_argument("--quality", type=int, default=60)
    training = commands.add_parser("train")
    training.add_argument("out", type=Path)
    training.add_argument("--frames", type=Path, default=Path("frames.npz"))
    training.add_argument("--set", nargs="*", default=[], dest="settings", metavar="NAME=VALUE")
    chosen = parser.parse_args()
    if chosen.command == "pack":
        pack(chosen.videos, chosen.frames, chosen.store, chosen.height, chosen.quality)
        return
    config = configure("crw", "dense", settings=[*FULL_WIDTH, *chosen.settings])
    print(json.dumps(learn(config, chosen.frames, chosen.out), indent=2))


if __name__ == "__main__":
    main()
