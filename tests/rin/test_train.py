"""Training: what is written, resumed and refused; and that it learns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from scalable_binding.data.frames import videos
from scalable_binding.engine.config import from_mapping, override
from scalable_binding.errors import UserError
from scalable_binding.rin import inference, objective, train
from scalable_binding.rin.config import RINConfig
from scalable_binding.rin.model import RIN
from scalable_binding.rin.presets import debug, digits, moving_digits, shapes64

TINY = {
    "model.num_latents": "4",
    "model.latent_width": "16",
    "model.interface_width": "8",
    "model.num_blocks": "1",
    "model.num_layers": "1",
    "model.num_heads": "2",
    "model.cross_heads": "2",
    "fit.steps": "3",
    "fit.batch_size": "4",
    "fit.save_every": "2",
    "fit.progress": "false",
    "fit.schedule.warm_up": "0",
    "fit.schedule.curve": "constant",
    "sample_every": "2",
    "sample_steps": "2",
    "validate_every": "0",
}


def tiny(config: RINConfig, **changes: Any) -> RINConfig:
    named = {name.replace("__", "."): str(value) for name, value in changes.items()}
    return override(config, TINY | named)


def same(a: RIN, b: RIN) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)


def log(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    for name in ("cat", "dog"):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        for number in range(2):
            pixels = torch.randint(0, 256, (20, 24, 3), dtype=torch.uint8, generator=generator)
            Image.fromarray(pixels.numpy()).save(folder / f"{number}.png")
    return tmp_path / "data"


def test_a_run_leaves_what_inference_needs_and_samples(tmp_path: Path) -> None:
    config = tiny(digits(), validate_every=2)
    trained = train.train(config, [], tmp_path / "run")
    loaded = inference.load(tmp_path / "run")
    assert same(loaded.model, trained) and loaded.model.settings == config.model
    assert loaded.diffusion == config.diffusion
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    kept = {"model": record} | {name: record[name] for name in ("diffusion", "data", "fit")}
    kept["model"] = {name: record[name] for name in trained.settings.__dataclass_fields__}
    assert from_mapping(RINConfig, kept).fit == config.fit
    pictures = sorted(path.name for path in (tmp_path / "run" / "samples").iterdir())
    assert pictures == ["0000002.png", "0000003.png"]
    with Image.open(tmp_path / "run" / "samples" / "0000003.png") as picture:
        assert picture.size == (10 * 10 + 2, 8 * 10 + 2) and picture.mode == "RGB"
    figures = [line["held_out_loss"] for line in log(tmp_path / "run") if "held_out_loss" in line]
    assert len(figures) == 2 and all(0.5 < figure < 3 for figure in figures)


def test_a_run_that_was_stopped_ends_in_the_same_weights(tmp_path: Path) -> None:
    config = tiny(digits(), fit__steps=4, sample_every=0, model__dropout=0.1)
    whole = train.train(config, [], tmp_path / "a")
    for steps in (2, 4):
        resumed = train.train(override(config, {"fit.steps": str(steps)}), [], tmp_path / "b")
    assert same(resumed, whole)


def test_videos_are_predicted_and_drawn_under_the_truth(tmp_path: Path) -> None:
    config = tiny(moving_digits(), model__size="4,16,16", model__context=2, validate_every=2)
    train.train(config, [], tmp_path / "run")
    with Image.open(tmp_path / "run" / "samples" / "0000002.png") as picture:
        assert picture.size == (4 * 18 + 2, 2 * train.SAMPLE_VIDEOS * 18 + 2)
        shown = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    shown = shown.view(2 * train.SAMPLE_VIDEOS * 18 + 2, 4 * 18 + 2, 3)
    truth, predicted = shown[2:18], shown[20:36]
    assert torch.equal(truth[:, 2:36], predicted[:, 2:36])
    assert not torch.equal(truth[:, 38:72], predicted[:, 38:72])


def test_shapes_are_learned_from(tmp_path: Path) -> None:
    config = tiny(shapes64(), model__size="16,16", fit__steps=2, fit__batch_size=2)
    train.train(config, [], tmp_path / "run")
    assert (tmp_path / "run" / "samples" / "0000002.png").is_file()


def test_images_of_a_folder_are_learned_from(photographs: Path, tmp_path: Path) -> None:
    changes = {"data__kind": "images", "model__size": "16,8", "model__num_classes": 2}
    config = tiny(shapes64(), **changes)
    train.train(config, [photographs], tmp_path / "run")
    with Image.open(tmp_path / "run" / "samples" / "0000002.png") as picture:
        assert picture.size == (2 * 10 + 2, 8 * 18 + 2)


def test_videos_of_a_folder_are_learned_from(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (6, 3, 16, 20), dtype=torch.uint8, generator=generator)
    videos.write(tmp_path / "data" / "one", frames, fps=8)
    changes = {"data__kind": "videos", "model__size": "4,16,16", "model__channels": 3}
    config = tiny(moving_digits(), model__context=2, **changes)
    train.train(config, [tmp_path / "data"], tmp_path / "run")
    assert inference.load(tmp_path / "run").model.context == 2


@pytest.mark.parametrize(
    ("preset", "changes", "named"),
    [
        (digits, {"model__size": "16,16"}, r"expected \(1, 16, 16\).*got \(1, 8, 8\)"),
        (digits, {"model__channels": 3}, "model.channels"),
        (digits, {"model__num_classes": 4}, "expected 10.*got 4; set model.num_classes=10"),
        (digits, {"model__size": "2,8,8", "model__patch": "1,2,2"}, "model.size"),
        (moving_digits, {"model__size": "12,32,36"}, "square"),
        (shapes64, {"data__kind": "images"}, "training data"),
    ],
)
def test_data_that_do_not_fit_the_network_are_refused(
    preset: Any, changes: dict[str, Any], named: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=named):
        train.train(tiny(preset(), **changes), [], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_folders_without_images_or_with_other_classes_are_refused(
    photographs: Path, tmp_path: Path
) -> None:
    config = tiny(shapes64(), data__kind="images", model__size="8,8")
    with pytest.raises(UserError, match="expected 2, the number of classes in the data"):
        train.train(config, [photographs], tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no images under"):
        train.train(config, [tmp_path / "empty"], tmp_path / "run")


def test_files_that_would_not_be_read_are_refused(photographs: Path) -> None:
    with pytest.raises(UserError, match=r"expected no file.*set data.kind=images"):
        train.open_data(tiny(digits()), [photographs])
    with pytest.raises(UserError, match="write --set before each setting"):
        train.open_data(tiny(digits()), [Path("fit.steps=3")])


def test_options_that_have_no_effect_are_told(photographs: Path, tmp_path: Path) -> None:
    changes = {"data__kind": "images", "model__size": "8,8", "model__num_classes": 0}
    config = tiny(shapes64(), diffusion__label_dropout=0, validate_every=1, **changes)
    with pytest.warns(UserWarning, match="validate_every is ignored"):
        train.train(config, [photographs], tmp_path / "run")


def test_files_that_are_held_out_are_validated_on(photographs: Path, tmp_path: Path) -> None:
    changes = {"data__kind": "images", "model__size": "8,8", "sample_every": 0, "fit__steps": 2}
    changes |= {"model__num_classes": 2, "data__held_out": photographs / "cat"}
    with pytest.raises(UserError, match=r"never be looked at.*set validate_every=1000"):
        train.train(tiny(shapes64(), **changes), [photographs], tmp_path / "run")
    with pytest.raises(UserError, match="expected 0, the number of classes in the data"):
        train.train(tiny(shapes64(), validate_every=1, **changes), [photographs], tmp_path / "run")
    changes["data__held_out"] = photographs
    config = tiny(shapes64(), validate_every=1, **changes)
    with pytest.raises(UserError, match=r"held_out: expected ant, dog, got cat, dog"):
        train.held_out_batch(config, ("ant", "dog"))
    network = train.train(config, [photographs], tmp_path / "run")
    batch = train.held_out_batch(config, ("cat", "dog"))
    assert batch["image"].shape == (256, 3, 8, 8)
    figures = [line["held_out_loss"] for line in log(tmp_path / "run") if "held_out_loss" in line]
    assert len(figures) == 2
    at_once = config.fit.batch_size
    expected = objective.held_out_loss(network, batch, config.diffusion, at_once=at_once)
    assert figures[-1] == pytest.approx(expected)
    with pytest.raises(UserError, match=r"data.held_out.*expected no file"):
        tiny(digits(), data__held_out=photographs)


@pytest.mark.parametrize("seed", range(4))
def test_no_run_learns_from_shapes_that_are_held_out(seed: int) -> None:
    config = tiny(shapes64(), fit__seed=seed)
    learned = train.open_data(config, seed=seed)
    kept = {train.open_data(config, held_out=True)[i]["image"].numpy().tobytes() for i in range(20)}
    assert not kept & {learned[i]["image"].numpy().tobytes() for i in range(20)}


def test_names_of_classes_stay_with_the_run(photographs: Path, tmp_path: Path) -> None:
    changes = {"data__kind": "images", "model__size": "8,8", "model__num_classes": 2}
    config = tiny(shapes64(), fit__steps=1, **changes)
    train.train(config, [photographs], tmp_path / "run")
    assert inference.load(tmp_path / "run").classes == ("cat", "dog")
    (photographs / "cat").rename(photographs / "elk")
    longer = tiny(shapes64(), fit__steps=2, **changes)
    with pytest.warns(UserWarning, match="goes on with other settings than before: classes"):
        train.train(longer, [photographs], tmp_path / "run")
    assert inference.load(tmp_path / "run").classes == ("dog", "elk")


def test_held_out_digits_are_not_among_those_to_learn() -> None:
    config = digits()
    batch = train.held_out_batch(config)
    assert batch["image"].shape == (397, 1, 8, 8)
    learned = train.open_data(config)
    seen = {learned[i]["image"].numpy().tobytes() for i in range(1400)}
    kept = {image.numpy().tobytes() for image in batch["image"]}
    assert len(kept & seen) < 0.02 * len(kept)


@pytest.mark.slow
def test_digits_are_learned(tmp_path: Path) -> None:
    """Noise is told from ink on digits never seen.

    A network that ignores its input has a loss of 1, the variance of the noise.
    """
    changes = {"fit.steps": "200", "fit.batch_size": "64", "fit.progress": "false"}
    changes |= {"sample_every": "0", "validate_every": "0", "fit.save_every": "200"}
    config = override(digits(), changes)
    trained = train.train(config, [], tmp_path / "run")
    batch = train.held_out_batch(config)

    def held_out(network: RIN) -> float:
        return objective.held_out_loss(network, batch, config.diffusion, repeats=2)

    assert held_out(train.build(config)) > 0.95
    assert held_out(trained) < 0.35


@pytest.mark.slow
def test_the_debug_preset_runs_to_its_end(tmp_path: Path) -> None:
    train.train(override(debug(), {"fit.progress": "false"}), [], tmp_path / "run")
    figures = [line["held_out_loss"] for line in log(tmp_path / "run") if "held_out_loss" in line]
    assert figures[-1] < figures[0]


def test_ranks_share_the_examples_to_validate_on(monkeypatch: pytest.MonkeyPatch) -> None:
    config = override(debug(), {**TINY, "fit.batch_size": "8"})
    network = train.build(config)
    batch = {name: value[:11] for name, value in train.held_out_batch(config).items()}
    looked: list[tuple[list[int], int]] = []
    sums: list[float] = []

    def held_out_loss(
        network: RIN, part: dict[str, Any], *_: Any, at_once: int, **__: Any
    ) -> float:
        looked.append((part["label"].tolist(), at_once))
        return float(part["label"].double().mean())

    monkeypatch.setattr(objective, "held_out_loss", held_out_loss)
    monkeypatch.setattr(train.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(train.dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(train.dist, "all_reduce", lambda total: sums.append(float(total)))
    for rank in range(2):
        monkeypatch.setattr(train.dist, "get_rank", lambda rank=rank: rank)
        train.validate(1, network, Path(), config=config, batch=batch)
    assert looked[0][0] + looked[1][0] == batch["label"].tolist()
    assert [at_once for _, at_once in looked] == [4, 4]
    assert sum(sums) == pytest.approx(float(batch["label"].sum()))


@pytest.mark.filterwarnings("ignore:.*other settings than before. gamma_includes_end")
def test_runs_of_before_a_setting_go_on_with_its_old_value(tmp_path: Path) -> None:
    config = override(debug(), TINY)
    assert train.train(config, [], tmp_path / "run").settings.gamma_includes_end is False
    path = tmp_path / "run" / "config.json"
    record = json.loads(path.read_text())
    del record["gamma_includes_end"]
    path.write_text(json.dumps(record))
    longer = override(config, {"fit.steps": "5"})
    assert train.train(longer, [], tmp_path / "run").settings.gamma_includes_end is True


@pytest.mark.filterwarnings("ignore:.*too few for the covariance")
def test_checkpoints_are_kept_and_the_best_is_that_of_least_distance(tmp_path: Path) -> None:
    changes = {"keep_every": "2", "score_every": "1", "score_num": "8", "sample_every": "0"}
    run = tmp_path / "run"
    train.train(override(debug(), {**TINY, **changes}), [], run)
    assert sorted(path.name for path in (run / "kept").iterdir()) == ["0000002", "0000003"]
    assert inference.load(run / "kept" / "0000002").model.num_classes == 10
    lines = [line for line in log(run) if "frechet" in line]
    best = json.loads((run / "best" / "scores.json").read_text())
    assert [line["step"] for line in lines] == [1, 2, 3]
    least = min(lines, key=lambda line: line["frechet"])
    assert best["frechet"] == least["frechet"] and best["step"] == least["step"]
    loaded = inference.load(run / "best").model.state_dict()
    kept = inference.load(run / "kept" / "0000003").model.state_dict()
    same = all(torch.equal(loaded[name], kept[name]) for name in loaded)
    assert same == (best["step"] == 3)


def test_scores_need_what_they_compare_with(photographs: Path, tmp_path: Path) -> None:
    config = override(
        debug(),
        {
            "data.kind": "images",
            "model.channels": "3",
            "score_every": "5",
            "model.num_classes": "2",
        },
    )
    with pytest.raises(UserError, match=r"score_every needs data.held_out"):
        train.train(config, [photographs], tmp_path / "run")
    with pytest.raises(UserError, match=r"score_every: expected 0 for a network that predicts"):
        override(moving_digits(), {"score_every": "5"})
