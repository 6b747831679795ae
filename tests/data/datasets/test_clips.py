"""Clips: a pure function of seed and index, whatever the files, the workers and the damage."""

import os
import tarfile
import warnings
from collections import Counter
from itertools import islice, pairwise, product
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from reference.numbered import numbered_frames, numbers_of
from scalable_binding.data.datasets.clips import UnusableVideoWarning, VideoClips
from scalable_binding.data.frames import videos
from scalable_binding.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three videos at 30 frames a second, of 60 numbered frames each."""
    root = tmp_path_factory.mktemp("clips")
    for number, name in enumerate(("a.mp4", "b.mp4", "c.mkv")):
        height = 48 + 8 * number
        videos.write(root / name, numbered_frames(60, height=height), fps=30.0, key_every=12)
    return root


@pytest.fixture(scope="module")
def frame_folders(tmp_path_factory):
    """Two folders of 24 numbered frames."""
    root = tmp_path_factory.mktemp("frames")
    for name in ("dog", "cat"):
        videos.write(root / "480p" / name, numbered_frames(24), fps=24.0)
    return root


def clip_numbers(dataset, index):
    return numbers_of(dataset[index]["frames"])


def test_an_item_is_a_clip_and_its_index(folder):
    item = VideoClips(folder, num_frames=4)[7]
    assert set(item) == {"frames", "index"}
    assert (item["index"].dtype, item["index"].item()) == (torch.int64, 7)
    assert item["frames"].dtype == torch.uint8
    assert item["frames"].shape[:2] == (4, 3)


def test_items_are_pure_in_seed_and_index(folder):
    first, second = (VideoClips(folder, num_frames=3, crop=40, seed=5) for _ in range(2))
    expected = [first[index]["frames"] for index in range(9)]
    for index in (8, 2, 8, 0, 5):
        assert torch.equal(second[index]["frames"], expected[index])
    other = VideoClips(folder, num_frames=3, crop=40, seed=6)
    assert any(not torch.equal(other[index]["frames"], expected[index]) for index in range(9))


def flipped(frames, mirrored, turned):
    frames = frames.flip(-1) if mirrored else frames
    return frames.flip(0) if turned else frames


def test_every_epoch_visits_every_video_in_another_order(folder):
    dataset = VideoClips(folder, num_frames=2)
    heights = [dataset[index]["frames"].shape[2] for index in range(30)]
    epochs = [tuple(heights[start : start + 3]) for start in range(0, 30, 3)]
    assert all(sorted(epoch) == [48, 56, 64] for epoch in epochs)
    assert len(set(epochs)) > 2


@pytest.mark.parametrize(("fps", "step"), [(None, 1), (30.0, 1), (15.0, 2), (10.0, 3), (3.0, 10)])
def test_frames_are_consecutive_at_the_rate_asked_for(folder, fps, step):
    dataset = VideoClips(folder, num_frames=4, fps=fps)
    starts = set()
    for index in range(12):
        numbers = clip_numbers(dataset, index)
        assert numbers == [numbers[0] + step * k for k in range(4)]
        starts.add(numbers[0])
    assert len(starts) > 4


def test_a_range_of_rates_gives_each_clip_its_own_evenly_in_the_logarithm(folder):
    dataset = VideoClips(folder, num_frames=4, fps=(3.0, 30.0))
    steps = []
    for index in range(90):
        numbers = clip_numbers(dataset, index)
        gaps = [later - earlier for earlier, later in pairwise(numbers)]
        assert max(gaps) - min(gaps) <= 1
        steps.append((numbers[-1] - numbers[0]) / 3)
    assert min(steps) < 2 and max(steps) > 8
    assert 30 <= sum(step < 10**0.5 for step in steps) <= 60


def test_a_short_video_takes_part_at_those_rates_that_it_can_serve(tmp_path):
    """Four frames at 3 a second last a second and more; twelve at 30 do not."""
    videos.write(tmp_path / "short.mp4", numbered_frames(12), fps=30.0)
    dataset = VideoClips(tmp_path, num_frames=4, fps=(3.0, 30.0))
    steps = [
        clip_numbers(dataset, index)[1] - clip_numbers(dataset, index)[0] for index in range(40)
    ]
    assert set(steps) == {1, 2, 3} and not dataset.failures
    words = r"expected 4 frames at 3 a second, got 12 frames, 0\.40 s"
    with pytest.warns(UnusableVideoWarning, match=words), pytest.raises(UserError, match=words):
        VideoClips(tmp_path, num_frames=4, fps=3.0)[0]


def test_clips_are_mirrored_and_reversed_half_of_the_time(folder):
    plain, other = (
        VideoClips(folder, num_frames=3, fps=10.0, crop=40, mirror=asked, reverse=asked)
        for asked in (False, True)
    )
    seen = Counter()
    for index in range(60):
        expected, found = plain[index]["frames"], other[index]["frames"]
        kinds = {
            (mirrored, turned)
            for mirrored in (False, True)
            for turned in (False, True)
            if torch.equal(found, flipped(expected, mirrored, turned))
        }
        assert kinds
        seen.update(kinds)
    assert all(seen[kind] >= 5 for kind in product((False, True), repeat=2))


def test_rates_that_do_not_divide_hold_the_frame_on_show(folder):
    for index in range(6):
        numbers = clip_numbers(VideoClips(folder, num_frames=5, fps=8.0), index)
        assert [number - numbers[0] for number in numbers] == [0, 3, 7, 11, 15]
        numbers = clip_numbers(VideoClips(folder, num_frames=5, fps=60.0), index)
        assert [number - numbers[0] for number in numbers] == [0, 0, 1, 1, 2]


def test_an_infinite_rate_repeats_one_frame(folder):
    frames = VideoClips(folder, num_frames=3, fps=float("inf"))[4]["frames"]
    assert torch.equal(frames[0], frames[1])
    assert torch.equal(frames[0], frames[2])


def test_all_beginnings_occur_from_first_to_last(frame_folders):
    dataset = VideoClips(frame_folders, num_frames=20)
    starts = {clip_numbers(dataset, index)[0] for index in range(80)}
    assert starts == {0, 1, 2, 3, 4}


def test_folders_of_frames_have_the_rate_they_are_given(frame_folders):
    for folder_fps, step in ((24.0, 3), (48.0, 6)):
        dataset = VideoClips(frame_folders, num_frames=3, fps=8.0, folder_fps=folder_fps)
        numbers = clip_numbers(dataset, 0)
        assert [number - numbers[0] for number in numbers] == [0, step, 2 * step]


def test_the_crop_is_one_window_of_the_frames(folder):
    whole, cut = VideoClips(folder, num_frames=3), VideoClips(folder, num_frames=3, crop=32)
    windows = set()
    for index in range(6):
        frames, squares = whole[index]["frames"], cut[index]["frames"]
        assert squares.shape == (3, 3, 32, 32)
        candidates = frames.unfold(2, 32, 1).unfold(3, 32, 1)  # t 3 row column 32 32
        matches = (candidates == squares[:, :, None, None]).flatten(4).all(-1).all(0).all(0)
        assert matches.any()
        windows.add(tuple(matches.nonzero()[0].tolist()))
    assert len(windows) > 2


def test_size_comes_before_the_crop_so_that_clips_stack(folder):
    dataset = VideoClips(folder, num_frames=2, size=36, crop=30)
    assert torch.stack([dataset[index]["frames"] for index in range(3)]).shape[2:] == (3, 30, 30)
    assert min(VideoClips(folder, num_frames=2, size=36)[0]["frames"].shape[2:]) == 36


def test_whole_frames_are_squeezed_so_that_clips_stack(folder):
    squeezed = VideoClips(folder, num_frames=2, size=20, square=True)[0]["frames"]
    whole = VideoClips(folder, num_frames=2, size=20)[0]["frames"]
    assert squeezed.shape == (2, 3, 20, 20) and whole.shape[-1] > 20
    levels = (squeezed.float().mean(dim=(2, 3)) - whole.float().mean(dim=(2, 3))).abs()
    assert levels.max() < 1
    with pytest.raises(UserError, match="square: expected a size and no crop"):
        VideoClips(folder, num_frames=2, square=True)


def test_shards_give_the_clips_of_their_files(folder, frame_folders, tmp_path):
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name)
        for path in sorted((frame_folders / "480p" / "dog").iterdir()):
            tar.add(path, f"dog/{path.name}")
    dataset = VideoClips(tmp_path, num_frames=4, fps=12.0)
    steps = {30: [0, 2, 5, 7], 24: [0, 2, 4, 6]}
    for index in range(8):
        numbers = clip_numbers(dataset, index)
        assert [number - numbers[0] for number in numbers] in steps.values()
    assert dataset.failures == {}


def test_several_roots_are_one_data_set(folder, frame_folders):
    dataset = VideoClips([folder, frame_folders], num_frames=2)
    assert len(dataset.videos) == 5


def test_damaged_videos_are_replaced_warned_of_once_and_counted(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "broken.mp4").write_text("hello")
    dataset = VideoClips(tmp_path, num_frames=3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        items = [dataset[index]["frames"] for index in range(12)]
    assert len(caught) == 1
    assert caught[0].category is UnusableVideoWarning
    assert "broken.mp4" in str(caught[0].message)
    assert dataset.failures == {str(tmp_path / "broken.mp4"): 3}
    again = VideoClips(tmp_path, num_frames=3)
    with pytest.warns(UnusableVideoWarning):
        assert all(torch.equal(again[index]["frames"], items[index]) for index in range(12))


def test_a_cut_video_gives_clips_from_its_sound_part_only(folder, tmp_path):
    content = (folder / "a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) * 2 // 3])
    (tmp_path / "whole.mp4").write_bytes(content)
    dataset = VideoClips(tmp_path, num_frames=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for index in range(30):
            numbers = clip_numbers(dataset, index)
            assert numbers == [numbers[0], numbers[0] + 1, numbers[0] + 2]


def test_short_and_small_videos_are_replaced(folder, tmp_path):
    (tmp_path / "long.mp4").write_bytes((folder / "a.mp4").read_bytes())
    videos.write(tmp_path / "short.mp4", numbered_frames(3), fps=30.0)
    videos.write(tmp_path / "small.mp4", numbered_frames(60, height=20), fps=30.0)
    dataset = VideoClips(tmp_path, num_frames=5, fps=10.0, crop=40)
    with pytest.warns(UnusableVideoWarning):
        assert all(dataset[index]["frames"].shape == (5, 3, 40, 40) for index in range(6))
    assert {Path(name).name for name in dataset.failures} == {"short.mp4", "small.mp4"}


def test_no_usable_video_is_told(tmp_path):
    (tmp_path / "broken.mp4").write_text("hello")
    dataset = VideoClips(tmp_path, num_frames=3)
    with pytest.warns(UnusableVideoWarning), pytest.raises(UserError, match="none of the 1 videos"):
        dataset[0]


def test_arguments_are_checked(folder):
    for bad in (
        {"num_frames": 0},
        {"fps": 0.0},
        {"size": -1},
        {"size": 32, "crop": 33},
        {"fps": (8.0, 4.0)},
    ):
        with pytest.raises(UserError, match="expected"):
            VideoClips(folder, **{"num_frames": 2, **bad})
    with pytest.raises(IndexError):
        VideoClips(folder, num_frames=2)[-1]


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_worker_processes_give_the_same_clips_and_count_failures(folder, tmp_path, context):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "broken.mp4").write_text("hello")
    dataset = VideoClips(tmp_path, num_frames=3, crop=40)
    with pytest.warns(UnusableVideoWarning):
        expected = [dataset[index]["frames"] for index in range(8)]  # decoders run before the fork
    before = sum(dataset.failures.values())
    loader = DataLoader(
        dataset, batch_size=2, sampler=range(8), num_workers=2, multiprocessing_context=context
    )
    batches = torch.cat([batch["frames"] for batch in loader])
    assert torch.equal(batches, torch.stack(expected))
    assert sum(dataset.failures.values()) == 2 * before


@pytest.mark.skipif(
    "SBIND_DATA" not in os.environ, reason="SBIND_DATA names no folder of real data"
)
def test_real_videos():
    root = Path(os.environ["SBIND_DATA"])
    for name in ("clips", "davis/DAVIS/JPEGImages/480p"):
        dataset = VideoClips(root / name, num_frames=4, fps=8.0, crop=256)
        clips = [dataset[index]["frames"] for index in islice(range(100), len(dataset.videos))]
        assert torch.stack(clips).shape == (len(dataset.videos), 4, 3, 256, 256)
        assert dataset.failures == {}
