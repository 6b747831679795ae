"""Sources: videos are found wherever they lie, in a fixed order."""

import tarfile

import pytest
import torch

from reference.numbered import numbered_frames
from scalable_binding.data.frames import sources, videos
from scalable_binding.data.frames.sources import FrameFolder
from scalable_binding.data.shards import Member
from scalable_binding.errors import UserError


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A video file and a folder of three frames."""
    folder = tmp_path_factory.mktemp("parts")
    videos.write(folder / "video.mp4", numbered_frames(5), fps=5.0)
    videos.write(folder / "frames", torch.zeros(3, 3, 8, 8, dtype=torch.uint8), fps=5.0)
    return folder


def test_files_nested_folders_and_shards_are_found_in_order(tmp_path, parts):
    (tmp_path / "JPEGImages" / "480p").mkdir(parents=True)
    (tmp_path / "JPEGImages" / "480p" / "dog").symlink_to(parts / "frames")
    (tmp_path / "JPEGImages" / "480p" / "round").symlink_to(tmp_path / "JPEGImages")
    for name in ("b.mp4", "a.MP4", ".hidden.mp4", "notes.txt"):
        (tmp_path / name).write_bytes((parts / "video.mp4").read_bytes())
    with tarfile.open(tmp_path / "z.tar", "w") as tar:
        tar.add(parts / "video.mp4", "inside.mp4")
    (tmp_path / "JPEGImages" / "480p" / ".cache").mkdir()
    found = sources.find_videos(tmp_path)
    assert found == sources.find_videos(tmp_path)
    files = [video.name for video in found if not isinstance(video, FrameFolder | Member)]
    assert files == ["a.MP4", "b.mp4"]
    assert [video.name for video in found if isinstance(video, Member)] == ["inside.mp4"]
    assert [video.name for video in found if isinstance(video, FrameFolder)] == [
        str(tmp_path / "JPEGImages" / "480p" / "dog")
    ]


def test_folders_of_frames_are_found_at_any_depth(tmp_path, parts):
    frames = torch.zeros(12, 3, 8, 8, dtype=torch.uint8)
    for sequence in ("dog", "cat"):
        videos.write(tmp_path / "JPEGImages" / "480p" / sequence, frames, fps=5.0)
    found = sources.find_videos(tmp_path)
    assert [video.name.rsplit("/", 1)[1] for video in found] == ["cat", "dog"]
    assert [frame.name for frame in found[0].frames] == [f"{n:05d}.png" for n in range(12)]


def test_a_root_may_be_one_file(parts):
    assert sources.find_videos(parts / "video.mp4") == [parts / "video.mp4"]


def test_shards_hold_videos_frames_of_a_sample_and_frames_of_a_folder(tmp_path, parts):
    frame = next(iter((parts / "frames").iterdir()))
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        tar.add(parts / "video.mp4", "0001.mp4")
        tar.add(parts / "video.mp4", "0001.json")
        for number in (0, 10, 9):
            tar.add(frame, f"sample.{number}.png")
        for number in (1, 0):
            tar.add(frame, f"walk/dog/{number:03d}.png")
    video, sample, folder = sources.find_videos(tmp_path / "shard.tar")
    assert video.name == "0001.mp4"
    assert [member.name for member in sample.frames] == [f"sample.{n}.png" for n in (0, 9, 10)]
    assert [member.name for member in folder.frames] == ["walk/dog/000.png", "walk/dog/001.png"]


def test_shards_that_webdataset_writes_are_read(tmp_path, parts):
    webdataset = pytest.importorskip("webdataset")
    with webdataset.TarWriter(str(tmp_path / "shard-000000.tar")) as sink:
        for number in range(3):
            content = (parts / "video.mp4").read_bytes()
            sink.write({"__key__": f"{number:06d}", "mp4": content, "json": {"number": number}})
    found = sources.find_videos(tmp_path)
    assert [video.name for video in found] == [f"{number:06d}.mp4" for number in range(3)]
    assert all(videos.probe(video).num_frames == 5 for video in found)


def test_a_broken_shard_among_others_is_left_out_with_a_warning(tmp_path, parts):
    (tmp_path / "broken.tar").write_text("hello" * 300)
    (tmp_path / "video.mp4").write_bytes((parts / "video.mp4").read_bytes())
    with pytest.warns(sources.UnusableVideoWarning, match=r"broken\.tar"):
        assert sources.find_videos(tmp_path) == [tmp_path / "video.mp4"]


def test_nothing_found_is_told(tmp_path):
    with pytest.raises(UserError, match="no videos under"):
        sources.find_videos(tmp_path)
    with pytest.raises(UserError, match="no such file or folder"):
        sources.find_videos(tmp_path / "missing")
