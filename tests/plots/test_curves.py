import subprocess
import sys
from pathlib import Path

import pytest
import torch

from scalable_binding.errors import UserError
from scalable_binding.plots import curves
from scalable_binding.plots.curves import Curve, Panel


def panel() -> Panel:
    return Panel(
        curves=[
            Curve(label="J", x=["2", "8", "infinite"], y=[0.5, 0.6, 0.4], spread=[0.1, 0.1, 0.1]),
            Curve(label="F", x=["2", "8", "infinite"], y=[0.4, 0.5, 0.3]),
        ],
        x_label="frames per second",
        levels={"random weights": 0.45},
    )


def test_matplotlib_is_loaded_only_when_something_is_drawn() -> None:
    modules = "curves, confidence, keypoints, overlay, walks"
    code = f"import sys; from scalable_binding.plots import {modules}; "
    code += "sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_draw_is_a_picture_that_grows_with_the_panels() -> None:
    one, four = curves.draw([panel()], dpi=50), curves.draw([panel()] * 4, title="all", dpi=50)
    assert one.dtype == torch.uint8
    assert one.shape[0] == 3
    assert four.shape[1] > 1.9 * one.shape[1]
    assert four.shape[2] == 3 * one.shape[2]
    assert one.float().std() > 10


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_save_writes_the_format_of_the_suffix(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "new" / f"plot{suffix}"
    curves.save(path, [panel()], dpi=50)
    magic = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix]
    assert path.read_bytes().startswith(magic)
    assert list(path.parent.iterdir()) == [path]


def test_collect_makes_a_curve_for_every_quantity() -> None:
    records: list[dict[str, object]] = [
        {"step": 0, "loss": 4.0, "note": "start"},
        {"step": 1, "loss": 2.0, "accuracy": 0.1},
        {"step": 2, "loss": float("nan"), "done": True},
        {"loss": 9.0},
    ]
    found = curves.collect(records)
    assert list(found) == ["loss", "accuracy"]
    assert list(found["loss"].x) == [0, 1]
    assert list(found["loss"].y) == [4.0, 2.0]
    assert list(curves.collect(records, smoothing=0.75)["loss"].y) == [4.0, 3.5]


def test_table_is_aligned_markdown() -> None:
    text = curves.table([{"weights": "random", "J": 0.55}, {"weights": "raw", "n": 12}], digits=2)
    assert text.splitlines() == [
        "| weights |    J |   n |",
        "| ------- | ---: | --: |",
        "| random  | 0.55 |     |",
        "| raw     |      |  12 |",
    ]


def test_bad_input_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="as many x as y, got 2 and 3"):
        Curve(label="J", x=[1.0, 2.0], y=[1.0, 2.0, 3.0])
    with pytest.raises(UserError, match="at least one panel"):
        curves.draw([])
    with pytest.raises(UserError, match=r"a name that ends in \.png, \.svg, \.pdf"):
        curves.save(tmp_path / "plot.doc", [panel()])
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match="cannot write"):
        curves.save(tmp_path / "folder.png", [panel()])
