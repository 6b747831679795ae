"""Memory: what has been decoded once is not decoded again, and no item changes by it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from reference.numbered import numbered_frames
from scalable_binding.data.datasets import clips
from scalable_binding.data.datasets.clips import VideoClips
from scalable_binding.data.datasets.labeled_images import LabeledImages
from scalable_binding.data.frames import images, rendering, videos
from scalable_binding.data.frames.memory import Memory


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 24 frames, one of 60, and a folder of 24 frames."""
    root = tmp_path_factory.mktemp("memory")
    videos.write(root / "a.mp4", numbered_frames(24), fps=30.0)
    videos.write(root / "b.mp4", numbered_frames(60), fps=30.0, key_every=12)
    videos.write(root / "c", numbered_frames(24), fps=24.0)
    return root


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many frames and images have been decoded and shrunk."""
    counts: Counter[str] = Counter()

    def counting(function: Any, name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            counts[name] += 1
            return function(*arguments, **options)

        return call

    monkeypatch.setattr(rendering, "pixels", counting(rendering.pixels, "frame"))
    monkeypatch.setattr(images, "read", counting(images.read, "frame"))
    monkeypatch.setattr(images, "read_middle", counting(images.read_middle, "image"))
    return counts


@pytest.mark.parametrize("options", [{}, {"size": 32, "crop": 24, "mirror": True, "fps": 20.0}])
def test_clips_are_the_same_to_the_bit_and_decoded_once(
    folder: Path, decoded: Counter[str], options: dict[str, Any]
) -> None:
    kept = VideoClips(folder, num_frames=5, **options)
    afresh = VideoClips(folder, num_frames=5, memory=0, **options)
    for index in range(6):
        assert torch.equal(kept[index]["frames"], afresh[index]["frames"])
    decoded.clear()
    for index in range(12):
        kept[index]
    assert decoded["frame"] == 0
    for index in range(12):
        clip = afresh[index]["frames"]
        assert torch.equal(kept[index]["frames"], clip)
        assert kept[index]["frames"].stride() == clip.stride()
    assert decoded["frame"] > 12


def test_what_does_not_fit_is_decoded_clip_by_clip(
    folder: Path, decoded: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = VideoClips(folder / "a.mp4", num_frames=24)[0]["frames"]
    scarce = VideoClips(folder / "a.mp4", num_frames=2, memory=whole.nbytes - 1)
    ample = VideoClips(folder / "a.mp4", num_frames=2, memory=whole.nbytes)
    monkeypatch.setattr(clips, "MAX_FRAMES_KEPT", 23)
    long = VideoClips(folder / "a.mp4", num_frames=2)
    for dataset, again in ((scarce, 4), (long, 4)):
        dataset[0], dataset[1]
        decoded.clear()
        dataset[2], dataset[3]
        assert decoded["frame"] == again
    monkeypatch.undo()
    for index in range(4):
        assert torch.equal(ample[index]["frames"], scarce[index]["frames"])


def test_a_single_pass_decodes_no_more_than_its_clips(folder: Path, decoded: Counter[str]) -> None:
    dataset = VideoClips(folder, num_frames=5)
    for index in range(len(dataset.videos)):
        dataset[index]
    assert decoded["frame"] == 5 * len(dataset.videos)


@pytest.mark.filterwarnings("ignore::scalable_binding.data.datasets.clips.UnusableVideoWarning")
def test_a_video_that_is_damaged_later_on_still_gives_its_sound_part(tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    videos.write(path, numbered_frames(60), fps=30.0, key_every=12)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3] + bytes(len(content) // 3))
    found = []
    for memory in (0, clips.MAX_BYTES):
        dataset = VideoClips(path, num_frames=2, memory=memory)
        given: list[list[int] | None] = []
        for index in range(12):
            try:
                given.append(dataset[index]["frames"].flatten().tolist())
            except ValueError:
                given.append(None)
        found.append(given)
    assert found[0] == found[1]
    assert None in found[0] and any(found[0])


def test_images_are_decoded_once_and_cannot_be_spoilt(
    tmp_path: Path, decoded: Counter[str]
) -> None:
    for number in range(3):
        Image.new("RGB", (20, 12), (80 * number, 7, 9)).save(tmp_path / f"{number}.png")
    dataset = LabeledImages(tmp_path, size=8)
    first = [dataset[index]["image"].clone() for index in range(3)]
    for index in range(3):
        dataset[index]["image"].zero_()
    for index in range(3):
        assert torch.equal(dataset[index]["image"], first[index])
    assert decoded["image"] == 3
    forgetful = LabeledImages(tmp_path, size=8, memory=0)
    for index in range(6):
        assert torch.equal(forgetful[index]["image"], dataset[index]["image"])
    assert decoded["image"] == 9


class Room(Dataset[bool]):
    """Whether a worker's memory takes half of what there is in all."""

    def __init__(self) -> None:
        self.memory = Memory(most=100)

    def __getitem__(self, index: int) -> bool:
        return self.memory.fits(51)

    def __len__(self) -> int:
        return 2


@pytest.mark.parametrize(("workers", "fits"), [(0, True), (2, False)])
def test_workers_share_the_room(workers: int, fits: bool) -> None:
    loader = DataLoader(Room(), num_workers=workers, batch_size=None)
    assert [*loader] == [fits, fits]
