"""Which feature network is chosen, and what is refused."""

import hashlib
import shutil

import pytest
import torch

from rin import untrained
from scalable_binding.data.datasets import digits
from scalable_binding.errors import UserError
from scalable_binding.metrics.i3d import I3D
from scalable_binding.metrics.inception_v3 import InceptionV3
from scalable_binding.rin import features


@pytest.fixture
def folder(tmp_path):
    """A feature network of our own for color images."""
    return untrained.features(tmp_path)


def test_digits_are_told_apart_by_the_network_that_ships():
    found = features.choose(None, (8, 8), 1)
    images, labels = digits.load("held_out")
    assert found is not None and not found.is_standard and "not the standard" in found.note
    extracted = found(images)
    assert extracted.features.shape == (397, 64) and found.width == 64
    assert (extracted.logits.argmax(dim=1) == labels).float().mean() >= 0.98


def test_nothing_ships_for_other_images():
    assert features.choose(None, (32, 32), 3) is None
    assert features.choose(None, (16, 16), 1) is None


def test_a_folder_of_ones_own(folder):
    found = features.choose(folder, (20, 30), 3)
    assert found.name == "mine" and not found.is_standard and found.width == 6
    gray, colored = torch.zeros(2, 1, 20, 30).byte(), torch.zeros(2, 3, 20, 30).byte()
    assert torch.equal(found(gray).features, found(colored).features)
    assert found.fingerprint == features.choose(folder, (8, 8), 3).fingerprint


def test_what_does_not_fit_is_told(folder, tmp_path):
    with pytest.raises(UserError, match="images of 3 channels: got 1 channels of 6 x 8 x 8"):
        features.choose(folder, (6, 8, 8), 1)
    with pytest.raises(UserError, match="images of 3 channels: got 2 channels"):
        features.choose(folder, (8, 8), 2)
    with pytest.raises(UserError, match="got nothing of that name"):
        features.choose(tmp_path / "missing.pth", (8, 8), 3)
    shutil.copy(folder / "model.safetensors", tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="another architecture"):
        features.choose(tmp_path / "other.safetensors", (8, 8), 3)


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("[]", "a JSON object"),
        ("{", "cannot be read"),
        ('{"kind": "code"}', "kind: expected images or moving digits"),
        ('{"kind": "images"}', "does not describe a network"),
        ('{"kind": "images", "arguments": {"channels": -1, "num_classes": 2}}', "describe"),
        ('{"kind": "moving digits", "arguments": {}}', "another architecture"),
    ],
)
def test_damaged_cards_are_told(folder, card, message):
    (folder / "card.json").write_text(card)
    with pytest.raises(UserError, match=message):
        features.load(folder)


def test_a_folder_without_a_card_is_told(folder):
    (folder / "card.json").unlink()
    with pytest.raises(UserError, match=r"a card.json in it, got none"):
        features.load(folder)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_files_of_inception_are_read_but_never_run(tmp_path, monkeypatch):
    network = InceptionV3()
    tensors = {
        n: t for n, t in network.state_dict().items() if not n.endswith("num_batches_tracked")
    }
    torch.save(tensors, tmp_path / "inception.pth")
    found = features.choose(tmp_path / "inception.pth", (8, 8), 1)
    assert found.width == 2048 and not found.network.training
    assert not found.is_standard and "another checksum" in found.note
    checksum = hashlib.sha256((tmp_path / "inception.pth").read_bytes()).hexdigest()
    monkeypatch.setattr(features, "STANDARD_SHA256", checksum)
    assert features.load(tmp_path / "inception.pth").is_standard
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "script.pt")
    with pytest.raises(UserError):
        features.choose(tmp_path / "script.pt", (8, 8), 3)


@pytest.mark.slow
def test_files_of_i3d_are_for_videos(tmp_path):
    tensors = {n: t for n, t in I3D().state_dict().items() if not n.endswith("batches_tracked")}
    torch.save(tensors, tmp_path / "i3d.pt")
    found = features.choose(tmp_path / "i3d.pt", (9, 32, 32), 1)
    assert found.width == 400 and not found.is_standard and "same file" in found.note
    assert found(torch.zeros(1, 1, 9, 32, 32).byte()).features.shape == (1, 400)
    with pytest.raises(UserError, match=r"i3d\.pt is for videos of 3 channels: got"):
        features.choose(tmp_path / "i3d.pt", (32, 32), 3)
    del tensors["logits.conv3d.bias"]
    torch.save(tensors, tmp_path / "part.pt")
    with pytest.raises(UserError, match="another architecture"):
        features.choose(tmp_path / "part.pt", (9, 32, 32), 3)
