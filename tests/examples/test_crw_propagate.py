"""The example of label propagation, on a clip whose labels are known."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch

from cli import clip
from scalable_binding.data.frames import videos
from scalable_binding.data.labels import masks

EXAMPLE = Path(__file__).parents[2] / "examples" / "crw_propagate.py"


def test_every_frame_gets_its_mask_and_the_overlay_shows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip.write(tmp_path)
    frames, ids = clip.scene()
    lit = torch.where(ids[:, None] > 0, frames // 2 + 128, frames // 2)  # an edge to be seen
    videos.write(tmp_path / "video.mp4", lit, fps=8)
    out = tmp_path / "out"
    main = runpy.run_path(str(EXAMPLE))["main"]
    main(str(tmp_path / "video.mp4"), str(tmp_path / "first.png"), str(out), "raw")
    for number, truth in enumerate(ids):
        found = masks.read(out / f"{number:05}.png")
        both, either = (found == 200) & (truth == 200), (found == 200) | (truth == 200)
        assert both.sum() / either.sum() > 0.5
    drawn = videos.read(tmp_path / "out.mp4")
    assert drawn.shape == (clip.COUNT, 3, clip.HEIGHT, clip.WIDTH)
    assert capsys.readouterr().out.count("objects (200,)") == clip.COUNT
