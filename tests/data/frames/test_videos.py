"""Videos: what is written comes back, at any rate and from any frame; bad files end in one line."""

from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from PIL import Image

from reference.numbered import number_of, numbered_frame, numbered_frames, numbers_of
from scalable_binding.data.frames import decoding, images, rendering, videos
from scalable_binding.errors import UserError


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """A video of 100 numbered frames at 30 a second with a key frame every 40."""
    path = tmp_path_factory.mktemp("videos") / "numbered.mp4"
    videos.write(path, numbered_frames(100), fps=30.0, key_every=40)
    return path


def encode(
    path, frames, stamps, *, unit=Fraction(1, 1000), rotation=0, codec="libx264", options=None
):
    """A video file whose frames are shown at the given stamps."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=round(min(30, 1 / unit)), options=options or {})
        stream.codec_context.time_base = unit
        stream.height, stream.width = frames[0].shape[1:]
        stream.pix_fmt = "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        for frame, stamp in zip(frames, stamps, strict=True):
            array = frame.permute(1, 2, 0).contiguous().numpy()
            picture = av.VideoFrame.from_ndarray(array, format="rgb24")
            picture.pts, picture.time_base = stamp, unit
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def test_all_frames_come_in_order_and_once(numbered):
    assert numbers_of(videos.stream(numbered)) == list(range(100))


def test_probe_tells_size_rate_and_length(numbered):
    info = videos.probe(numbered)
    assert (info.num_frames, info.fps, info.height, info.width) == (100, 30.0, 48, 96)
    assert info.duration == pytest.approx(100 / 30, abs=0.01)


@pytest.mark.parametrize("start", [0, 1, 39, 40, 41, 77, 99, 100, 300])
def test_seeking_gives_the_frames_of_reading_from_the_start(numbered, start):
    everything = videos.read(numbered)
    frames = list(videos.stream(numbered, start=start, stop=start + 5))
    assert len(frames) == len(everything[start : start + 5])
    for frame, expected in zip(frames, everything[start:], strict=False):
        torch.testing.assert_close(frame, expected, rtol=0, atol=0)


@pytest.mark.parametrize("fps", [5.0, 7.0, 10.0, 24.0, 29.97, 30.0, 45.0, 60.0, 0.4])
def test_resampling_holds_the_frame_on_show(numbered, fps):
    expected = [int(30 * tick / fps + 1e-9) for tick in range(1000) if tick / fps < 100 / 30]
    assert numbers_of(videos.stream(numbered, fps=fps)) == expected
    assert numbers_of(videos.stream(numbered, fps=fps, start=3, stop=9)) == expected[3:9]


def test_resampling_a_folder_counts_it_at_the_rate_of_davis(tmp_path):
    videos.write(tmp_path / "frames", numbered_frames(24), fps=10.0)
    assert numbers_of(videos.stream(tmp_path / "frames", fps=8.0)) == list(range(0, 24, 3))
    assert numbers_of(videos.stream(tmp_path / "frames", fps=8.0, start=2, stop=4)) == [6, 9]


def test_variable_frame_rate_follows_the_clock(tmp_path):
    stamps = [0, 100, 150, 400, 1000, 1033, 1066]  # milliseconds
    encode(tmp_path / "variable.mkv", numbered_frames(7), stamps)
    expected = [sum(stamp <= tick * 100 for stamp in stamps) - 1 for tick in range(11)]
    assert numbers_of(videos.stream(tmp_path / "variable.mkv", fps=10.0))[:11] == expected
    sought = videos.stream(tmp_path / "variable.mkv", fps=10.0, start=5, stop=11)
    assert numbers_of(sought) == expected[5:]
    assert numbers_of(videos.stream(tmp_path / "variable.mkv")) == list(range(7))


def test_stamps_rounded_to_milliseconds_lose_no_frame(tmp_path):
    stamps = [round(number * 1000 / 30) for number in range(60)]
    encode(tmp_path / "rounded.mkv", numbered_frames(60), stamps)
    assert numbers_of(videos.stream(tmp_path / "rounded.mkv", fps=30.0)) == list(range(60))
    assert numbers_of(videos.stream(tmp_path / "rounded.mkv", fps=15.0)) == list(range(0, 60, 2))


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "mpeg4"), ("a.mpg", "mpeg2video")])
def test_coarse_stamps_and_fine_ones_give_the_same_frames(tmp_path, name, codec):
    encode(tmp_path / name, numbered_frames(60), range(60), unit=Fraction(1, 30), codec=codec)
    expected = [int(30 * tick / 8) for tick in range(16)]
    assert numbers_of(videos.stream(tmp_path / name, fps=8.0)) == expected


def test_a_video_that_begins_late_begins_at_zero(tmp_path):
    encode(tmp_path / "late.mkv", numbered_frames(30), [5000 + 40 * n for n in range(30)])
    assert numbers_of(videos.stream(tmp_path / "late.mkv", fps=12.5)) == list(range(0, 30, 2))
    assert numbers_of(videos.stream(tmp_path / "late.mkv", start=20, stop=22)) == [20, 21]


OPEN_GROUPS = {"x264-params": "open-gop=1:keyint=12:bframes=3:scenecut=0"}
INTRA_REFRESH = {"x264-params": "intra-refresh=1:keyint=20"}  # its key frames are none to seek to


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.avi", "mpeg4", {"g": "12", "bf": "2"}),
        ("a.ts", "libx264", OPEN_GROUPS),
        ("a.mp4", "libx264", INTRA_REFRESH),
        ("a.mov", "mpeg4", {}),
        ("a.mpg", "mpeg2video", {"g": "12", "bf": "2"}),
        ("a.webm", "libvpx-vp9", {"g": "12"}),
        ("a.h264", "libx264", {"g": "12"}),
    ],
)
def test_every_container_seeks_exactly(tmp_path, name, codec, options):
    path = tmp_path / name
    stamps = range(60)
    encode(path, numbered_frames(60), stamps, unit=Fraction(1, 25), codec=codec, options=options)
    everything = list(videos.stream(path))
    assert numbers_of(everything) == list(range(60))
    for start in (1, 12, 30, 47, 58):
        frame = next(videos.stream(path, start=start))
        torch.testing.assert_close(frame, everything[start], rtol=0, atol=0)
    numbers = [3, 17, 18, 45, 59]
    for number, frame in zip(numbers, decoding.pick(path, numbers), strict=True):
        torch.testing.assert_close(rendering.pixels(frame), everything[number], rtol=0, atol=0)


def test_picking_frames_across_key_frames(numbered):
    numbers = [0, 5, 38, 39, 40, 79, 80, 99]
    everything = videos.read(numbered)
    for number, frame in zip(numbers, decoding.pick(numbered, numbers), strict=True):
        torch.testing.assert_close(rendering.pixels(frame), everything[number], rtol=0, atol=0)


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_rotation_metadata_turns_the_frames(tmp_path, degrees):
    frames = torch.zeros(3, 3, 32, 64, dtype=torch.uint8)
    frames[:, 0, :16, :32] = 255  # red in the upper left
    encode(tmp_path / "turned.mp4", list(frames), [0, 33, 66], rotation=degrees)
    turned = videos.read(tmp_path / "turned.mp4")
    expected = torch.rot90(frames, degrees // 90, (2, 3))
    assert turned.shape == expected.shape
    assert (turned.int() - expected.int()).abs().float().mean() < 6
    info = videos.probe(tmp_path / "turned.mp4")
    assert (info.height, info.width) == tuple(expected.shape[2:])


@pytest.mark.parametrize(("height", "width"), [(33, 47), (1, 1), (2, 51), (16, 16)])
def test_odd_sizes_lose_nothing(tmp_path, height, width):
    frames = torch.full((4, 3, height, width), 200, dtype=torch.uint8)
    videos.write(tmp_path / "odd.mp4", frames, fps=10.0)
    videos.write(tmp_path / "odd", frames, fps=10.0)
    from_file, from_folder = videos.read(tmp_path / "odd.mp4"), videos.read(tmp_path / "odd")
    torch.testing.assert_close(from_folder, frames, rtol=0, atol=0)
    assert from_file.shape == (4, 3, height + height % 2, width + width % 2)
    assert (from_file.int() - 200).abs().max() <= 4


def test_colors_survive_encoding(tmp_path):
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (128, 64, 200)]
    frames = torch.tensor(colors, dtype=torch.uint8)[:, :, None, None].expand(-1, -1, 32, 32)
    videos.write(tmp_path / "colors.mp4", frames, fps=5.0)
    assert (videos.read(tmp_path / "colors.mp4").int() - frames.int()).abs().max() <= 6


def test_size_is_the_short_side(numbered, tmp_path):
    assert videos.read(numbered, size=24).shape == (100, 3, 24, 48)
    videos.write(tmp_path / "tall", torch.zeros(2, 3, 90, 60, dtype=torch.uint8), fps=5.0)
    assert videos.read(tmp_path / "tall", size=20).shape == (2, 3, 30, 20)


def test_one_frame(tmp_path):
    videos.write(tmp_path / "one.mp4", numbered_frames(1), fps=30.0)
    assert numbers_of(videos.stream(tmp_path / "one.mp4")) == [0]
    assert numbers_of(videos.stream(tmp_path / "one.mp4", fps=5.0)) == [0]


def test_frames_of_a_folder_come_in_natural_order(tmp_path):
    for number in (10, 2, 1):
        images.write(tmp_path / f"frame{number}.png", numbered_frame(number))
    (tmp_path / "notes.txt").write_text("not a frame")
    (tmp_path / ".hidden.png").write_text("not a frame")
    assert numbers_of(videos.stream(tmp_path)) == [1, 2, 10]


def test_a_folder_of_jpegs(tmp_path):
    videos.write(tmp_path / "small", numbered_frames(12), fps=10.0, still=".jpg")
    assert sorted(path.name for path in (tmp_path / "small").iterdir())[11] == "00011.jpg"
    assert numbers_of(videos.stream(tmp_path / "small")) == list(range(12))
    with pytest.raises(UserError, match="expected a name"):
        videos.write(tmp_path / "odd", numbered_frames(2), fps=10.0, still=".txt")


def test_any_iterator_of_pictures_is_a_video():
    array = np.full((4, 6, 3), 7, dtype=np.uint8)
    pictures = [array, array[..., 0], Image.fromarray(array), torch.full((3, 4, 6), 7).byte()]
    frames = list(videos.convert(iter(pictures)))
    assert len(frames) == 4
    assert all(frame.shape == (3, 4, 6) and bool((frame == 7).all()) for frame in frames)


def test_an_empty_folder_may_be_filled(tmp_path):
    (tmp_path / "frames").mkdir()
    videos.write(tmp_path / "frames", numbered_frames(2), fps=10.0)
    assert numbers_of(videos.stream(tmp_path / "frames")) == [0, 1]


def test_an_iterator_is_read_no_further_than_asked():
    def camera():
        yield np.zeros((4, 6, 3), dtype=np.uint8)
        raise AssertionError("read ahead")

    assert next(videos.convert(camera())).shape == (3, 4, 6)


@pytest.mark.parametrize(
    "picture", [np.zeros((4, 6, 3)), np.zeros((4, 6, 2), np.uint8), torch.zeros(4, 6).byte()]
)
def test_other_pictures_are_refused(picture):
    with pytest.raises(UserError, match="uint8"):
        next(videos.convert([picture]))


def test_a_picture_of_another_size_is_refused():
    pictures = [np.zeros((4, 6, 3), np.uint8), np.zeros((5, 6, 3), np.uint8)]
    with pytest.raises(UserError, match="expected 4 x 6, got 5 x 6"):
        list(videos.convert(pictures))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("share", [0.9, 0.5])
def test_a_cut_video_gives_its_frames_and_a_warning(tmp_path, suffix, share):
    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    videos.write(whole, numbered_frames(90), fps=30.0, key_every=10)
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    with pytest.warns(videos.DamagedVideoWarning, match="ends early"):
        numbers = numbers_of(videos.stream(cut))
    assert numbers == list(range(len(numbers)))
    assert 90 * share - 25 < len(numbers) < 90


def test_a_video_damaged_in_the_middle_gives_its_frames_up_to_there(tmp_path):
    path = tmp_path / "damaged.mp4"
    videos.write(path, numbered_frames(90), fps=30.0, key_every=10)
    content = bytearray(path.read_bytes())
    middle = len(content) * 6 // 10
    content[middle : middle + 1500] = b"\xff" * 1500
    path.write_bytes(content)
    with pytest.warns(videos.DamagedVideoWarning, match="ends early"):
        numbers = numbers_of(videos.stream(path))
    assert numbers == list(range(len(numbers)))
    assert 30 < len(numbers) < 80
    with pytest.raises(UserError, match=r"frame \d+ cannot be decoded"):
        list(decoding.pick(path, range(90)))


def test_sound_alone_is_no_video(tmp_path):
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        samples.sample_rate = 16000
        container.mux(stream.encode(samples))
        container.mux(stream.encode())
    with pytest.raises(UserError, match="no video in this file"):
        videos.read(tmp_path / "sound.mp4")


def test_a_folder_is_probed_without_decoding(tmp_path):
    videos.write(tmp_path / "frames", numbered_frames(12), fps=10.0)
    info = videos.probe(tmp_path / "frames")
    assert (info.num_frames, info.fps, info.height, info.width) == (12, 24.0, 48, 96)
    assert info.duration == 0.5


def test_a_whole_video_gives_no_warning(numbered, recwarn):
    videos.read(numbered)
    videos.read(numbered, start=50)
    assert not recwarn.list


@pytest.mark.parametrize("content", [b"", b"hello", bytes(5000), b"\x00\x00\x00\x18ftypmp42" * 9])
def test_what_is_no_video_ends_in_one_line(tmp_path, content):
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    for attempt in (videos.probe, videos.read, lambda path: videos.read(path, start=5)):
        with pytest.raises(UserError, match=r"broken\.mp4"):
            attempt(path)


def test_a_missing_video_and_an_empty_folder(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        videos.read(tmp_path / "missing.mp4")
    with pytest.raises(UserError, match="no such file"):
        videos.stream(tmp_path / "missing.mp4")  # at once, not at the first frame
    with pytest.raises(UserError, match="no frames in this folder"):
        videos.probe(tmp_path)


def test_a_playlist_cannot_reach_another_file(tmp_path):
    videos.write(tmp_path / "secret.ts.mp4", numbered_frames(5), fps=5.0)
    (tmp_path / "secret.ts.mp4").rename(tmp_path / "secret.ts")
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:9/a.ts\n"
    (tmp_path / "list.mp4").write_text(playlist)
    (tmp_path / "concat.mp4").write_text(f"ffconcat version 1.0\nfile '{tmp_path}/secret.ts'\n")
    for name in ("list.mp4", "concat.mp4"):
        with pytest.raises(UserError):
            videos.read(tmp_path / name)


def test_a_picture_that_is_too_large_is_refused(numbered, monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 48 * 96 - 1)
    with pytest.raises(UserError):
        videos.read(numbered)


def test_ranges_and_rates_are_checked(numbered):
    for bad in ({"start": -1}, {"start": 5, "stop": 2}, {"fps": 0.0}, {"fps": float("inf")}):
        with pytest.raises(UserError, match="expected"):
            videos.stream(numbered, **bad)
    with pytest.raises(UserError, match="no frames from 100"):
        videos.read(numbered, start=100)


def test_writing_refuses_what_it_cannot_do(tmp_path):
    frames = numbered_frames(2)
    with pytest.raises(UserError, match="no frames"):
        videos.write(tmp_path / "empty.mp4", [], fps=5.0)
    with pytest.raises(UserError, match=r"got \.gif"):
        videos.write(tmp_path / "moving.gif", frames, fps=5.0)
    with pytest.raises(UserError, match="fps"):
        videos.write(tmp_path / "still.mp4", frames, fps=0.0)
    with pytest.raises(UserError, match="differs in size"):
        videos.write(tmp_path / "two.mp4", [frames[0], frames[1][:, :-2]], fps=5.0)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep me")
    with pytest.raises(UserError, match="not an empty folder"):
        videos.write(tmp_path / "full", frames, fps=5.0)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        videos.write(tmp_path / "file" / "below.mp4", frames, fps=5.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]


@pytest.mark.parametrize("name", ["video.mp4", "frames"])
def test_an_error_leaves_nothing_behind_and_ctrl_c_leaves_what_came(tmp_path, name):
    def frames(problem):
        yield from numbered_frames(3)
        raise problem

    with pytest.raises(RuntimeError):
        videos.write(tmp_path / name, frames(RuntimeError()), fps=5.0)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt):
        videos.write(tmp_path / name, frames(KeyboardInterrupt()), fps=5.0)
    assert numbers_of(videos.stream(tmp_path / name)) == [0, 1, 2]


def test_a_long_range_is_read_one_frame_at_a_time(numbered):
    frames = videos.stream(numbered, fps=30_000.0)
    assert [number_of(next(frames)) for _ in range(5)] == [0] * 5
