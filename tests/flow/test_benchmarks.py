"""Benchmarks in miniature, in their official layouts; scores of flows that are known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from flow.small import network, shifted
from scalable_binding.data.frames import images
from scalable_binding.data.labels import flow_files
from scalable_binding.errors import UserError
from scalable_binding.flow import benchmarks, evaluate, model
from scalable_binding.flow.inference import Flow

SIZE = (32, 48)


def constant(right: float, down: float) -> torch.Tensor:
    return torch.tensor([right, down]).float().view(2, 1, 1).expand(2, *SIZE).clone()


def half() -> torch.Tensor:
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[:, 24:] = True
    return mask


def sintel(root: Path) -> Path:
    frames = shifted(4, 0, SIZE)
    for number, frame in enumerate(frames, start=1):
        images.write(root / f"training/final/alley_1/frame_{number:04}.png", frame)
    flow_files.write(root / "training/flow/alley_1/frame_0001.flo", constant(4, 0))
    white = (half().byte() * 255).expand(3, -1, -1)
    images.write(root / "training/occlusions/alley_1/frame_0001.png", white)
    return root


def kitti(root: Path) -> Path:
    frames = shifted(4, 0, SIZE)
    for name, frame in zip(("10", "11"), frames, strict=True):
        images.write(root / f"training/image_2/000000_{name}.png", frame)
    flow_files.write(root / "training/flow_occ/000000_10.png", constant(4, 0), ~half())
    seen = ~half()
    seen[:8] = False
    flow_files.write(root / "training/flow_noc/000000_10.png", constant(4, 0), seen)
    return root


def chairs(root: Path) -> Path:
    for number in (1, 2):
        for which, frame in enumerate(shifted(4, 0, SIZE), start=1):
            images.write(root / f"data/{number:05}_img{which}.ppm", frame)
        flow_files.write(root / f"data/{number:05}_flow.flo", constant(4, number))
    return root


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that says everything moves by (4, 3), and hides the right half."""

    def estimate(first: torch.Tensor, second: torch.Tensor, net: object) -> Flow:
        assert first.shape == second.shape == (3, *SIZE)
        return Flow(constant(4, 3), half(), torch.ones(SIZE))

    monkeypatch.setattr(evaluate, "estimate", estimate)
    monkeypatch.setattr(model, "load", lambda weights: network())


def test_sintel(tmp_path: Path, still: None) -> None:
    found = evaluate.evaluate("sintel", sintel(tmp_path))
    assert found["pairs"] == 1
    expected = {"epe": 3.0, "epe_matched": 3.0, "epe_occluded": 3.0, "f1": 0.0, "epe_0-10": 3.0}
    assert found["scores"] == pytest.approx(expected | {"hidden_f1": 1.0})
    assert found["zero flow"]["epe"] == pytest.approx(4.0)
    assert found["zero flow"]["f1"] == pytest.approx(1.0)


def test_kitti_knows_a_part_and_sees_a_part_of_that(tmp_path: Path, still: None) -> None:
    kitti(tmp_path)
    example = benchmarks.kitti(tmp_path)[0]()
    assert example.known.sum() == 32 * 24 and example.visible is not None
    assert example.visible.sum() == 24 * 24
    assert evaluate.evaluate("kitti", tmp_path)["scores"]["epe"] == pytest.approx(3.0)


def test_chairs_are_those_of_the_split(tmp_path: Path, still: None) -> None:
    chairs(tmp_path)
    assert evaluate.evaluate("chairs", tmp_path)["scores"]["epe"] == pytest.approx(1.5)
    (tmp_path / "FlyingChairs_train_val.txt").write_text("1\n2\n")
    assert evaluate.evaluate("chairs", tmp_path)["scores"]["epe"] == pytest.approx(1.0)
    (tmp_path / "FlyingChairs_train_val.txt").write_text("1\n")
    with pytest.raises(UserError, match="2 lines"):
        benchmarks.chairs(tmp_path)


def test_the_synthetic_world_needs_no_data_and_has_what_is_hidden() -> None:
    found = evaluate.evaluate("synthetic", weights="random", limit=1)
    assert {"epe", "epe_matched", "epe_occluded", "f1", "hidden_f1"} <= found["scores"].keys()


def test_held_out_scenes_show_no_texture_of_training() -> None:
    world = benchmarks.synthetic()[0]
    assert world.__closure__[0].cell_contents[0].split == "held_out"


@pytest.mark.parametrize("name", ["sintel", "kitti", "chairs"])
def test_missing_data_are_named(tmp_path: Path, name: str, still: None) -> None:
    with pytest.raises(UserError, match=r"no such folder|such as"):
        evaluate.evaluate(name, tmp_path)
    with pytest.raises(UserError, match="folder of its data"):
        evaluate.evaluate(name)


def test_frames_of_another_size_than_their_flow_are_refused(tmp_path: Path, still: None) -> None:
    sintel(tmp_path)
    small = torch.zeros(3, 16, 16, dtype=torch.uint8)
    images.write(tmp_path / "training/final/alley_1/frame_0002.png", small)
    with pytest.raises(UserError, match="the size of its flow, 32 x 48"):
        evaluate.evaluate("sintel", tmp_path)


def test_there_is_no_such_benchmark() -> None:
    with pytest.raises(UserError, match="one of synthetic, sintel"):
        evaluate.evaluate("middlebury")
