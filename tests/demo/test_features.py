"""Features before and after training, as pictures."""

from pathlib import Path

import pytest
import torch

from scalable_binding.data.frames import images
from scalable_binding.demo import DemoConfig
from scalable_binding.demo.context import Context
from scalable_binding.demo.crw import features


def test_cells_of_one_kind_have_one_color_in_all_frames() -> None:
    generator = torch.Generator().manual_seed(0)
    kinds = torch.randn(4, 16, generator=generator)
    layout = torch.tensor([[[0, 1], [2, 3]], [[3, 2], [1, 0]]])
    maps = [kinds[grid].permute(2, 0, 1) for grid in layout]
    first, second = features.pca_colors(maps, (2, 2))
    assert (first == second.flip(1).flip(2)).all()
    assert len(first.flatten(1).unique(dim=1).T) == 4


@pytest.mark.slow
def test_the_section_shows_both_networks(tmp_path: Path) -> None:
    section = features.show(Context(DemoConfig(), tmp_path))
    picture = images.read(tmp_path / "features.jpg")
    assert section.name == "features"
    assert picture.shape[1] > 3 * 360
    height = picture.shape[1] // 3
    before, after = (picture[:, row * height :][:, :height].float() for row in (1, 2))
    assert (before - after).abs().mean() > 20
