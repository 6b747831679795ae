"""The models that ship are registered and undamaged; damage is found when one loads."""

import shutil
from pathlib import Path

import pytest
from huggingface_hub.utils import filter_repo_objects

from benchmarks.shipping import shipped_files
from scalable_binding import checksums, weights
from scalable_binding.carml import inference as carml
from scalable_binding.crw import inference as crw
from scalable_binding.errors import UserError
from scalable_binding.flow import inference as flow
from scalable_binding.permanence import inference as permanence
from scalable_binding.rin import features
from scalable_binding.rin import inference as rin

FOLDERS = {
    (system, name): weights.folder(system, name)
    for system, known in weights.SHIPPED.items()
    for name in known
}
LOAD = {
    "crw": crw.load,
    "flow": flow.load,
    "permanence": permanence.load,
    "rin": rin.load,
    "features": features.load,
    "carml": carml.load,
}


def test_every_folder_is_registered() -> None:
    folders = {path for path in weights.ROOT.iterdir() if (path / "model.safetensors").is_file()}
    assert folders == set(FOLDERS.values())


@pytest.mark.parametrize("folder", FOLDERS.values(), ids=lambda folder: folder.name)
def test_what_ships_is_as_its_checksums_say(folder: Path) -> None:
    # After a file is changed on purpose: python -m benchmarks.shipping
    sums = checksums.read_checksums(folder)
    assert {folder / name for name in sums} == set(shipped_files(folder))
    checksums.verify_folder(folder)
    assert weights.card(folder)["name"]


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
@pytest.mark.parametrize("system", [name for name in LOAD if name != "features"])
def test_a_changed_byte_is_found_when_it_loads(system: str, file: str, tmp_path: Path) -> None:
    name = weights.names(system)[0]
    folder = tmp_path / "model"
    shutil.copytree(weights.folder(system, name), folder)
    data = bytearray((folder / file).read_bytes())
    data[-3] ^= 1
    (folder / file).write_bytes(data)
    with pytest.raises(UserError, match=f"{file} is damaged: it differs from its checksum"):
        LOAD[system](folder)
    (folder / file).unlink()
    with pytest.raises(UserError):
        LOAD[system](folder)


def test_names_win_over_paths_and_paths_stay_what_they_are() -> None:
    assert weights.find("rin", "digits") == weights.folder("rin", "digits")
    assert weights.find("rin", "runs/mine") == Path("runs/mine")
    assert carml.load("maze").state_dict().keys()


def test_what_is_not_installed_and_not_on_the_hub_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **options: object) -> None:
        patterns = options["allow_patterns"]
        assert isinstance(patterns, list) and not any("py" in name for name in patterns)
        raise ConnectionError("no route to host")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(UserError, match=r"cannot get hf://user/model: no route to host; check"):
        weights.find("crw", "hf://user/model")
    monkeypatch.setattr(weights, "ROOT", tmp_path)
    with pytest.raises(UserError, match="this installation holds no rin model 'digits'"):
        weights.find("rin", "digits")


@pytest.mark.parametrize("folder", FOLDERS.values(), ids=lambda folder: folder.name)
def test_the_hub_gives_every_file_that_ships_and_no_code(folder: Path) -> None:
    files = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    allowed = weights._PATTERNS
    found = filter_repo_objects([*files, "model.py", "oracle/model.py"], allow_patterns=allowed)
    assert set(found) == {name for name in files if not name.endswith("README.md")}
