"""A video on standard input is labeled as a file is."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import av
import pytest
import torch

from cli import clip
from scalable_binding.cli import main
from scalable_binding.data.frames import videos
from scalable_binding.data.labels import masks


@pytest.fixture
def made(tmp_path: Path) -> Path:
    frames, ids = clip.scene()
    videos.write(tmp_path / "video.mp4", frames[:3], fps=8)
    masks.write(tmp_path / "first.png", ids[0])
    return tmp_path


def _pipe(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))


@pytest.mark.parametrize("container", ["matroska", "mpegts"])
def test_a_pipe_is_labeled_as_a_file_is(
    made: Path, container: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = _in_container(made / "video.mp4", container)
    (made / f"video.{container}").write_bytes(content)
    assert main(clip.tokens(made, made / "file", video=f"video.{container}")) == 0
    _pipe(monkeypatch, content)
    tokens = ["-" if "video." in token else token for token in clip.tokens(made, made / "pipe")]
    assert main(tokens) == 0
    names = sorted(path.name for path in (made / "file").iterdir())
    assert sorted(path.name for path in (made / "pipe").iterdir()) == names
    for name in names:
        assert torch.equal(masks.read(made / "file" / name), masks.read(made / "pipe" / name))


def _in_container(path: Path, container: str) -> bytes:
    """The packets of a video in another container."""
    target = io.BytesIO()
    with av.open(str(path)) as source, av.open(target, "w", format=container) as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    return target.getvalue()


@pytest.mark.parametrize("content", [b"", b"no video"])
def test_a_pipe_without_a_video_is_one_line(
    made: Path, content: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _pipe(monkeypatch, content)
    tokens = ["-" if "video." in token else token for token in clip.tokens(made, made / "out")]
    assert main(tokens) == 2
    assert capsys.readouterr().err.strip().count("\n") == 0


def test_a_real_pipe_is_read(made: Path) -> None:
    tokens = ["-" if "video." in token else token for token in clip.tokens(made, made / "out")]
    command = [sys.executable, "-m", "scalable_binding", *tokens]
    with (made / "video.mp4").open("rb") as source:
        subprocess.run(command, stdin=source, check=True, capture_output=True)
    assert len([*(made / "out").glob("*.png")]) == 3
