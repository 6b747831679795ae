"""Kept samples: read back, never those of other settings."""

import pytest
import torch

from scalable_binding.errors import UserError
from scalable_binding.rin.inference import Batch
from scalable_binding.rin.sample_store import SampleStore


@pytest.fixture
def batch():
    return Batch(64, torch.randint(0, 256, (3, 1, 4, 4)).byte(), torch.tensor([1, -1, 2]))


def test_what_is_kept_is_found_again(batch, tmp_path):
    SampleStore(tmp_path / "a", {"seed": 0, "interval": (0.0, 1.0)}).save(batch)
    again = SampleStore(tmp_path / "a", {"seed": 0, "interval": (0.0, 1.0)})
    found = again.load(64, 3)
    assert torch.equal(found.samples, batch.samples) and torch.equal(found.classes, batch.classes)
    assert again.load(64, 4) is None and again.load(0, 3) is None


def test_without_a_folder_nothing_is_kept(batch):
    store = SampleStore(None, {})
    store.save(batch)
    assert store.load(64, 3) is None


def test_samples_of_other_settings_are_refused(tmp_path):
    SampleStore(tmp_path, {"seed": 0, "steps": 3})
    with pytest.raises(UserError, match="holds samples with other steps"):
        SampleStore(tmp_path, {"seed": 0, "steps": 4})


def test_damaged_files_are_told(batch, tmp_path):
    store = SampleStore(tmp_path, {})
    store.save(batch)
    (path,) = (tmp_path / "samples").iterdir()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="delete it"):
        store.load(64, 3)
    for text in ("{", "[]"):
        (tmp_path / "evaluation.json").write_text(text)
        with pytest.raises(UserError, match=r"evaluation.json"):
            SampleStore(tmp_path, {})
