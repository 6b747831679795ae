"""Whole evaluations on tiny data sets in the official layouts, made on the fly."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from scalable_binding.cli import main
from scalable_binding.crw import evaluate as evaluation
from scalable_binding.crw import model
from scalable_binding.crw.benchmarks import Entry, Video
from scalable_binding.crw.evaluate import evaluate
from scalable_binding.crw.presets import AdaptationConfig, PropagationConfig
from scalable_binding.crw.scoring import MaskScore, PointScore
from scalable_binding.data.labels import masks
from scalable_binding.errors import UserError
from scalable_binding.metrics import segmentation

NUM_FRAMES = 5


def noise(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


CELLS = {"edges": False}
"""Pictures of noise tell nothing of where an object ends."""


def bands(height: int, width: int, num_objects: int, shift: int = 0) -> torch.Tensor:
    """Objects 1, 2, ... as bands of 16 pixels: on a grid of cells they keep their outline."""
    ids = torch.zeros(height, width, dtype=torch.uint8)
    for number in range(num_objects):
        left = 8 + 24 * number + shift
        ids[:, left : left + 16] = number + 1
    return ids


def make_davis(
    root: Path, name: str, *, num_objects: int = 1, shift: int = 0, num_frames: int = NUM_FRAMES
) -> None:
    """A sequence of one picture over and over, whose true objects move by ``shift`` a frame."""
    frames, annotations = (root / kind / "480p" / name for kind in ("JPEGImages", "Annotations"))
    frames.mkdir(parents=True)
    annotations.mkdir(parents=True)
    picture = Image.fromarray(noise(48, 72, seed=len(name)))
    for number in range(num_frames):
        picture.save(frames / f"{number:05}.jpg", quality=95)
        ids = bands(48, 72, num_objects, shift * number)
        if num_objects == 1:  # DAVIS 2016: gray, 0 and 255
            Image.fromarray(ids.numpy() * 255).save(annotations / f"{number:05}.png")
        else:  # DAVIS 2017: indexed
            masks.write(annotations / f"{number:05}.png", ids)


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    root = tmp_path / "DAVIS"
    make_davis(root, "still")
    make_davis(root, "moving", num_objects=2, shift=2)
    return root


def test_identical_frames_and_masks_are_perfect(davis: Path) -> None:
    result = evaluate("davis", davis, weights="raw", sequences=["still"], changes=CELLS)
    assert result["overall"]["J&F"] == result["overall"]["J_mean"] == 1
    assert result["sequences"]["still"]["F_mean"] == 1
    assert result["overall"]["J_decay"] == 0


def test_a_mask_that_stays_has_the_floor_computed_by_itself(davis: Path) -> None:
    """On identical frames labels stay where they are: the score is that of the first mask."""
    result = evaluate("davis", davis, weights="raw", sequences=["moving"], changes=CELLS)
    truths = torch.stack([bands(48, 72, 2, 2 * number) for number in range(NUM_FRAMES)])
    floor = segmentation.score_sequence(truths[:1].expand(NUM_FRAMES, -1, -1), truths)
    assert result["overall"]["J_mean"] == pytest.approx(
        sum(each.region_summary.mean for each in floor) / 2
    )
    assert result["overall"]["F_mean"] == pytest.approx(
        sum(each.boundary_summary.mean for each in floor) / 2
    )
    overlaps = [(16 - shift) / (16 + shift) for shift in (2, 4, 6)]
    assert result["overall"]["J_mean"] == pytest.approx(sum(overlaps) / 3)


def test_overall_is_a_mean_over_objects_not_sequences(davis: Path) -> None:
    result = evaluate("davis", davis, weights="raw")
    still, moving = (result["sequences"][name]["J_mean"] for name in ("still", "moving"))
    assert result["overall"]["J_mean"] == pytest.approx((still + 2 * moving) / 3)


def test_the_folder_above_is_found_and_the_official_list_followed(davis: Path) -> None:
    above = davis.parent
    assert set(evaluate("davis", above, weights="raw")["sequences"]) == {"moving", "still"}
    listed = davis / "ImageSets" / "2017" / "val.txt"
    listed.parent.mkdir(parents=True)
    listed.write_text("still\n")
    assert set(evaluate("davis", above, weights="raw")["sequences"]) == {"still"}
    other = davis / "2016.txt"
    other.write_text("/JPEGImages/480p/moving/00000.jpg /Annotations/480p/moving/00000.png\n" * 2)
    result = evaluate("davis", davis, weights="raw", listed=other)
    assert set(result["sequences"]) == {"moving"}


def test_predictions_score_the_same_by_the_peer(davis: Path, tmp_path: Path) -> None:
    from vos_benchmark.benchmark import benchmark

    out = tmp_path / "out"
    result = evaluate("davis", davis, weights="random", changes={"radius": 2}, out=out)
    truth = tmp_path / "truth"
    for name in result["sequences"]:
        (truth / name).mkdir(parents=True)
        for path in (davis / "Annotations" / "480p" / name).iterdir():
            masks.write(truth / name / path.name, masks.read(path))
    both, region, boundary, *_ = benchmark(
        [str(truth)], [str(out / "predictions")], skip_first_and_last=True, num_processes=1
    )
    scores = [np.mean(score) / 100 for score in (both, region, boundary)]
    overall = result["overall"]
    assert scores == pytest.approx([overall["J&F"], overall["J_mean"], overall["F_mean"]], abs=1e-3)


def without_times(result: dict[str, Any]) -> dict[str, Any]:
    return json.loads(
        json.dumps(result), object_hook=lambda o: {k: v for k, v in o.items() if "seconds" not in k}
    )


def test_resumed_equals_one_go(
    davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evaluate("davis", davis, weights="raw", out=tmp_path / "whole")
    score, calls = evaluation.score, []

    def interrupted(entry: Any, *given: Any, **named: Any) -> Any:
        calls.append(entry.name)
        if len(calls) == 2:
            named["tick"] = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
        return score(entry, *given, **named)

    monkeypatch.setattr(evaluation, "score", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate("davis", davis, weights="raw", out=tmp_path / "parts")
    again = evaluate("davis", davis, weights="raw", out=tmp_path / "parts")
    assert calls == ["moving", "still", "still"]
    assert without_times(again) == without_times(whole)
    files = [
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.png")}
        for folder in (tmp_path / "whole", tmp_path / "parts")
    ]
    assert files[0] == files[1] and len(files[0]) == 2 * NUM_FRAMES


def test_sequences_may_be_done_in_turn(davis: Path, tmp_path: Path) -> None:
    evaluate("davis", davis, weights="raw", out=tmp_path / "out", sequences=["moving"])
    record = tmp_path / "out" / "scores" / "moving.json"
    before = record.stat().st_mtime_ns
    evaluate("davis", davis, weights="raw", out=tmp_path / "out")
    assert record.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"weights": "random"}, "weights"),
        ({"changes": {"context": 3}}, "propagation"),
        ({"root": "elsewhere"}, "root"),
    ],
)
def test_another_evaluation_is_refused_unless_overwritten(
    davis: Path, tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    out = tmp_path / "out"
    evaluate("davis", davis, weights="raw", out=out)
    given: dict[str, Any] = {"root": davis, "weights": "raw", "out": out} | change
    if given["root"] != davis:
        given["root"] = davis.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=f"with other {named}.*--overwrite"):
        evaluate("davis", **given)
    (out / "predictions" / "moving" / "00099.png").touch()
    evaluate("davis", **given, overwrite=True, sequences=["still"])
    assert not (out / "predictions" / "moving").exists(), "nothing of the other one is left"
    assert not (out / "scores" / "moving.json").exists()


def test_a_folder_of_something_else_is_refused(davis: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(UserError, match="holds something else"):
        evaluate("davis", davis, weights="raw", out=tmp_path / "mine")
    evaluate("davis", davis, weights="raw", out=tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "thesis.tex").exists()
    (tmp_path / "other" / "predictions").mkdir(parents=True)
    (tmp_path / "other" / "predictions" / "weather.csv").touch()
    with pytest.raises(UserError, match="predictions is of no evaluation; choose another folder"):
        evaluate("davis", davis, weights="raw", out=tmp_path / "other", overwrite=True)
    assert (tmp_path / "other" / "predictions" / "weather.csv").exists()


def test_a_broken_record_is_one_line(davis: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluate("davis", davis, weights="raw", out=out, sequences=["still"])
    for content in ("{", "[]"):
        (out / "scores" / "still.json").write_text(content)
        with pytest.raises(UserError, match=r"still\.json.*delete it"):
            evaluate("davis", davis, weights="raw", out=out)


def test_the_command_prints_and_writes_the_scores(
    davis: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved, out = tmp_path / "scores.json", tmp_path / "out"
    tokens = ["crw", "evaluate", "davis", str(davis), "--weights", "raw", "--sequences", "still"]
    assert (
        main([*tokens, "--no-edges", "--context", "2", "--out", str(out), "--json", str(saved)])
        == 0
    )
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0].split() == ["J&F", "1.000"]
    assert "still" in shown.err and "1 of 1" in shown.err
    scores = json.loads(saved.read_text())
    assert scores["propagation"]["context"] == 2
    assert scores["propagation"]["radius"] == 12
    assert scores["seconds_per_frame"] > 0
    assert set(scores["versions"]) == {"scalable-binding", "torch", "python"}
    assert scores["sequences"]["still"]["num_frames"] == NUM_FRAMES
    assert masks.read(out / "predictions" / "still" / "00004.png").shape == (48, 72)


def test_adaptation_reaches_the_propagation(davis: Path) -> None:
    config = AdaptationConfig(steps=1)
    with pytest.raises(UserError, match=r"still.*adaptation"):
        evaluate("davis", davis, weights="raw", adaptation=config, sequences=["still"])


def break_nothing_there(root: Path) -> None:
    for path in (root / "JPEGImages", root / "Annotations"):
        path.rename(path.with_name(f"{path.name}-moved"))


def break_missing_annotation(root: Path) -> None:
    (root / "Annotations" / "480p" / "still" / "00003.png").unlink()


def break_missing_frames(root: Path) -> None:
    (root / "JPEGImages" / "480p" / "still").rename(root / "moved")


def break_truncated_frame(root: Path) -> None:
    os.truncate(root / "JPEGImages" / "480p" / "still" / "00002.jpg", 500)


def break_truncated_mask(root: Path) -> None:
    os.truncate(root / "Annotations" / "480p" / "still" / "00002.png", 60)


def break_empty_first_mask(root: Path) -> None:
    empty = torch.zeros(48, 72, dtype=torch.uint8)
    masks.write(root / "Annotations" / "480p" / "still" / "00000.png", empty)


def break_size_of_a_mask(root: Path) -> None:
    masks.write(root / "Annotations" / "480p" / "still" / "00002.png", bands(48, 70, 1))


def break_length(root: Path) -> None:
    for folder in ("JPEGImages", "Annotations"):
        for path in sorted((root / folder / "480p" / "still").iterdir())[2:]:
            path.unlink()


def break_list(root: Path) -> None:
    (root / "ImageSets" / "2017").mkdir(parents=True)
    (root / "ImageSets" / "2017" / "val.txt").write_text("\n\n")


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (break_nothing_there, "expected a folder JPEGImages"),
        (break_missing_annotation, "sequence still: .*5 frames and 4 annotations, 00003"),
        (break_missing_frames, "sequence still: expected a folder"),
        (break_truncated_frame, "sequence still: .*00002.jpg"),
        (break_truncated_mask, "sequence still: .*00002.png"),
        (break_empty_first_mask, "sequence still: .*expected at least one object"),
        (break_size_of_a_mask, "sequence still: .*frame 2: expected 48 x 72 pixels, got 48 x 70"),
        (break_length, "sequence still: .*at least 3"),
        (break_list, r"val\.txt: expected a name a line"),
    ],
)
def test_incomplete_data_are_one_line(davis: Path, harm: Any, line: str) -> None:
    harm(davis)
    with pytest.raises(UserError, match=line) as caught:
        evaluate("davis", davis, weights="raw")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"benchmark": "davos"}, "benchmark: expected davis or jhmdb or vip or synthetic"),
        ({"root": None}, "benchmark davis: expected the folder of its data, got none"),
        ({"sequences": ["stil"]}, "no sequence 'stil'; did you mean still"),
        ({"listed": Path("nowhere.txt")}, r"no such file: nowhere\.txt"),
        ({"changes": {"radius": -1}}, "radius"),
        ({"weights": "nowhere.pt"}, r"nowhere\.pt"),
    ],
)
def test_impossible_requests_are_one_line(davis: Path, given: dict[str, Any], line: str) -> None:
    asked: dict[str, Any] = {"benchmark": "davis", "root": davis, "weights": "raw"} | given
    with pytest.raises(UserError, match=line):
        evaluate(**asked)


def test_fingerprints_tell_models_apart() -> None:
    first, same, other = (model.load("random", seed=seed) for seed in (0, 0, 1))
    zeros = model.draw(0, padding_mode="zeros").eval()
    zeros.load_state_dict(first.state_dict())
    prints = [evaluation.fingerprint(each) for each in (first, other, zeros, model.RawPatches())]
    assert len(set(prints)) == 4
    assert evaluation.fingerprint(same) == prints[0]


def test_kinds_of_labels_that_share_neighbors_score_as_each_by_itself() -> None:
    """A scene that stands still for a while, so that frames are told apart by nothing."""
    generator = torch.Generator().manual_seed(0)
    moving = torch.randint(0, 256, (4, 3, 40, 48), generator=generator, dtype=torch.uint8)
    frames = moving[[0, 1, 1, 1, 2, 3]]
    truths = torch.stack([bands(40, 48, 2, shift=4 * t) for t in range(len(frames))])
    points = torch.rand(len(frames), 3, 2, generator=generator) * 30

    def scene(*kinds: str) -> Entry:
        def at_hand() -> Video:
            scores: dict[str, Any] = {
                "masks": MaskScore(lambda t: truths[t], len(frames)),
                "points": PointScore(points, (40, 48)),
            }
            return Video(frames=frames.unbind(), scores={kind: scores[kind] for kind in kinds})

        return Entry(name="scene", num_frames=len(frames), open=at_hand)

    encoder = model.draw(0, widths=(4, 8, 8), width=4).eval()
    config = PropagationConfig(context=2, neighbors=3, radius=4.0)
    together, masks_alone, points_alone = (
        evaluation.score(scene(*kinds), encoder, config)["evidence"]
        for kinds in (("masks", "points"), ("masks",), ("points",))
    )
    assert together == masks_alone | points_alone
