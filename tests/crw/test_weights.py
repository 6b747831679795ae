"""Weights from anywhere: ours, torchvision's, the authors', the hub's; bad ones in one line."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from reference.resnet import authors_encoder, torchvision_resnet18
from scalable_binding.crw import model
from scalable_binding.crw.benchmarks import scene
from scalable_binding.crw.evaluate import score
from scalable_binding.crw.model import Encoder, RawPatches, arguments, load
from scalable_binding.crw.presets import PropagationConfig
from scalable_binding.data import synthetic
from scalable_binding.errors import UserError

SMALL = {"widths": (4, 8, 8), "width": 6, "padding_mode": "reflect"}


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self.target,)


def made_up(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(shape, generator=generator) if shape else torch.tensor(7)
        for name, shape in shapes.items()
    }


def small_encoder() -> Encoder:
    return model.draw(5, **SMALL).eval()


def same(a: Encoder, b: Encoder) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


def loaded(path: Path) -> Encoder:
    encoder = load(path)
    assert isinstance(encoder, Encoder) and not encoder.training
    return encoder


@pytest.mark.parametrize("name", ["resnet18.safetensors", "resnet18.pth"])
def test_torchvisions_resnet18_loads_without_its_classifier(name: str, tmp_path: Path) -> None:
    tensors = made_up(torchvision_resnet18())
    save: Callable[..., Any] = save_file if name.endswith("safetensors") else torch.save
    save(tensors, tmp_path / name)
    encoder = loaded(tmp_path / name)
    found = encoder.resnet.state_dict()
    assert all(torch.equal(found[n], t) for n, t in tensors.items() if not n.startswith("fc."))
    assert encoder.backbone.padding_mode == "zeros"
    assert encoder.features(torch.zeros(3, 16, 24, dtype=torch.uint8)).shape == (256, 2, 3)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_authors_checkpoint_loads_with_their_head_and_padding(
    prefix: str, tmp_path: Path
) -> None:
    tensors = {prefix + n: t for n, t in made_up(authors_encoder()).items()}
    args = argparse.Namespace(lr=1e-4, frame_aug="grid", device="cuda")
    torch.save({"model": tensors, "epoch": 24, "args": args}, tmp_path / "pretrained.pth")
    encoder = loaded(tmp_path / "pretrained.pth")
    assert encoder.backbone.padding_mode == "reflect"
    assert torch.equal(encoder.head.weight, tensors[f"{prefix}selfsim_fc.0.weight"])
    found = encoder.resnet.layer4[1].bn2.running_var
    assert torch.equal(found, tensors[f"{prefix}encoder.model.layer4.1.bn2.running_var"])


@pytest.mark.parametrize("name", ["ours.safetensors", "ours.pt"])
def test_our_own_tensors_load_whatever_the_widths(name: str, tmp_path: Path) -> None:
    encoder = small_encoder()
    save: Callable[..., Any] = save_file if name.endswith("safetensors") else torch.save
    save(dict(encoder.state_dict()), tmp_path / name)
    found = loaded(tmp_path / name)
    assert same(found, encoder) and found.backbone.widths == (4, 8, 8)


def test_what_ships_is_not_mistaken_for_another_network(tmp_path: Path) -> None:
    """Its tensors alone do not tell which stages and windows it reads."""
    shutil.copy(model.SHIPPED / "model.safetensors", tmp_path / "mine.safetensors")
    with pytest.raises(UserError, match=r"is an encoder of ours: expected config.json beside it"):
        load(tmp_path / "mine.safetensors")


def test_what_save_pretrained_writes_loads_in_both_ways(tmp_path: Path) -> None:
    encoder = small_encoder()
    encoder.save_pretrained(tmp_path)
    for found in (
        loaded(tmp_path),
        loaded(tmp_path / "model.safetensors"),
        Encoder.from_pretrained(str(tmp_path)),
    ):
        assert same(found, encoder)
        assert arguments(found) == arguments(encoder)


def test_a_run_folder_loads_in_both_ways(tmp_path: Path) -> None:
    encoder = small_encoder()
    save_file(dict(encoder.state_dict()), tmp_path / "model.safetensors")
    record = {"system": "crw", **arguments(encoder), "encoder": {"padding": "reflect"}, "fit": {}}
    (tmp_path / "config.json").write_text(json.dumps(record))
    for found in (loaded(tmp_path), Encoder.from_pretrained(str(tmp_path))):
        assert same(found, encoder) and found.backbone.padding_mode == "reflect"


def test_a_run_without_a_head_loads_with_the_stages_it_reads(tmp_path: Path) -> None:
    encoder = model.draw(0, widths=(4, 8, 8), width=None, readout=(0, 2, 3), windows=(1, 5))
    save_file(dict(encoder.state_dict()), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(arguments(encoder)))
    for found in (loaded(tmp_path), Encoder.from_pretrained(str(tmp_path))):
        assert same(found, encoder) and found.reader.stages == (0, 2, 3) and found.head is None
        assert found.reader.windows == (1, 5)


def test_a_run_of_before_readers_loads(tmp_path: Path) -> None:
    """Its settings lie flat in config.json, its tensors have no prefix."""
    encoder = model.draw(0, widths=(4, 8, 8), width=None, readout=(0, 3), components=4).eval()
    encoder.calibrate(torch.rand(2, 3, 32, 32))
    names = {
        n.split(".", 1)[1].replace(".mean", ".centre"): t for n, t in encoder.state_dict().items()
    }
    old = {n.replace("running_centre", "running_mean"): t for n, t in names.items()}
    save_file({n: t for n, t in old.items() if ".fitted" not in n}, tmp_path / "model.safetensors")
    flat = {"widths": [4, 8, 8], "width": None, "readout": [0, 3], "windows": [1], "components": 4}
    (tmp_path / "config.json").write_text(json.dumps(flat | {"batch_statistics": True}))
    assert same(loaded(tmp_path), encoder)


def test_somebody_elses_folder_is_read_by_its_tensors(tmp_path: Path) -> None:
    """A ResNet-18 as the hub has it: torchvision's names beside a config that is not ours."""
    tensors = made_up(torchvision_resnet18())
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"architecture": "resnet18", "num_classes": 1000}')
    for path in (tmp_path, tmp_path / "model.safetensors"):
        assert torch.equal(loaded(path).resnet.conv1.weight, tensors["conv1.weight"])


def test_names_that_are_no_files() -> None:
    assert isinstance(load("raw"), RawPatches)
    first, again, other = load("random"), load("random"), load("random", seed=1)
    assert isinstance(first, Encoder) and isinstance(again, Encoder) and isinstance(other, Encoder)
    assert same(first, again) and not same(first, other)


@pytest.mark.slow
def test_what_ships_carries_labels_better_than_random_weights_and_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One small scene of textures that nobody saw; benchmarks/crw/encoder.md has ten large ones."""
    world = synthetic.evaluation(height=192, width=336, num_frames=16)
    monkeypatch.setattr(synthetic, "evaluation", lambda **size: world)
    entry, config = scene(Path(), "scene-2"), PropagationConfig(zoom=2.0)
    scores = {
        name: score(entry, load(name), config)["scores"] for name in ("shipped", "random", "raw")
    }
    for kind in ("J&F", "mIoU", "PCK@0.2"):
        baselines = max(scores["random"][kind], scores["raw"][kind])
        assert scores["shipped"][kind] > baselines + 0.02, kind


def test_loading_leaves_global_randomness_alone_and_makes_the_same_head(tmp_path: Path) -> None:
    save_file(made_up(torchvision_resnet18()), tmp_path / "resnet18.safetensors")
    small_encoder().save_pretrained(tmp_path / "ours")
    before = torch.get_rng_state()
    loaded(tmp_path / "ours")
    first = loaded(tmp_path / "resnet18.safetensors")
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert same(loaded(tmp_path / "resnet18.safetensors"), first)


def _without_a_tensor(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n: t for n, t in tensors.items() if n != "layer2.0.conv2.weight"}


def _bottlenecks(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**tensors, "layer1.0.conv1.weight": torch.rand(64, 64, 1, 1)}


def _deeper(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**tensors, "layer2.2.conv1.weight": torch.rand(128, 128, 3, 3)}


def _scalars(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.tensor(1.0) for name in tensors}


def _no_residual_network(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {"features.0.weight": torch.rand(4, 3, 3, 3)}


def _too_wide(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**tensors, "layer3.0.conv1.weight": torch.rand(1_000_000, 1, 1, 1)}


@pytest.mark.parametrize(
    "change",
    [_without_a_tensor, _bottlenecks, _deeper, _scalars, _no_residual_network, _too_wide],
)
def test_another_architecture_is_one_line(change: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file(change(made_up(torchvision_resnet18())), path)
    _assert_one_line(path, "is of another architecture")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_a_truncated_file_is_one_line(name: str, share: float, tmp_path: Path) -> None:
    save: Callable[..., Any] = save_file if name.endswith("safetensors") else torch.save
    save(dict(small_encoder().state_dict()), tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * share)])
    _assert_one_line(tmp_path / name, "corrupt")


def test_a_pickle_that_would_run_code_is_one_line_and_does_not_run(tmp_path: Path) -> None:
    content = {"model": made_up(authors_encoder()), "args": Bomb(tmp_path / "harmed")}
    torch.save(content, tmp_path / "w.pth")
    _assert_one_line(tmp_path / "w.pth", "could run code")
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(
    "config",
    [
        "{",
        "[1]",
        '{"widths": "wide"}',
        '{"widths": [4]}',
        '{"widths": [4, 8, 8], "readout": 4}',
        '{"widths": [-4, 8, 8]}',
        '{"widths": [4, 8, 8], "width": 1e99}',
        '{"widths": [4, 8, 8], "padding_mode": "none"}',
        '{"widths": null}',
        '{"backbone": 3}',
        '{"backbone": {"depth": 3}}',
        '{"backbone": {"widths": [4, 8, 8], "width": 6}, "reader": {"stages": [9]}}',
        '{"backbone": {"widths": [4, 8, 8], "width": 6}, "reader": {"windows": 4}}',
    ],
)
def test_a_folder_with_a_damaged_config_is_one_line(config: str, tmp_path: Path) -> None:
    small_encoder().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(config)
    _assert_one_line(tmp_path, "")


@pytest.mark.parametrize("missing", ["nowhere.pt", "nowhere", ".", "model.safetensors"])
def test_what_is_not_there_is_one_line(missing: str, tmp_path: Path) -> None:
    _assert_one_line(tmp_path / missing, "expected a file")


def test_a_run_without_weights_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(arguments(small_encoder())))
    _assert_one_line(tmp_path, "model.safetensors: expected a file, got nothing of that name")


def _assert_one_line(path: Path, line: str) -> None:
    with pytest.raises(UserError) as caught:
        load(path)
    assert line in str(caught.value) and "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
