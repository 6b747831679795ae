import numpy as np
import pytest
import torch
from PIL import Image

from scalable_binding.data.synthetic import patterns, textures
from scalable_binding.data.synthetic.config import WorldConfig
from scalable_binding.errors import UserError


def test_photographs_come_from_installed_packages():
    pytest.importorskip("skimage")
    pictures = textures.bank(True, "all", None)
    assert len(pictures) >= 16
    assert all(picture[0].min() >= 0 and picture[0].max() <= 1 for picture in pictures)


@pytest.mark.parametrize("photographs", [True, False])
def test_held_out_textures_are_never_trained_on(photographs):
    everything = textures.bank(photographs, "all", None)
    train = textures.bank(photographs, "train", None)
    held_out = textures.bank(photographs, "held_out", None)
    assert len(train) + len(held_out) == len(everything)
    assert len(held_out) >= 4
    sums = {picture[0].double().sum().item() for picture in train}
    assert sums.isdisjoint(picture[0].double().sum().item() for picture in held_out)


def test_without_the_extra_patterns_take_their_place(monkeypatch):
    monkeypatch.setattr(textures.importlib.util, "find_spec", lambda name: None)
    textures._photograph_bank.cache_clear()
    try:
        with pytest.warns(UserWarning, match="photos"):
            pictures = textures.bank(True, "all", None)
    finally:
        textures._photograph_bank.cache_clear()
    assert len(pictures) == len(textures.bank(False, "all", None))


def test_own_images(tmp_path):
    for index in range(4):
        (tmp_path / "sub").mkdir(exist_ok=True)
        gray = np.full((40, 50), 60 * index, dtype=np.uint8)
        Image.fromarray(gray).save(tmp_path / "sub" / f"{index}.png")
    pictures = textures.bank(True, "all", str(tmp_path))
    assert [picture[0].shape for picture in pictures] == [(3, 40, 50)] * 4
    assert len(textures.bank(True, "held_out", str(tmp_path))) == 1


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(UserError, match="at least 4 images, got 0"):
        textures.bank(True, "all", str(tmp_path / "nowhere"))


def test_an_unreadable_image_is_named(tmp_path):
    for index in range(4):
        (tmp_path / f"{index}.jpg").write_bytes(b"not an image")
    with pytest.raises(UserError, match=r"0\.jpg"):
        textures.bank(True, "all", str(tmp_path))


@pytest.mark.parametrize("scale", [20.0, 120.0, 1500.0])
def test_textures_cover_surfaces_of_any_size(scale):
    config = WorldConfig()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        texture = textures.draw(rng, config, extent=(1.0, 2.0), scale=scale, magnified=1.5)
        grid = torch.linspace(-3, 3, 40)
        color = texture.color((grid[None, :].expand(40, 40), grid[:, None].expand(40, 40)), scale)
        assert color.shape == (3, 40, 40)
        assert color.min() >= 0 and color.max() <= 1


@pytest.mark.parametrize(
    "kind",
    ["fractal", "marble", "stripes", "checks", "cells", "cracks", "blobs", "strokes"],
)
def test_patterns_fill_their_range(kind):
    field = getattr(patterns, kind)(np.random.default_rng(0))
    assert field.shape == (patterns.SIDE, patterns.SIDE)
    assert field.min() >= -1e-6 and field.max() <= 1 + 1e-6
    assert field.std() > 0.05
