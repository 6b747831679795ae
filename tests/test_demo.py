"""The demo: one report that stands alone, scores that repeat, and clear refusals."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch

from scalable_binding import demo, report
from scalable_binding.cli import main
from scalable_binding.crw import model
from scalable_binding.data.frames import images, videos
from scalable_binding.data.labels import masks
from scalable_binding.demo import (
    CARMLSettings,
    CRWSettings,
    DemoConfig,
    FlowSettings,
    PermanenceSettings,
    RINSettings,
    runner,
)
from scalable_binding.demo.context import Context, DemoChapter
from scalable_binding.demo.crw import contest, video
from scalable_binding.demo.crw.scene import FPS, draw_scene
from scalable_binding.demo.montage import tiled
from scalable_binding.errors import UserError

SMALL: dict[str, Any] = {
    "height": 64,
    "width": 96,
    "num_frames": 6,
    "weights": "random",
    "num_clip_frames": 2,
}
BRIEF = RINSettings(steps=2, num_rows=1, num_futures=1)
SHORT = FlowSettings(height=64, width=96, num_frames=3)
ONCE = PermanenceSettings(num_games=1)
FEW = CARMLSettings(num_trials=8, num_tasks=2, num_shown=1)


def small(**changed: Any) -> DemoConfig:
    return DemoConfig(
        crw=CRWSettings(**SMALL | changed), rin=BRIEF, flow=SHORT, permanence=ONCE, carml=FEW
    )


@pytest.fixture(scope="module")
def own_video(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of frames with the mask of the first, as a user would give them."""
    scene = draw_scene(small())
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
    path, labels = own_video
    return out, demo.run(out, small(video=path, labels=labels))


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
    clips = [*made[0].rglob("*.mp4")]
    assert len([a for a in parser.found if a.startswith("data:video/mp4;base64,")]) == len(clips)
    assert {clip.parent.name for clip in clips} >= {"crw", "rin"}
    assert "$" not in re.sub(r"base64,[^\"]*", "", page)


def test_plain_files_lie_beside_the_report(made: tuple[Path, dict[str, Any]]) -> None:
    out = made[0] / "crw"
    panels = {"masks.mp4": 1, "comparison.mp4": 3, "points.mp4": 2, "video.mp4": 2}
    for name, count in panels.items():
        info = videos.probe(out / name)
        assert (info.num_frames, info.width) == (6, 96 * count + 4 * (count - 1))
    real = videos.probe(out / "juggling.mp4")
    assert (real.num_frames, real.width) == (2, 2 * 640 + 4)
    assert images.read(out / "first_frame.jpg").shape == (3, 64, 96)


def test_scores_are_those_in_the_file_and_repeat(
    made: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    out, results = made
    assert json.loads((out / runner.SCORES).read_text()) == results
    again = demo.run(tmp_path, small())
    scores = {name: part for name, part in results["scores"]["crw"].items() if name != "video"}
    assert again["scores"] == results["scores"] | {"crw": scores}
    assert set(again["scores"]) == {one.name for one in runner.CHAPTERS}
    for part in ("masks", "points", "walks"):
        assert set(scores[part]) == {"random encoder", "raw pixels"}
    assert len(scores["masks"]["raw pixels"]["objects"]) == 3
    page = (tmp_path / runner.REPORT).read_text(encoding="utf-8")
    assert "juggling.png" in page and "Your video" not in page
    assert "Nothing here has been learned" in page


@pytest.mark.parametrize("is_shipped", [True, False])
def test_the_shipped_encoder_is_shown_where_there_is_one(
    is_shipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "SHIPPED", tmp_path)
    if is_shipped:
        (tmp_path / contest.WEIGHTS).touch()
    assert contest.choose_weights(None) == ("shipped" if is_shipped else "random")
    assert contest.choose_weights("raw") == "raw"


def test_weights_asked_for_are_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "SHIPPED", tmp_path)
    with pytest.raises(UserError, match="expected a file, got nothing of that name"):
        contest.prepare(Context(small(weights="shipped"), tmp_path))


def test_objects_hide_one_another_and_come_out_again() -> None:
    scene = draw_scene(small(width=112, num_frames=20))
    seen = scene.box_visible
    assert all((scene.masks[0] == label).any() for label in (1, 2, 3))
    hidden = int(seen.amin(dim=0).argmin())
    assert seen[:, hidden].amin() < 0.7
    assert seen[-1, hidden] > seen[:, hidden].amin() + 0.2


def test_a_video_wants_labels_and_the_other_way_round(own_video: tuple[Path, Path]) -> None:
    path, labels = own_video
    with pytest.raises(UserError, match="--labels beside it"):
        CRWSettings(video=path)
    with pytest.raises(UserError, match="--video beside it"):
        CRWSettings(labels=labels)


def test_mask_of_another_size_is_refused(own_video: tuple[Path, Path], tmp_path: Path) -> None:
    masks.write(tmp_path / "small.png", torch.ones(32, 96, dtype=torch.uint8))
    context = Context(small(video=own_video[0], labels=tmp_path / "small.png"), tmp_path)
    with pytest.raises(UserError, match="64 x 96 pixels, got 32 x 96"):
        video.own(context, contest.prepare(context))


def test_command_prints_the_path_last_and_writes_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    brief = DemoChapter(name="a", title="A", lead="B", run=lambda context: [video.how_to()])
    monkeypatch.setattr(runner, "CHAPTERS", (brief,))
    out, table = tmp_path / "out", tmp_path / "scores.json"
    command = ["demo", "--out", str(out), "--json", str(table), "--seed", "5"]
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out / runner.REPORT)
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


def test_every_chapter_has_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell(context: Context) -> list[report.Section]:
        (context.out / "file").parent.mkdir()
        (context.out / "file").touch()
        scores = {"score": 1.0}
        return [report.Section(name="same", title="Same", blocks=["<p>x</p>"], scores=scores)]

    told = tuple(
        DemoChapter(name=name, title=f"On {name}", lead="", run=tell) for name in ("a", "b")
    )
    monkeypatch.setattr(runner, "CHAPTERS", told)
    results = demo.run(tmp_path)
    assert results["scores"] == {"a": {"same": {"score": 1.0}}, "b": {"same": {"score": 1.0}}}
    assert (tmp_path / "a" / "file").exists() and (tmp_path / "b" / "file").exists()
    page = (tmp_path / runner.REPORT).read_text(encoding="utf-8")
    assert re.findall(r'<section id="([^"]+)">', page) == ["a-same", "b-same"]
    assert page.index("On a") < page.index('href="#a-same"') < page.index("On b")


def test_panels_stand_in_rows_with_gaps_between() -> None:
    panels = [torch.full((3, 4, 6), level, dtype=torch.uint8) for level in (50, 100, 150, 200)]
    picture = tiled(panels)
    assert picture.shape == (3, 12, 16)
    assert picture[0, [0, 0, 11, 11], [0, 15, 0, 15]].tolist() == [50, 100, 150, 200]
    assert (picture[:, 4:8] == 16).all() and (picture[:, :, 6:10] == 16).all()
    assert tiled(panels[:3], columns=3).shape == (3, 4, 26)
