"""The demo: one report that stands alone, scores that repeat, and clear refusals."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch

from scalable_binding import demo
from scalable_binding.cli import main
from scalable_binding.data import images, masks, videos
from scalable_binding.demo import report, story
from scalable_binding.demo.montage import pairs
from scalable_binding.demo.scene import FPS, draw_scene
from scalable_binding.errors import UserError

SMALL: dict[str, Any] = {"height": 64, "width": 96, "num_frames": 6, "weights": "random"}


@pytest.fixture(scope="module")
def own_video(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of frames with the mask of the first, as a user would give them."""
    scene = draw_scene(demo.DemoConfig(**SMALL))
    folder = tmp_path_factory.mktemp("own")
    videos.write(folder / "video", scene.frames, fps=FPS)
    masks.write(folder / "first.png", scene.masks[0])
    return folder / "video", folder / "first.png"


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, own_video: tuple[Path, Path]
) -> tuple[Path, dict[str, Any]]:
    """The folder of a small demo with a video of the user's own, and its results."""
    out = tmp_path_factory.mktemp("demo")
    video, labels = own_video
    return out, demo.run(out, demo.DemoConfig(**SMALL, video=video, labels=labels))


class _Addresses(HTMLParser):
    """What a page wants to load, and which tags it opens."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.found += [value for name in ("src", "href") if (value := named.get(name))]
        self.anchors |= {value for value in (named.get("id"),) if value}
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_report_needs_nothing_but_itself(made: tuple[Path, dict[str, Any]]) -> None:
    page = Path(made[1]["report"]).read_text(encoding="utf-8")
    parser = _Addresses()
    parser.feed(page)
    assert parser.open == []
    inside = [address for address in parser.found if address.startswith("#")]
    assert {address[1:] for address in inside} == parser.anchors
    assert all(address.startswith(("#", "data:")) for address in parser.found)
    assert "url(" not in page
    assert "@import" not in page
    assert len([a for a in parser.found if a.startswith("data:video/mp4;base64,")]) == 3
    assert "$" not in re.sub(r"base64,[^\"]*", "", page)


def test_plain_files_lie_beside_the_report(made: tuple[Path, dict[str, Any]]) -> None:
    out, _ = made
    for name in ("masks.mp4", "points.mp4", "video.mp4"):
        info = videos.probe(out / name)
        assert (info.num_frames, info.width) == (6, 2 * 96 + 4)
    assert images.read(out / "first_frame.jpg").shape == (3, 64, 96)


def test_scores_are_those_in_the_file_and_repeat(
    made: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    out, results = made
    assert json.loads((out / story.SCORES).read_text()) == results
    again = demo.run(tmp_path, demo.DemoConfig(**SMALL))
    scores = {name: part for name, part in results["scores"].items() if name != "video"}
    assert again["scores"] == scores
    for part in ("masks", "points", "walks"):
        assert set(scores[part]) == {"random encoder", "raw pixels"}
    assert len(scores["masks"]["raw pixels"]["objects"]) == 3
    page = (tmp_path / story.REPORT).read_text(encoding="utf-8")
    assert "No real video ships with the package" in page


def test_objects_hide_one_another_and_come_out_again() -> None:
    scene = draw_scene(demo.DemoConfig(height=64, width=112, num_frames=20))
    seen = scene.box_visible
    assert all((scene.masks[0] == label).any() for label in (1, 2, 3))
    hidden = int(seen.amin(dim=0).argmin())
    assert seen[:, hidden].amin() < 0.7
    assert seen[-1, hidden] > seen[:, hidden].amin() + 0.2


def test_a_video_wants_labels_and_the_other_way_round(own_video: tuple[Path, Path]) -> None:
    video, labels = own_video
    with pytest.raises(UserError, match="--labels beside it"):
        demo.DemoConfig(video=video)
    with pytest.raises(UserError, match="--video beside it"):
        demo.DemoConfig(labels=labels)


def test_mask_of_another_size_is_refused(own_video: tuple[Path, Path], tmp_path: Path) -> None:
    masks.write(tmp_path / "small.png", torch.ones(32, 96, dtype=torch.uint8))
    config = demo.DemoConfig(**SMALL, video=own_video[0], labels=tmp_path / "small.png")
    stage = demo.stage.Stage(config, tmp_path)
    with pytest.raises(UserError, match="64 x 96 pixels, got 32 x 96"):
        demo.own_video.sections(stage)


def test_command_prints_the_path_last_and_writes_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(story, "PARTS", (demo.own_video.sections,))
    out, table = tmp_path / "out", tmp_path / "scores.json"
    command = ["demo", "--out", str(out), "--json", str(table), "--seed", "5"]
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out / story.REPORT)
    assert json.loads(table.read_text())["seed"] == 5
    assert main(command) == 2
    assert "not empty" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0


def test_text_is_escaped_and_marked() -> None:
    text = report.paragraph("`a<b>` is *big* & so on")
    assert text == "<p><code>a&lt;b&gt;</code> is <em>big</em> &amp; so on</p>"


def test_best_of_each_row_is_bold() -> None:
    text = report.table(["", "a", "b"], [("one", [0.1, 0.2]), ("two", [0.5, 0.5])], "note")
    assert re.findall(r"<b>([\d.]+)</b>", text) == ["0.200", "0.500", "0.500"]
    text = report.table(
        ["", "a", "b"], [("one", [0.1, 0.9]), ("two", [0.5, 0.4])], "", best_of="column"
    )
    assert re.findall(r"<b>([\d.]+)</b>", text) == ["0.900", "0.500"]


def test_a_lone_panel_is_centred() -> None:
    panel = torch.full((3, 4, 6), 200, dtype=torch.uint8)
    picture = pairs([panel, panel, panel])
    assert picture.shape == (3, 12, 16)
    assert (picture[:, 8:, 5:11] == 200).all()
    assert (picture[:, 8:, :5] == 16).all()
