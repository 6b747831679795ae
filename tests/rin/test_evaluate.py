"""Evaluation from end to end, of networks that learned nothing."""

import json
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from rin import untrained
from scalable_binding.data.frames import images
from scalable_binding.errors import UserError
from scalable_binding.rin import inference
from scalable_binding.rin.config import DiffusionConfig
from scalable_binding.rin.evaluate import evaluate
from scalable_binding.rin.evaluation_config import EvaluationConfig
from scalable_binding.rin.sampling_config import SamplingConfig

FEW = SamplingConfig(steps=2, batch_size=50)
CPU = EvaluationConfig(num=80, num_real=90, device="cpu")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    untrained.save(untrained.images(), folder / "digits", data={"kind": "digits"})
    moving = untrained.videos(size=(6, 16, 16))
    untrained.save(moving, folder / "moving", data={"kind": "moving_digits"})
    colored = untrained.images(channels=3, num_classes=2)
    untrained.save(colored, folder / "files", data={"kind": "images", "flip": True})
    return folder


@pytest.fixture
def photographs(tmp_path):
    for number in range(12):
        image = torch.randint(0, 256, (3, 10, 9)).byte()
        images.write(tmp_path / "photographs" / "ab"[number % 2] / f"{number}.png", image)
    return tmp_path / "photographs"


def test_digits_are_scored_in_every_way(runs):
    seen = {}
    results = evaluate(
        runs / "digits", (), CPU, FEW, tick=lambda what, done, total: seen.update({what: total})
    )
    json.dumps(results, allow_nan=False)
    assert set(results["scores"]) == {
        "frechet", "kernel", "kernel_deviation", "precision", "recall", "density", "coverage",
        "inception_score", "class_accuracy",
    }  # fmt: skip
    assert results["scores"]["frechet"] > 5 * results["yardstick"]["frechet"]
    assert results["features"]["is_standard"] is False and results["features"]["note"]
    levels = results["loss"]["by_level"]
    assert len(levels) == 10 and levels[0]["from_time"] == 0 and levels[-1]["to_time"] == 1
    mean = sum(level["loss"] for level in levels) / 10
    assert results["loss"]["mean"] == pytest.approx(mean) and results["loss"]["num"] == 90
    assert seen == {"loss": 90, "real data": 90, "samples": 80, "training data": 90}


def test_the_same_evaluation_gives_the_same_scores(runs):
    first, second = (evaluate(runs / "digits", (), CPU, FEW) for _ in range(2))
    assert first == second


def test_a_stopped_evaluation_goes_on_with_the_samples_it_drew(runs, tmp_path, monkeypatch):
    config = EvaluationConfig(num=80, num_real=90, device="cpu", out=tmp_path / "out")
    expected = evaluate(runs / "digits", (), config, FEW)
    drawn = []
    generate = inference.generate

    def count(*arguments, **named):
        drawn.append(named["first"])
        return generate(*arguments, **named)

    monkeypatch.setattr(inference, "generate", count)
    assert evaluate(runs / "digits", (), config, FEW) == expected
    assert drawn == []
    next((tmp_path / "out" / "samples").glob("00000050-*")).unlink()
    assert evaluate(runs / "digits", (), config, FEW) == expected
    assert drawn == [50]
    with pytest.raises(UserError, match="other sampling"):
        evaluate(runs / "digits", (), config, SamplingConfig(steps=3))


def test_reference_statistics_are_kept_and_belong_to_one_data_set(runs, tmp_path):
    path = tmp_path / "reference.npz"
    config = EvaluationConfig(num=80, num_real=90, device="cpu", reference=path)
    expected = evaluate(runs / "digits", (), config, FEW)
    before = path.stat().st_mtime_ns
    assert evaluate(runs / "digits", (), config, FEW)["scores"] == expected["scores"]
    assert path.stat().st_mtime_ns == before
    other = EvaluationConfig(num=80, num_real=100, device="cpu", reference=path)
    with pytest.raises(UserError, match="of other data or of another feature network"):
        evaluate(runs / "digits", (), other, FEW)


def test_reference_statistics_are_not_those_of_files_that_changed(tmp_path):
    for number in range(8):
        image = torch.randint(0, 256, (3, 8, 8)).byte()
        images.write(tmp_path / "data" / "a" / f"{number}.png", image)
    colored = untrained.images(DiffusionConfig(), num_classes=0, channels=3)
    run = untrained.save(colored, tmp_path / "run", data={"kind": "images"})
    config = replace(CPU, reference=tmp_path / "data" / "kept.npz")
    config = replace(config, features=str(untrained.features(tmp_path / "features")))
    evaluate(run, [tmp_path / "data"], config, FEW)
    evaluate(run, [tmp_path / "data"], config, FEW)
    images.write(tmp_path / "data" / "a" / "3.png", torch.zeros(3, 8, 8).byte())
    with pytest.raises(UserError, match="of other data or of another feature network"):
        evaluate(run, [tmp_path / "data"], config, FEW)


def test_forecasts_are_scored_beside_the_baselines(runs):
    config = EvaluationConfig(num=6, device="cpu", features=None)
    with pytest.warns(UserWarning, match="too few"):
        results = evaluate(runs / "moving", (), config, FEW)
    assert set(results["forecasts"]) == {"predicted", "copy_last", "extrapolate"}
    for found in results["forecasts"].values():
        assert len(found["mse_by_frame"]) == 4 and found["frechet_video"] > 0
    assert results["forecasts"]["predicted"]["mse"] > results["forecasts"]["copy_last"]["mse"]


def test_files_without_a_feature_network_give_the_loss_alone(runs, photographs):
    results = evaluate(runs / "files", [photographs], CPU, FEW)
    assert results["features"] is None and "scores" not in results
    assert results["loss"]["num"] == 12


def test_what_cannot_be_evaluated_is_told(runs, photographs, tmp_path):
    with pytest.raises(UserError, match="training data"):
        evaluate(runs / "files", (), CPU, FEW)
    with pytest.raises(UserError, match="no such run"):
        evaluate(tmp_path / "missing", (), CPU, FEW)
    with pytest.raises(UserError, match="num: expected at least 2, got 1"):
        EvaluationConfig(num=1)
    with pytest.raises(UserError, match="expected at least 4 of each, got 3 and 90"):
        evaluate(runs / "digits", (), replace(CPU, num=3), FEW)
    kept = replace(CPU, reference=tmp_path / "kept.npz")
    with pytest.raises(UserError, match=r"reference .*kept.npz would not be used: got a net"):
        evaluate(runs / "moving", (), kept, FEW)
    with pytest.raises(UserError, match=r"would not be used: got no feature network that fits"):
        evaluate(runs / "files", [photographs], kept, FEW)
    named = untrained.images(DiffusionConfig(), channels=3, num_classes=2)
    data = {"kind": "images"}
    run = untrained.save(named, tmp_path / "named", data=data, classes=["b", "a"])
    with pytest.raises(UserError, match="classes of the data: expected b, a, got a, b"):
        evaluate(run, [photographs], CPU, FEW)
    images.write(photographs / "c" / "1.png", torch.zeros(3, 9, 9).byte())
    with pytest.raises(UserError, match=r"model.num_classes: expected 3"):
        evaluate(runs / "files", [photographs], CPU, FEW)


def evaluate_in_rank(rank, meeting, run, out):
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    try:
        (out / f"{rank}.json").write_text(json.dumps(evaluate(run, (), CPU, FEW)))
    finally:
        dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_share_the_work_and_agree_with_one(runs, tmp_path):
    arguments = (tmp_path / "meeting", runs / "digits", tmp_path)
    mp.start_processes(evaluate_in_rank, arguments, nprocs=2, start_method="fork")
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    alone = evaluate(runs / "digits", (), CPU, FEW)
    for name in ("frechet", "inception_score", "class_accuracy", "precision", "coverage"):
        assert first["scores"][name] == pytest.approx(alone["scores"][name], rel=0.02)
