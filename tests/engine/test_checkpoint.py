import argparse
import json
import pickle
import shutil
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from engine.toy import Points, config, loss, net
from scalable_binding.checksums import SUMS
from scalable_binding.engine import checkpoint
from scalable_binding.engine.checkpoint import load_model, read_tensors, save_tensors
from scalable_binding.engine.fit import fit
from scalable_binding.engine.log import LOG, read_log
from scalable_binding.errors import UserError


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self.target,)


def same(a: nn.Module, b: nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return all(torch.equal(first[name], second[name]) for name in second)


def test_weights_come_back(tmp_path: Path) -> None:
    saved, loaded = net(1), net(2)
    save_tensors(saved.state_dict(), tmp_path / "weights.safetensors", step=3)
    load_model(loaded, tmp_path / "weights.safetensors")
    assert same(loaded, saved)
    assert [file.name for file in tmp_path.iterdir()] == ["weights.safetensors"]


def test_a_run_folder_gives_its_averaged_weights(tmp_path: Path) -> None:
    averaged = fit(net(), loss, Points(), config(), tmp_path)
    loaded = net(1)
    load_model(loaded, tmp_path)
    assert same(loaded, averaged)


def test_tied_weights_come_back(tmp_path: Path) -> None:
    def tied() -> nn.Module:
        model = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
        model["b"].weight = model["a"].weight
        return model

    averaged = fit(tied(), _tied_loss, Points(), config(steps=3), tmp_path)
    loaded = tied()
    load_model(loaded, tmp_path)
    assert same(loaded, averaged)


def _tied_loss(model: Any, batch: dict[str, torch.Tensor], generator: torch.Generator) -> Any:
    return model["b"](model["a"](batch["y"])).square().mean(), {}


@pytest.mark.parametrize("key", ["state_dict", "model", None])
def test_torch_files_are_read_without_running_them(key: str | None, tmp_path: Path) -> None:
    weights = net(1).state_dict()
    content = weights if key is None else {key: weights, "epoch": 3}
    torch.save(content, tmp_path / "weights.pt")
    loaded = net(2)
    load_model(loaded, tmp_path / "weights.pt")
    assert same(loaded, net(1))


def test_saved_arguments_beside_the_weights_do_no_harm(tmp_path: Path) -> None:
    content = {"model": net().state_dict(), "args": argparse.Namespace(lr=1.0)}
    torch.save(content, tmp_path / "weights.pth")
    assert read_tensors(tmp_path / "weights.pth").keys() == net().state_dict().keys()


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_runs_code_is_refused(legacy: bool, tmp_path: Path) -> None:
    path, target = tmp_path / "weights.pt", tmp_path / "harmed"
    content = {"state_dict": net().state_dict(), "extra": Bomb(target)}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UserError, match="could run code") as caught:
        read_tensors(path)
    assert not target.exists()
    assert "\n" not in str(caught.value)


def test_a_plain_pickle_is_refused(tmp_path: Path) -> None:
    path, target = tmp_path / "weights.pkl", tmp_path / "harmed"
    path.write_bytes(pickle.dumps(Bomb(target)))
    with pytest.raises(UserError, match="corrupt"):
        read_tensors(path)
    assert not target.exists()


def huge_header() -> bytes:
    return struct.pack("<Q", 2**60) + b"{}"


def overlapping_tensors() -> bytes:
    entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    header = json.dumps({"a": entry, "b": entry}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(16)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"PK\x03\x04", b"\x80\x02.", bytes(64), huge_header(), overlapping_tensors()],
)
def test_garbage_ends_in_one_line(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(UserError, match="weights") as caught:
        load_model(net(), path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_file_ends_in_one_line(share: float, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    save = save_file if suffix == ".safetensors" else torch.save
    save(net().state_dict(), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UserError, match="corrupt") as caught:
        load_model(net(), path)
    assert "\n" not in str(caught.value)


def test_files_are_bounded_before_and_after_unpacking(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"zeros": torch.zeros(1 << 18)}, path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    assert path.stat().st_size < 10_000
    with pytest.raises(UserError, match=r"expected at most 100000 bytes, got .* unpacked"):
        read_tensors(path, max_bytes=100_000)
    with pytest.raises(UserError, match="expected at most 100 bytes"):
        read_tensors(path, max_bytes=100)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.safetensors: expected a file"):
        load_model(net(), tmp_path / "none.safetensors")


def without_head(weights: dict[str, Any]) -> None:
    del weights["head.weight"], weights["head.bias"]


def with_tail(weights: dict[str, Any]) -> None:
    weights["tail.weight"] = torch.zeros(1)


def wider(weights: dict[str, Any]) -> None:
    weights["stem.weight"] = torch.zeros(7, 9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_head, "expected tensor 'head.weight', got none of that name"),
        (with_tail, "got unexpected 'tail.weight'"),
        (wider, r"stem.weight: expected shape \(7, 6\), got \(7, 9\)"),
    ],
)
def test_another_architecture_names_the_first_difference(
    change: Any, message: str, tmp_path: Path
) -> None:
    weights = net(1).state_dict()
    change(weights)
    save_file(weights, tmp_path / "weights.safetensors")
    model = net(2)
    with pytest.raises(UserError, match=f"another architecture.*{message}"):
        load_model(model, tmp_path / "weights.safetensors")
    assert same(model, net(2)), "nothing was loaded"


def test_a_run_of_another_architecture_is_not_resumed(tmp_path: Path) -> None:
    fit(net(), loss, Points(), config(), tmp_path)
    with pytest.raises(UserError, match=r"another architecture.*unexpected 'ema\.norm\."):
        fit(net(norm="layer"), loss, Points(), config(), tmp_path)


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty folder"])
def test_a_damaged_state_ends_in_one_line(damage: str, tmp_path: Path) -> None:
    fit(net(), loss, Points(), config(), tmp_path)
    shutil.rmtree(tmp_path / checkpoint.STATE / "step-0")
    (file,) = (tmp_path / checkpoint.STATE).rglob("*.safetensors")
    data = file.read_bytes()
    if damage == "empty folder":
        file.unlink()
    else:
        file.write_bytes(data[: len(data) // 2] if damage == "cut" else bytes(200))
    with pytest.raises(UserError) as caught:
        fit(net(), loss, Points(), config(steps=20), tmp_path)
    assert "\n" not in str(caught.value) and "step-12" in str(caught.value)


def test_no_pickle_lies_in_a_run_folder(tmp_path: Path) -> None:
    fit(net(), loss, Points(), config(), tmp_path)
    files = [file for file in tmp_path.rglob("*") if file.is_file() and file.name != SUMS]
    assert {file.suffix for file in files} == {".json", ".jsonl", ".safetensors"}


def flip(file: Path, place: int) -> None:
    """Another value in one byte, counted from the end: among the values, not in the header."""
    data = bytearray(file.read_bytes())
    data[-place] ^= 0x10
    file.write_bytes(data)


@pytest.mark.parametrize("place", [1, 6, 40])
def test_a_flipped_value_in_the_weights_is_found(place: int, tmp_path: Path) -> None:
    fit(net(), loss, Points(), config(), tmp_path)
    flip(tmp_path / checkpoint.WEIGHTS, place)
    with pytest.raises(UserError, match="damaged: it differs from its checksum"):
        checkpoint.load_model(net(), tmp_path)


def test_a_flipped_value_in_the_state_takes_the_checkpoint_before(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    fit(net(), loss, Points(), config(save_every=4, steps=20), whole)
    fit(net(), loss, Points(), config(save_every=4), broken)
    assert sorted(checkpoint._steps(broken)) == [8, 12]
    (file,) = (broken / checkpoint.STATE / "step-12").glob("*.safetensors")
    flip(file, 5)
    with pytest.warns(UserWarning, match=r"step-12.* differs from its checksum.*before it is"):
        fit(net(), loss, Points(), config(save_every=4, steps=20), broken)
    (found,) = (broken / checkpoint.STATE / "step-20").glob("*.safetensors")
    (expected,) = (whole / checkpoint.STATE / "step-20").glob("*.safetensors")
    tensors, others = load_file(found), load_file(expected)
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in others)
    steps = [line["step"] for line in read_log(broken)]
    assert steps == sorted(set(steps))


def test_a_run_whose_states_are_all_damaged_is_refused(tmp_path: Path) -> None:
    fit(net(), loss, Points(), config(), tmp_path)
    for file in (tmp_path / checkpoint.STATE).rglob("*.safetensors"):
        flip(file, 5)
    with (
        pytest.warns(UserWarning, match="differs from its checksum"),
        pytest.raises(UserError, match="start again in another folder"),
    ):
        fit(net(), loss, Points(), config(steps=20), tmp_path)


def test_a_log_with_foreign_bytes_cut_and_doubled_lines_is_read_as_far_as_it_goes(
    tmp_path: Path,
) -> None:
    fit(net(), loss, Points(), config(steps=4, log_every=1), tmp_path)
    path = tmp_path / LOG
    lines = path.read_bytes().splitlines()
    deep = b"[" * 100_000
    damaged = [lines[0], lines[0], b"\xff\x00\xfe", lines[1][:9], lines[1], b'{"step": true}', deep]
    path.write_bytes(b"\n".join([*damaged, *lines[2:]]))
    fit(net(), loss, Points(), config(steps=6, log_every=1), tmp_path)
    assert [line["step"] for line in read_log(tmp_path)] == [1, 2, 3, 4, 5, 6]
