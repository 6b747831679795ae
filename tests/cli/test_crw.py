"""What ``sbind crw`` reads, writes and hands on; stand-ins for the system itself."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

import scalable_binding
from scalable_binding import crw
from scalable_binding.cli import main, settings
from scalable_binding.crw import bidirectional, inference, model
from scalable_binding.crw.presets import AdaptationConfig, CRWConfig, PropagationConfig
from scalable_binding.data.frames import videos
from scalable_binding.data.labels import formats, keypoints, masks
from scalable_binding.demo import CRWSettings, DemoConfig
from scalable_binding.engine.config import from_mapping, to_json
from scalable_binding.engine.fit_config import FitConfig, OptimizerConfig


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Replaces a module of the system by one with the given members."""

    def replace(name: str, **members: Any) -> None:
        module = ModuleType(f"scalable_binding.{name}")
        for member, value in members.items():
            if callable(value) and not isinstance(value, type):
                value.__module__ = module.__name__
            setattr(module, member, value)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        parent = crw if name.startswith("crw.") else scalable_binding
        monkeypatch.setattr(parent, name.rpartition(".")[2], module, raising=False)

    return replace


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Forty frames, each with its number as its red level."""
    frames = torch.zeros(40, 3, 16, 24, dtype=torch.uint8)
    frames[:, 0] = torch.arange(40, dtype=torch.uint8)[:, None, None]
    videos.write(tmp_path / "video", frames, fps=8)
    return tmp_path / "video"


@pytest.fixture
def propagation(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A propagation that labels frame n with n + 1, or with the first points; its calls."""
    calls: list[Any] = []

    def propagate(
        frames: bidirectional.Frames,
        references: Any,
        encoder: Any,
        config: Any,
        *,
        direction: str,
        start: int,
        stop: int | None,
        adaptation: Any,
        tick: Any,
    ) -> Iterator[Any]:
        calls.append(
            SimpleNamespace(config=config, adaptation=adaptation, references=references, stop=stop)
        )
        labels = next(iter(references.values())).labels
        points = () if torch.is_tensor(labels) else tuple(labels)
        read = frames.forward(start, stop)
        order = range(start, 40 if stop is None else stop)
        if direction == "backward":
            assert stop is not None
            read, order = frames.backward(start, stop), reversed(order)
        for number, frame in zip(order, read, strict=True):
            # The red level tells which frame it is, so that a test sees where the mask went.
            ids = torch.full((16, 24), int(frame[0, 0, 0]) + 1, dtype=torch.uint8)
            empty = torch.zeros(1, 16, 24)
            cells = torch.zeros(2, 3, 1)
            tick()
            yield inference.Prediction(number, (), ids, empty, empty[0], points, cells)

    monkeypatch.setattr(bidirectional, "propagate_references", propagate)
    monkeypatch.setattr(model, "load", lambda weights: model.RawPatches())
    return calls


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    masks.write(tmp_path / "mask.png", torch.ones(16, 24, dtype=torch.uint8))
    return tmp_path / "mask.png"


def test_train_hands_on_the_configuration_data_and_run(
    stand_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    stand_in("crw.train", train=lambda *given: calls.append(given))
    monkeypatch.setattr(settings, "presets", lambda system: {"debug": CRWConfig})
    tokens = ["crw", "train", "a", "b", "--run", str(tmp_path), "--preset", "debug"]
    assert main([*tokens, "--set", "fit.steps=9", "--fit.optimizer.lr", "3e-4"]) == 0
    fit = FitConfig(steps=9, optimizer=OptimizerConfig(lr=3e-4))
    assert calls == [(CRWConfig(fit=fit), (Path("a"), Path("b")), tmp_path)]


@pytest.mark.parametrize("direction", [[], ["--backward"]])
def test_every_mask_gets_the_number_of_its_frame(
    propagation: list[Any], video: Path, mask: Path, tmp_path: Path, direction: list[str]
) -> None:
    out = tmp_path / "out"
    tokens = ["crw", "propagate", str(video), "--labels", str(mask), "--out", str(out)]
    assert main([*tokens, *direction, "--context", "5"]) == 0
    assert sorted(path.name for path in out.iterdir()) == [f"{n:05}.png" for n in range(40)]
    made = [int(masks.read(out / f"{n:05}.png").max()) for n in (0, 31, 39)]
    assert made == [1, 32, 1 if direction else 40], "the labels given stay as they are"
    (call,) = propagation
    assert call.config == PropagationConfig(context=5)
    assert [*call.references] == [39 if direction else 0]
    assert call.adaptation is None


def test_adaptation_is_asked_for(
    propagation: list[Any], video: Path, mask: Path, tmp_path: Path
) -> None:
    tokens = ["crw", "propagate", str(video), "--labels", str(mask), "--out", str(tmp_path / "o")]
    assert main([*tokens, "--adapt", "--adaptation", "steps=7"]) == 0
    assert propagation[0].adaptation == AdaptationConfig(steps=7)


def test_overlay_of_masks_is_a_video_of_the_same_size(
    propagation: list[Any], video: Path, mask: Path, tmp_path: Path
) -> None:
    overlay = tmp_path / "overlay.mp4"
    tokens = ["crw", "propagate", str(video), "--labels", str(mask), "--out", str(tmp_path / "o")]
    assert main([*tokens, "--overlay", str(overlay)]) == 0
    assert videos.read(overlay).shape == (40, 3, 16, 24)


def test_keypoints_come_back_as_a_table_and_are_drawn(
    propagation: list[Any], video: Path, tmp_path: Path
) -> None:
    labels, out = tmp_path / "points.csv", tmp_path / "out"
    keypoints.write(labels, [keypoints.Keypoint(frame=39, id=2, x=3.0, y=4.0)])
    tokens = ["crw", "propagate", str(video), "--labels", str(labels), "--out", str(out)]
    assert main([*tokens, "--backward", "--overlay", str(tmp_path / "drawn")]) == 0
    points = keypoints.read(out / "keypoints.csv")
    assert [(point.frame, point.id) for point in points] == [(n, 2) for n in range(40)]
    assert (videos.read(tmp_path / "drawn")[:, :, 4, 3] != videos.read(video)[:, :, 4, 3]).any()


@pytest.mark.parametrize("direction", [[], ["--backward"], ["--direction", "both"]])
def test_corrections_are_references_of_their_frames(
    propagation: list[Any], video: Path, mask: Path, tmp_path: Path, direction: list[str]
) -> None:
    tokens = ["crw", "propagate", str(video), "--labels", str(mask), "--out", str(tmp_path / "o")]
    assert main([*tokens, "--correct", f"30={mask}", *direction]) == 0
    assert {30} < {*propagation[0].references}


def test_points_of_later_frames_in_one_table_are_corrections(
    propagation: list[Any], video: Path, tmp_path: Path
) -> None:
    points = [keypoints.Keypoint(frame=frame, id=1, x=3.0, y=4.0) for frame in (0, 0, 7)]
    points[1] = keypoints.Keypoint(frame=0, id=2, x=5.0, y=4.0)
    keypoints.write(tmp_path / "points.csv", points)
    labels = str(tmp_path / "points.csv")
    assert main(["crw", "propagate", str(video), "--labels", labels, "--out", f"{labels}.d"]) == 0
    found = {number: one.labels for number, one in propagation[0].references.items()}
    assert found == {0: points[:2], 7: points[2:]}


@pytest.mark.parametrize("name", ["5=mask.png", "mask.png"])
def test_a_range_is_labeled_from_a_mask_of_any_of_its_frames(
    propagation: list[Any], video: Path, mask: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    labels = name.replace("mask.png", str(mask))
    tokens = ["crw", "propagate", str(video), "--labels", labels, "--out", str(out)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # frame 4 comes before the labels of 5
        assert main([*tokens, "--start", "4", "--stop", "9"]) == 0
    assert sorted(path.name for path in out.iterdir()) == [f"{n:05}.png" for n in range(4, 9)]
    number = 5 if "=" in name else 4
    assert [*propagation[0].references] == [number]
    made = [int(masks.read(out / f"{n:05}.png").max()) for n in range(4, 9)]
    assert made == [1 if n == number else n + 1 for n in range(4, 9)]


def test_frames_without_labels_are_told_of(
    propagation: list[Any], video: Path, tmp_path: Path
) -> None:
    labels = tmp_path / "points.csv"
    keypoints.write(labels, [keypoints.Keypoint(frame=3, id=2, x=3.0, y=4.0)])
    tokens = ["crw", "propagate", str(video), "--labels", str(labels), "--out", str(tmp_path / "o")]
    with pytest.warns(UserWarning, match="frames 0 to 2 come before the first labels and get none"):
        assert main(tokens) == 0


TWO = """<annotations><track id="0" label="dog">
<box frame="2" outside="0" keyframe="1" xtl="1" ytl="1" xbr="9" ybr="9"/>
<box frame="9" outside="1" keyframe="1" xtl="1" ytl="1" xbr="9" ybr="9"/></track></annotations>"""


def test_labels_come_in_and_go_out_as_cvat_and_coco(
    propagation: list[Any], video: Path, tmp_path: Path
) -> None:
    labels, out = tmp_path / "labels.xml", tmp_path / "out"
    labels.write_text(TWO)
    tokens = ["crw", "propagate", str(video), "--labels", str(labels), "--out", str(out)]
    kinds = ["cvat", "coco", "youtube-vos", "label-studio"]
    options = [token for kind in kinds for token in ("--format", kind)]
    assert main([*tokens, "--direction", "both", *options]) == 0
    first, gone = propagation[0].references[2], propagation[0].references[9]
    assert first.objects == gone.objects == (1,)
    assert int(first.labels.sum()) == 64 and not gone.labels.any()
    info = formats.video_of(video)
    for name in ("cvat.xml", "coco.json", "label-studio.json", "youtube-vos"):
        found = formats.read(out / name, info)
        assert found.frames == list(range(40)), name
        assert found.tracks[0].name == "dog"
    assert not [*out.glob("*.png")]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--format", "excel"], "expected one of png, youtube-vos, coco"),
        (["--format", "csv"], "--format csv: expected key points, got masks"),
        (["--start", "9", "--stop", "3"], "0 <= start < stop"),
        (["--start", "50"], "50"),
        (["--direction", "both", "--backward"], "--backward"),
    ],
)
def test_options_that_do_not_fit_are_one_line(
    video: Path,
    mask: Path,
    tmp_path: Path,
    options: list[str],
    line: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tokens = ["crw", "propagate", str(video), "--labels", str(mask), "--out", str(tmp_path / "o")]
    assert main([*tokens, "--weights", "raw", *options]) == 2
    shown = capsys.readouterr().err
    assert line in shown and shown.count("\n") == 1


@pytest.mark.parametrize(
    ("correction", "line"),
    [
        ("x=mask.png", "expected FRAME=FILE"),
        ("7", "expected FRAME=FILE"),
        ("40={mask}", "labels of frame 40: expected a frame from 0 to 39 of the video"),
        ("0={mask}", "mask.png is of the labeled frame; leave one of them out"),
    ],
)
def test_impossible_corrections_are_one_line(
    propagation: list[Any],
    video: Path,
    mask: Path,
    tmp_path: Path,
    correction: str,
    line: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tokens = ["crw", "propagate", str(video), "--labels", str(mask), "--out", str(tmp_path / "o")]
    assert main([*tokens, "--correct", correction.format(mask=mask)]) == 2
    shown = capsys.readouterr().err
    assert line in shown and shown.count("\n") == 1


def test_results_are_not_overwritten_unasked(
    propagation: list[Any],
    video: Path,
    mask: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "00099.png").touch()
    tokens = ["crw", "propagate", str(video), "--labels", str(mask), "--out", str(out)]
    assert main(tokens) == 2
    assert "is not empty; choose another, or give --overwrite" in capsys.readouterr().err
    assert main([*tokens, "--overwrite"]) == 0
    assert not (out / "00099.png").exists(), "a longer result of before is not mixed in"


def test_ctrl_c_keeps_what_is_done(
    propagation: list[Any],
    video: Path,
    mask: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, written = tmp_path / "out", []

    def write(path: Path, ids: torch.Tensor) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path)

    monkeypatch.setattr(masks, "write", write)
    tokens = ["crw", "propagate", str(video), "--labels", str(mask), "--out", str(out)]
    assert main(tokens) == 130
    assert f"interrupted; the frames done so far are in {out}" in capsys.readouterr().err


@pytest.mark.parametrize("labels", ["missing.png", "missing.csv"])
def test_missing_labels_are_one_line(
    propagation: list[Any],
    video: Path,
    tmp_path: Path,
    labels: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / labels
    tokens = ["crw", "propagate", str(video), "--labels", str(path), "--out", str(tmp_path / "o")]
    assert main(tokens) == 2
    shown = capsys.readouterr().err
    assert labels in shown and shown.count("\n") == 1


def test_evaluate_prints_and_saves_the_scores(
    stand_in: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []

    def evaluate(*given: Any, **named: Any) -> dict[str, Any]:
        calls.append((given, named))
        return {"overall": {"J&F": 0.625}, "sequences": {"dog": {"J&F": 0.625}}}

    stand_in("crw.evaluate", evaluate=evaluate)
    saved = tmp_path / "scores.json"
    tokens = ["crw", "evaluate", "davis", "DAVIS", "--weights", "raw", "--radius", "8"]
    assert main([*tokens, "--sequences", "dog,cows", "--json", str(saved)]) == 0
    ((given, named),) = calls
    assert given == ("davis", Path("DAVIS"))
    assert (named["weights"], named["changes"]) == ("raw", {"radius": 8.0})
    assert named["sequences"] == ["dog", "cows"]
    assert capsys.readouterr().out.split() == ["J&F", "0.625"]
    assert json.loads(saved.read_text())["sequences"] == {"dog": {"J&F": 0.625}}


def test_demo_prints_the_path_of_its_report_last(
    stand_in: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configs = []

    def run(out: Path, config: DemoConfig) -> dict[str, Any]:
        configs.append(config)
        return {"report": str(out / "index.html")}

    stand_in("demo", CRWSettings=CRWSettings, DemoConfig=DemoConfig, run=run)
    assert main(["demo", "--out", str(tmp_path / "demo"), "--seed", "3"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'demo' / 'index.html'}\n"
    assert configs == [DemoConfig(seed=3)]


@pytest.mark.parametrize("preset", ["kinetics", "small", "debug"])
def test_every_preset_is_its_own_file(
    tmp_path: Path, preset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "show", "crw", "--preset", preset]) == 0
    (tmp_path / "run.yaml").write_text(capsys.readouterr().out)
    original = settings.configure("crw", preset)
    assert settings.configure("crw", "small", tmp_path / "run.yaml") == original
    assert from_mapping(CRWConfig, json.loads(to_json(original))) == original
