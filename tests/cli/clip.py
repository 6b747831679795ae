"""A short clip whose labels are known, in several guises, and the command that labels it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from scalable_binding.data.frames import videos
from scalable_binding.data.labels import keypoints, masks
from scalable_binding.data.labels.keypoints import Keypoint

HEIGHT, WIDTH, COUNT = 54, 132, 10
SQUARE = 24
CUT = 20


def scene(count: int = COUNT) -> tuple[Tensor, Tensor]:
    """A textured square (id 200) that goes a cell a frame over coarse noise, and its mask."""
    generator = torch.Generator().manual_seed(0)

    def noise(*size: int) -> Tensor:
        coarse = torch.rand(1, 3, *(side // 4 + 1 for side in size), generator=generator)
        fine = torch.nn.functional.interpolate(coarse, scale_factor=4.0)[0]
        return (fine[:, : size[0], : size[1]] * 255).byte()

    frames = noise(HEIGHT, WIDTH).repeat(count, 1, 1, 1)
    ids = torch.zeros(count, HEIGHT, WIDTH, dtype=torch.uint8)
    square = noise(SQUARE, SQUARE)
    for t in range(count):
        left = 16 + 8 * min(t, COUNT - 1)
        place = (slice(16, 16 + SQUARE), slice(left, left + SQUARE))
        frames[t][:, *place], ids[t][place] = square, 200
    return frames, ids


def write(made: Path) -> None:
    """The clip as videos and folders, whole and cut, and labels of its ends."""
    frames, ids = scene()
    videos.write(made / "video.mp4", frames, fps=8)
    videos.write(made / "video.mkv", scene(CUT)[0], fps=8)
    videos.write(made / "frames", frames, fps=8)
    videos.write(made / "one", frames[:1, :, 1:, 1:], fps=8)
    videos.write(made / "three", frames[:3, :, 1:, 1:], fps=8)
    for name, share in (("video.mp4", 0.5), ("video.mkv", 0.8)):
        content = (made / name).read_bytes()
        (made / f"cut-{name}").write_bytes(content[: int(len(content) * share)])
    masks.write(made / "odd.png", ids[0, 1:, 1:])
    masks.write(made / "first.png", ids[0])
    masks.write(made / "last.png", ids[-1])
    keypoints.write(made / "points.csv", [Keypoint(0, 1000, 27.0, 27.0)])


def tokens(folder: Path, out: Path, *more: str, **changed: str) -> list[str]:
    named = {"video": "video.mp4", "labels": "first.png", "weights": "raw"} | changed
    weights = named["weights"]
    weights = str(folder / weights) if "." in weights else weights
    files = [str(folder / named["video"]), "--labels", str(folder / named["labels"])]
    # The clip is noise: there are no edges for masks to follow.
    named_options = ["--out", str(out), "--weights", weights, "--no-edges"]
    return ["crw", "propagate", *files, *named_options, *more]
