"""Training: what is written, resumed, drawn and mixed; and that it learns, in miniature."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from scalable_binding.crw import objective, train
from scalable_binding.crw.model import Encoder, load
from scalable_binding.crw.presets import (
    ClipConfig,
    CRWConfig,
    calibrated,
    debug,
    dense,
    kinetics,
    kinetics_code,
    patches,
    small,
)
from scalable_binding.data.frames import videos
from scalable_binding.data.synthetic import SyntheticClips, WorldConfig
from scalable_binding.engine.config import from_mapping, override, to_mapping
from scalable_binding.errors import UserError

TINY = {
    "encoder.widths": "4,8,8",
    "clips.size": "48",
    "clips.crop": "40",
    "walk.views.size": "32",
    "fit.steps": "3",
    "fit.batch_size": "2",
    "fit.save_every": "2",
    "fit.progress": "false",
    "picture_every": "2",
}


def tiny(**changes: str) -> CRWConfig:
    named = {name.replace("__", "."): value for name, value in changes.items()}
    return override(debug(), TINY | named)


def same(a: Encoder, b: Encoder) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    for seed in range(2):
        frames = SyntheticClips(WorldConfig(num_frames=12, height=48, width=64), seed)[0]["frames"]
        videos.write(tmp_path / "data" / f"clip{seed}", frames, fps=8)
    return tmp_path / "data"


def test_a_run_leaves_weights_settings_and_pictures(tmp_path: Path) -> None:
    config = tiny()
    trained = train.train(config, [], tmp_path / "run")
    loaded = load(tmp_path / "run")
    assert isinstance(loaded, Encoder) and same(loaded, trained)
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    assert record["system"] == "crw" and record["backbone"]["widths"] == [4, 8, 8]
    kept = {name: record[name] for name in ("encoder", "clips", "walk", "fit")}
    assert from_mapping(CRWConfig, kept | {"picture_every": 2}) == config
    pictures = sorted(path.name for path in (tmp_path / "run" / "walks").iterdir())
    assert pictures == ["0000002.png", "0000003.png"]
    with Image.open(tmp_path / "run" / "walks" / "0000003.png") as picture:
        assert picture.mode == "RGB"
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert {"loss", "accuracy_1", "accuracy_2", "accuracy_direct"} <= json.loads(lines[-1]).keys()


def test_a_run_that_was_stopped_ends_in_the_same_weights(tmp_path: Path) -> None:
    """To the bit, with weights in channels-last order as in every preset."""
    whole = train.train(tiny(fit__steps="4", fit__schedule__curve="constant"), [], tmp_path / "a")
    for steps in ("2", "4"):
        config = tiny(fit__steps=steps, fit__schedule__curve="constant")
        resumed = train.train(config, [], tmp_path / "b")
    assert same(resumed, whole)


@pytest.mark.parametrize("nodes", ["patches", "cells"])
def test_both_kinds_of_nodes_train_on_real_videos(nodes: str, clips: Path, tmp_path: Path) -> None:
    patches = {"walk__patches__frame_size": "32", "walk__patches__size": "16"}
    config = tiny(walk__nodes=nodes, clips__synthetic="0", walk__patches__stride="8", **patches)
    trained = train.train(config, [clips], tmp_path / "run")
    assert not same(trained, train.build(config))
    assert len(list((tmp_path / "run" / "walks").iterdir())) == 2


def test_a_fresh_encoder_is_a_function_of_the_seed() -> None:
    before = torch.get_rng_state()
    first, again = train.build(tiny()), train.build(tiny())
    assert same(first, again)
    assert not same(first, train.build(tiny(fit__seed="1")))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.75, 1.0])
def test_real_and_synthetic_clips_alternate_in_their_proportion(share: float, clips: Path) -> None:
    config = ClipConfig(num_frames=2, fps=None, size=48, crop=40, synthetic=share)
    mixed = train.open_clips(config, [clips] if share < 1 else [], seed=0)
    drawn = {"real": [], "synthetic": []}
    mixed.second = _Listening(drawn["synthetic"])
    mixed.first = mixed.first and _Listening(drawn["real"])
    assert [int(mixed[index]["index"]) for index in range(40)] == list(range(40))
    assert abs(len(drawn["synthetic"]) - 40 * share) <= 1
    for indices in drawn.values():
        assert indices == list(range(len(indices)))


class _Listening:
    def __init__(self, indices: list[int]) -> None:
        self.indices = indices

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.indices.append(index)
        return {}


def test_training_never_shows_the_textures_of_held_out_scenes() -> None:
    config = ClipConfig(num_frames=2, size=48, crop=40, synthetic=0.5)
    assert train.synthetic_clips(config, seed=0).config.split == "train"


def test_synthetic_clips_keep_the_frame_rate() -> None:
    def frames(fps: float | None, num_frames: int) -> torch.Tensor:
        config = ClipConfig(num_frames=num_frames, fps=fps, size=48, crop=40, synthetic=1.0)
        clip = train.open_clips(config, [], seed=0)[3]["frames"]
        assert clip.shape == (num_frames, 3, 40, 40)
        return clip.float()

    def motion(clip: torch.Tensor) -> float:
        return float((clip[1:] - clip[:-1]).abs().mean())

    assert motion(frames(math.inf, 3)) == 0
    assert motion(frames(6.0, 3)) > 1.2 * motion(frames(24.0, 3))
    assert torch.equal(frames(24.0, 3), frames(None, 3))


def test_clips_of_both_kinds_stack(clips: Path) -> None:
    config = ClipConfig(num_frames=2, fps=None, size=48, crop=40, synthetic=0.5)
    mixed = train.open_clips(config, [clips], seed=0)
    frames = torch.stack([mixed[index]["frames"] for index in range(4)])
    assert frames.shape == (4, 2, 3, 40, 40) and frames.dtype == torch.uint8
    assert torch.equal(mixed[3]["frames"], frames[3])


def test_training_needs_data_unless_all_is_synthetic(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"training data: expected .* unless clips.synthetic is 1"):
        train.train(tiny(clips__synthetic="0.5"), [], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_synthetic_clips_have_rates_of_the_whole_range() -> None:
    """An object of a clip at 3 frames a second goes eight times as far as at 24."""
    config = ClipConfig(num_frames=2, fps=(3.0, 24.0), size=48, crop=40, synthetic=1.0)
    clips = train.synthetic_clips(config, 0)
    assert isinstance(clips, train.PacedSyntheticClips)
    changes = []
    for index in range(12):
        frames = clips[index]["frames"].float()
        slow, fast = (
            train.synthetic_clips(replace(config, fps=fps), 0)[index]["frames"].float()
            for fps in (24.0, 3.0)
        )
        assert torch.equal(clips[index]["frames"].float(), frames)
        change, least, most = (x.diff(dim=0).abs().mean() for x in (frames, slow, fast))
        changes.append(float((change - least) / (most - least)))
    assert min(changes) < 0.35 and max(changes) > 0.65


@pytest.mark.parametrize(
    ("preset", "num_frames", "tau"), [(kinetics, 10, 0.07), (kinetics_code, 4, 0.05)]
)
def test_the_thesis_and_the_authors_command_see_whole_frames(
    preset: Any, num_frames: int, tau: float, tmp_path: Path
) -> None:
    """A frame whose right half alone is white: half of each square is."""
    frames = torch.zeros(80, 3, 64, 128, dtype=torch.uint8)
    frames[..., 64:] = 255
    videos.write(tmp_path / "wide", frames, fps=8.0)
    config = preset()
    assert (config.clips.num_frames, config.walk.temperature) == (num_frames, tau)
    clip = train.open_clips(config.clips, [tmp_path / "wide"], 0)[0]["frames"]
    assert clip.shape == (num_frames, 3, 256, 256)
    assert float(clip.float().mean()) == pytest.approx(127.5, abs=1)


def test_the_narrow_thesis_walk_has_49_patches_of_whole_frames(clips: Path, tmp_path: Path) -> None:
    assert patches().walk.patches.grid == 7 and patches().clips.square
    small_steps = {"encoder.widths": "4,8,8", "fit.steps": "1", "fit.batch_size": "2"}
    quiet = {"fit.progress": "false", "picture_every": "0"}
    trained = train.train(override(patches(), small_steps | quiet), [clips], tmp_path / "run")
    assert isinstance(trained, Encoder)


def test_data_that_is_not_used_is_said(clips: Path) -> None:
    with pytest.warns(UserWarning, match=r"no video is read, since clips\.synthetic is 1"):
        train.open_clips(ClipConfig(synthetic=1.0), [clips], seed=0)


def test_views_larger_than_the_clips_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"at least 64 x 64 pixels for views\.size"):
        train.train(tiny(walk__views__size="64", picture_every="0"), [], tmp_path / "run")


@pytest.fixture(scope="module")
def unseen() -> torch.Tensor:
    """Clips of textures that training never shows."""
    world = WorldConfig(num_frames=3, height=112, width=112, split="held_out")
    scenes = SyntheticClips(world, seed=999)
    return torch.stack([scenes[index]["frames"] for index in range(16)])


DENSE = {
    "encoder.widths": "4,8,8",
    "clips.size": "48",
    "dense.view": "48",
    "dense.pool": "2",
    "fit.steps": "3",
    "fit.batch_size": "2",
    "fit.schedule.warm_up": "1",
    "fit.progress": "false",
}


def test_the_dense_walk_trains_and_its_run_is_read(clips: Path, tmp_path: Path) -> None:
    config = override(dense(), DENSE)
    trained = train.train(config, [clips], tmp_path / "run")
    loaded = load(tmp_path / "run")
    assert isinstance(loaded, Encoder) and same(loaded, trained) and loaded.reader.is_fitted
    assert loaded.stride == 8 and loaded.reader.stages == (0, 1, 2, 3)
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    assert record["dense"]["graph"] == "batch" and record["backbone"]["widths"] == [4, 8, 8]
    assert len(list((tmp_path / "run" / "frames").glob("*.npy"))) == 2
    shared = override(config, {"clips.store": str(tmp_path / "run" / "frames")})
    assert same(train.train(shared, [clips], tmp_path / "again"), trained)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("clips.fps", "3,24"),
        ("clips.size", "null"),
        ("clips.synthetic", "0.5"),
        ("clips.crop", "48"),
        ("encoder.width", "null"),
        ("dense.view", "50"),
    ],
)
def test_settings_that_the_dense_walk_cannot_have_are_named(name: str, value: str) -> None:
    with pytest.raises(UserError, match=name):
        override(dense(), {name: value})


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_walkers_learn_to_come_home_in_scenes_never_seen(
    seed: int, unseen: torch.Tensor, tmp_path: Path
) -> None:
    """Trained as a user trains, and without the checks of shapes that make tests slow."""
    run, settings = tmp_path / "run", ["--fit.seed", str(seed), "--set", "picture_every=0"]
    program = [sys.executable, "-m", "scalable_binding", "crw", "train", "--preset", "debug"]
    subprocess.run([*program, "--run", str(run), *settings], check=True, capture_output=True)
    trained = load(run)
    assert isinstance(trained, Encoder)
    before = _return_accuracy(_untrained(seed), unseen)
    after = _return_accuracy(trained, unseen)
    chance = 1 / 64
    for hops in (1, 2):
        assert after[f"accuracy_{hops}"] > 8 * chance
        assert after[f"accuracy_{hops}"] > 2 * before[f"accuracy_{hops}"]


def _untrained(seed: int) -> Encoder:
    return train.build(override(debug(), {"fit.seed": str(seed)})).eval()


def _return_accuracy(encoder: Encoder, frames: torch.Tensor) -> dict[str, torch.Tensor]:
    walk = replace(debug().walk, edge_dropout=0.0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        return objective.loss(encoder, {"frames": frames}, generator, walk)[1]


@pytest.mark.parametrize(
    "preset", [kinetics, kinetics_code, dense, patches, small, calibrated, debug]
)
def test_presets_survive_a_file(preset: Any) -> None:
    config = preset()
    assert from_mapping(CRWConfig, json.loads(json.dumps(to_mapping(config)))) == config


def test_a_calibrated_encoder_has_random_weights_and_the_statistics_of_the_videos(
    clips: Path, tmp_path: Path
) -> None:
    smaller = {
        "encoder.widths": "4,8,8",
        "clips.size": "48",
        "clips.crop": "40",
        "clips.fps": "8",
        "fit.progress": "false",
    }
    config = override(calibrated(), smaller)
    found = train.train(config, [clips], tmp_path / "run")
    fresh = train.build(config)
    assert torch.equal(found.resnet.conv1.weight, fresh.resnet.conv1.weight)
    statistics = found.resnet.layer3[1].bn2
    assert not torch.equal(statistics.running_var, fresh.resnet.layer3[1].bn2.running_var)
    loaded = load(tmp_path / "run")
    assert isinstance(loaded, Encoder) and same(loaded, found)
    again = train.train(config, [clips], tmp_path / "other")
    assert same(again, found)


def test_a_walk_on_whitened_features_needs_statistics_before_it_starts() -> None:
    with pytest.raises(UserError, match=r"encoder\.batch_statistics=false"):
        override(debug(), {"encoder.width": "none", "encoder.components": "8"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encoder.widths", "4,8"),
        ("encoder.width", "0"),
        ("encoder.windows", "2"),
        ("encoder.components", "0"),
        ("clips.num_frames", "1"),
        ("clips.synthetic", "1.1"),
        ("walk.patches.size", "300"),
        ("walk.patches.stride", "0"),
        ("walk.patches.jitter_scale", "0.9,0.7"),
        ("walk.views.size", "60"),
        ("walk.views.shift", "-1"),
        ("walk.temperature", "0"),
        ("walk.temperature", "nan"),
        ("walk.edge_dropout", "1"),
        ("walk.direct_weight", "-1"),
        ("picture_every", "-1"),
    ],
)
def test_settings_out_of_range_are_named(name: str, value: str) -> None:
    with pytest.raises(UserError, match=name.split(".", 1)[-1].rsplit(".", 1)[-1]):
        override(debug(), {name: value})
