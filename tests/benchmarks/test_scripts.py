"""The benchmarks run, at sizes that say nothing of speed."""

import json
import math
import re
import runpy
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image

from scalable_binding.crw.model import load
from scalable_binding.data import synthetic
from scalable_binding.data.frames import videos
from scalable_binding.data.synthetic import SyntheticClips, WorldConfig
from scalable_binding.engine.config import override
from scalable_binding.rin import presets, train

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run a benchmark's module with options, as `python -m` does from the repository's root."""
    monkeypatch.syspath_prepend(str(ROOT))

    def run(module, *options):
        monkeypatch.setattr(sys, "argv", [module, *map(str, options)])
        runpy.run_module(f"benchmarks.{module}", run_name="__main__")

    return run


SCRIPTS = sorted(
    path
    for path in (ROOT / "benchmarks").glob("*/*.py")
    if "python -m benchmarks." in path.read_text(encoding="utf-8").split('"""')[1]
)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_the_table_names_every_script_and_make_bench_needs_no_arguments(path):
    module = f"benchmarks.{path.parent.name}.{path.stem}"
    assert f"python -m {module}" in (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    text = path.read_text(encoding="utf-8")
    if path.stem != "train" and "Not run by make bench" not in text:
        usage = text.split(f"python -m {module}", 1)[1].split("\n", 1)[0]
        assert re.sub(r"\[[^]]*\]", "", usage).strip() == ""


def test_contestants_take_turns_and_are_compared_round_by_round(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import timing

    order = []
    runs = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    seconds = timing.in_turns(runs, rounds=2, cold={"a"})
    assert order == ["b", "a", "b", "a", "b"]
    assert all(len(own) == 2 and min(own) >= 0 for own in seconds.values())
    slow, fast = timing.compare({"slow": [4.0, 9.0, 2.0], "fast": [2.0, 3.0, 2.0]}, "slow")
    assert slow["times faster"] == "1.00"
    assert fast["median s"] == 2.0
    assert fast["times faster"] == "2.00" and fast["from - to"] == "1.00 - 3.00"


def test_neighbors_are_timed_beside_the_authors_way(run, tmp_path):
    size = ("--height", 6, "--width", 7, "--context", 2, "--rounds", 2)
    run("walk.neighbors", *size, "--json", tmp_path / "found.json")
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["rows"][0]["times faster"] == "1.00"
    assert {row[""] for row in found["rows"]} >= {"tiles, float32", "floor, float32"}
    assert found["same_neighbors"] > 0.9


def test_features_without_a_fault_carry_nearly_everything(run, tmp_path, monkeypatch):
    small = synthetic.evaluation(height=96, width=144, num_frames=4)
    monkeypatch.setattr(synthetic, "evaluation", lambda **size: small)
    run("crw.ceiling", "--scenes", 1, "--zoom", 2, "--json", tmp_path / "found.json")
    scene, overall = json.loads((tmp_path / "found.json").read_text())["rows"]
    assert overall["PCK@0.2"] == scene["PCK@0.2"]
    assert float(overall["J&F"]) > 0.75 and float(overall["PCK@0.2"]) > 0.8


def test_memory_is_noted_on_the_way(tmp_path):
    """In a process of its own: what counts is its peak, and other tests have had theirs here."""
    small = ["--frames", "2", "4", "--height", "32", "--width", "48", "--weights", "raw", "--json"]
    command = [sys.executable, "-m", "benchmarks.crw.memory", *small, tmp_path / "found.json"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    found = json.loads((tmp_path / "found.json").read_text())
    assert [row["frames"] for row in found["rows"]] == [2, 4]
    assert 50 < found["rows"][0]["peak MB"] <= found["rows"][1]["peak MB"]


def test_training_steps_are_timed_in_every_format(run, tmp_path):
    tiny = ("fit.batch_size=1", "encoder.widths=4,4,4", "dense.view=48")
    options = ("--cases", "small", "--rounds", 1, "--set", *tiny)
    run("crw.training_step", *options, "--json", tmp_path / "found.json")
    rows = json.loads((tmp_path / "found.json").read_text())["rows"]
    assert len(rows) == 3 and all(row["median s"] > 0 for row in rows)


@pytest.mark.slow
def test_ablations_leave_tables_and_plots_and_train_no_run_twice(run, tmp_path, capsys):
    run("crw.ablations", "edge-dropout", "--quick", "--out", tmp_path)
    found = json.loads((tmp_path / "edge-dropout.json").read_text())
    values = [row["edge dropout"] for row in found["rows"]]
    assert values == ["0", "0.05", "0.1", "0.2", "0.3", "random weights", "raw patches"]
    assert all(0 <= row["J&F"] <= 1 for row in found["rows"])
    assert found["runs"]["0.3"][0][-1]["step"] == 2
    assert (tmp_path / "edge-dropout.md").read_text().count("\n") == 2 + len(values)
    assert (tmp_path / "edge-dropout.png").stat().st_size > 10_000

    states = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.safetensors")}
    assert len(states) >= 5
    run("crw.ablations", "edge-dropout", "--quick", "--out", tmp_path)
    again = json.loads((tmp_path / "edge-dropout.json").read_text())
    assert again["rows"] == found["rows"]
    assert states == {path: path.stat().st_mtime_ns for path in states}


def test_ablations_refuse_unknown_settings_in_one_line(run, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        run("crw.ablations", "path-length", "--out", tmp_path, "--set", "walk.temprature=1")
    assert "did you mean 'walk.temperature'" in capsys.readouterr().err.splitlines()[-1]


def test_every_value_of_every_ablation_makes_a_configuration(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.crw.ablations import __main__ as ablations
    from benchmarks.crw.ablations import sweep
    from scalable_binding.engine.config import override, to_mapping

    for study in ablations.STUDIES.values():
        made = [
            to_mapping(override(sweep.narrow().config, {study.setting: value}))
            for value in study.values
        ]
        assert len({json.dumps(config) for config in made}) == len(study.values)
        assert to_mapping(sweep.narrow().config) in made, "studies share the run they start from"
    assert math.inf in ablations.STUDIES["frame-rate"].values


def test_denoising_is_compared_with_filters(run, tmp_path):
    """Images of one brightness each: what a filter gains from pixels that it knows to be alike."""
    (tmp_path / "images").mkdir()
    shades = torch.randint(0, 256, (60,), generator=torch.Generator().manual_seed(0))
    for number, shade in enumerate(shades.tolist()):
        Image.new("RGB", (4, 4), (shade,) * 3).save(tmp_path / "images" / f"{number}.png")
    changes = {"model.size": (4, 4), "model.patch": (1, 1), "fit.steps": 1, "sample_every": 0}
    config = override(presets.images32(), changes | {"fit.progress": False})
    train.train(config, [tmp_path / "images"], tmp_path / "run")
    out = tmp_path / "scores.json"
    run("rin.denoising", tmp_path / "run", tmp_path / "images", "--num", 8, "--json", out)
    row = json.loads(out.read_text())["rows"][-1]
    variance, share = float((shades / 127.5).var()), 0.05
    for name, alike in (("filter of a patch", 3), ("filter of the image", 48)):
        expected = variance * (1 - share) / (share * alike * variance + 1 - share)
        assert row[name] == pytest.approx(1000 * expected, rel=0.2)
    assert row["filter of the image"] < row["filter of a patch"] < row["network"]


@pytest.mark.slow
def test_environments_are_stepped_beside_their_peers(run, tmp_path):
    run("envs.throughput", "--num", 128, "--rounds", 1, "--json", tmp_path / "found.json")
    found = json.loads((tmp_path / "found.json").read_text())
    names = {row[""] for row in found["rows"]}
    assert {"room, 42 px, 128 at once", "MountainCar, 16 by Gymnasium"} <= names
    assert all(row["a second"] > 0 for row in found["rows"])


def test_the_agent_is_timed_beside_its_peer(run, tmp_path):
    small = ("--size", 40, "--hidden", 16, "--rounds", 1, "--json", tmp_path / "found.json")
    run("carml.speed", *small)
    found = json.loads((tmp_path / "found.json").read_text())
    assert [row["work"] for row in found["rows"]] == ["roll-out"] * 2 + ["update"] * 2
    assert all(row["steps / s"] > 0 for row in found["rows"])


@pytest.mark.slow
def test_flow_is_scored_beside_other_ways(run, tmp_path):
    pytest.importorskip("cv2")
    out = tmp_path / "found.json"
    run("flow.accuracy", "--weights", "random", "--pairs", 1, "--reach", 1, "--json", out)
    rows = json.loads(out.read_text())["rows"]
    assert {row["table"] for row in rows} == {"synthetic"}
    assert {"zero flow", "multiscale walk", "OpenCV DIS, medium"} <= {row[""] for row in rows}
    assert all(float(row["EPE"]) > 0 for row in rows)


@pytest.mark.slow
def test_tracks_are_scored_beside_flow_that_is_added_up(run, tmp_path):
    pytest.importorskip("cv2")
    out = tmp_path / "found.json"
    run("flow.tracks", "--weights", "random", "--scenes", 1, "--frames", 3, "--json", out)
    rows = {row[""]: row for row in json.loads(out.read_text())["rows"]}
    assert {"nothing moves", "chained walk", "OpenCV DIS, medium, added up"} <= rows.keys()
    assert all(float(row["seen"]) > 0 and 0 <= float(row["found"]) <= 1 for row in rows.values())
    assert 0 <= float(rows["chained walk"]["hidden told"]) <= 1


def test_the_cost_of_flow_is_measured_and_compared(run, capsys):
    run("flow.cost", "--measure", "multiscale walk", 64, 96, "--clock", "cpu")
    seconds, megabytes = map(float, capsys.readouterr().out.split())
    assert seconds > 0 and megabytes >= 0
    run("flow.cost", "--measure", "full attention", 64, 96)
    from benchmarks.flow import cost

    rows = [cost._row(h, w, cost.WAYS[0], h * w / 1e6, 1.0) for h, w in cost.SIZES]
    assert cost.growth(rows, cost.WAYS[0], "seconds") == pytest.approx(1.0, abs=0.05)


@pytest.mark.slow
def test_mixtures_come_to_the_same_likelihood(run, tmp_path):
    run("carml.mixture", "--rounds", 1, "--trajectories", 40, "--json", tmp_path / "found.json")
    found = json.loads((tmp_path / "found.json").read_text())
    for name in ("trajectories", "single states"):
        ours, theirs = found[f"log-likelihood, {name}"].split(", ")
        assert float(ours.split()[-1]) == pytest.approx(float(theirs.split()[-1]), abs=1e-3)


@pytest.mark.slow
def test_agents_of_the_maze_are_trained_once_and_compared(run, tmp_path, capsys):
    options = ("--out", tmp_path, "--seeds", 0, "--updates", 1, "--tasks", 4, "--only", "carml")
    run("carml.maze", *options)
    first = (tmp_path / "carml-0.json").read_text()
    run("carml.maze", *options)
    assert (tmp_path / "carml-0.json").read_text() == first
    said = capsys.readouterr().out
    assert "| random" in said and "| carml" in said


@pytest.mark.slow
def test_every_lambda_has_a_row_of_pictures(run, tmp_path, capsys):
    small = ("--weights", 0.5, 1, "--updates", 21)
    run("carml.exploration", "--out", tmp_path, *small)
    said = capsys.readouterr().out
    assert "| 0.5 " in said and "| 1 " in said and "| round 2 |" in said
    assert (tmp_path / "exploration.png").stat().st_size > 10_000


def test_the_run_for_a_gpu_packs_its_frames_and_trains_anywhere(run, tmp_path):
    for seed in range(2):
        frames = SyntheticClips(WorldConfig(num_frames=9, height=48, width=64), seed)[0]["frames"]
        videos.write(tmp_path / "videos" / f"clip{seed}", frames, fps=24)
    packed = tmp_path / "frames.npz"
    options = ("--store", tmp_path / "store", "--height", 48, "--frames", packed)
    run("crw.gpu", "pack", tmp_path / "videos", *options)
    tiny = ["encoder.widths=4,8,8,8", "fit.steps=40", "fit.batch_size=2", "dense.view=48"]
    tiny += ["dense.pool=2", "fit.device=cpu", "fit.schedule.warm_up=1", "fit.progress=false"]
    run("crw.gpu", "train", tmp_path / "out", "--frames", packed, "--set", *tiny)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["clips a second"] > 0 and report["frames"] == 6 and report["GiB"] is None
    assert load(tmp_path / "out" / "run").stride == 8


@pytest.mark.slow
def test_the_recipe_of_cifar_10_from_the_archive_to_its_scores(run, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        random = torch.Generator().manual_seed(0)
        for number in range(400):
            noise = torch.randint(0, 80, (32, 32, 3), generator=random)
            pixels = (noise + 10 * (number % 10)).to(torch.uint8).numpy()
            with archive.open(f"class{number % 10}/{number:03d}.png", "w") as file:
                Image.fromarray(pixels).save(file, "PNG")
    out = tmp_path / "out"
    run("rin.cifar", "prepare", "--data", tmp_path / "all.zip", "--out", out)
    run("rin.cifar", "features", "--out", out, "--steps", 2)
    names = ("num_latents=8", "latent_width=32", "interface_width=16", "num_blocks=1")
    model = [f"model.{n}" for n in (*names, "num_layers=1", "num_heads=2", "cross_heads=1")]
    fit = ["fit.steps=2", "fit.batch_size=8", "fit.progress=false", "validate_every=2"]
    run("rin.cifar", "train", "--out", out, "--set", *model, *fit)
    with warnings.catch_warnings(action="ignore"):  # too few samples for a distance
        run("rin.cifar", "score", "--out", out, "--num", 20, "--guidance", 1, 2, "--steps", 2)
    (scores,) = map(json.loads, (out / "curve.jsonl").read_text().splitlines())
    assert scores["step"] == 2 and scores["core_hours"] > 0
    assert 0 <= scores["yardstick"] < scores["guidance 1"]["frechet"]
    assert {"frechet", "class_accuracy", "precision", "recall"} == set(scores["guidance 2"])
    assert scores["nearest"]["held-out images"] > 0 and (out / "nearest.png").is_file()
