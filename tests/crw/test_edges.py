"""Masks that follow the picture's edges: the guided filter, and what it does to soft maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from reference.guided_filter import guided_filter
from scalable_binding.crw import edges, labels
from scalable_binding.crw.labels import LabelSpace


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_fit_is_the_guided_filter_of_the_paper() -> None:
    guide = torch.rand(3, 9, 12, generator=seeded(), dtype=torch.float64)
    maps = torch.rand(2, 9, 12, generator=seeded(1), dtype=torch.float64)
    slopes, offsets = edges.fit(guide, maps)
    found = torch.einsum("cihw,ihw->chw", slopes, guide) + offsets
    for number in range(2):
        expected = guided_filter(
            guide.permute(1, 2, 0).numpy(), maps[number].numpy(), edges.RADIUS, edges.EPSILON
        )
        np.testing.assert_allclose(found[number].numpy(), expected, atol=1e-10)


@pytest.mark.parametrize("size", [(64, 96), (61, 90)])
def test_boxes_around_objects_lose_nothing(size: tuple[int, int]) -> None:
    """As if every map were enlarged over the whole frame."""
    frame = torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=seeded())
    maps = torch.zeros(4, 8, 12)
    maps[1, 2:4, 3:5], maps[2, 0, 0], maps[3, 7, 9:] = 0.7, 1.0, 0.4
    maps[0] = 1 - maps[1:].sum(0)
    found = edges.sharpen(maps, frame)
    grid = (-(-size[0] // 4), -(-size[1] // 4))
    colors = frame.float() / 255
    guide = functional.interpolate(colors[None], grid, mode="area")[0]
    coarse = functional.interpolate(maps[None], grid, mode="bilinear")[0]
    slopes, offsets = edges.fit(guide, coarse)
    slopes = functional.interpolate(slopes, size, mode="bilinear")
    offsets = functional.interpolate(offsets[None], size, mode="bilinear")[0]
    whole = (slopes * colors).sum(1) + offsets
    torch.testing.assert_close(found[1:], whole[1:].clamp(0, 1), atol=1e-5, rtol=0)
    torch.testing.assert_close(found[0], whole[0].clamp(0, 1), atol=1e-4, rtol=0)


def test_a_mask_snaps_to_an_edge_that_cells_do_not_see() -> None:
    """A bright square whose sides lie within cells comes back to the pixel; without, it is off."""
    truth = torch.zeros(96, 128, dtype=torch.uint8)
    truth[21:67, 35:90] = 3
    noise = torch.randint(0, 30, (3, 96, 128), generator=seeded())
    frame = (60 + noise + 120 * (truth > 0)).byte()
    space = LabelSpace((3,), are_points=False)
    maps = labels.encode(truth, space, 96, 128)
    wrong = {}
    for name, guide in (("cells", None), ("edges", frame)):
        ids, scores = labels.decode_masks(maps, space, 96, 128, guide)
        assert scores.min() >= 0 and scores.max() <= 1
        wrong[name] = int((ids != truth).sum())
    assert wrong["cells"] > 100 and wrong["edges"] < 0.3 * wrong["cells"]


def test_flat_pictures_change_little() -> None:
    """Where colors tell nothing, maps stay as smooth as they are."""
    maps = torch.rand(2, 12, 16, generator=seeded())
    maps = functional.avg_pool2d(maps[None], 5, stride=1, padding=2)[0].softmax(0)
    frame = torch.full((3, 96, 128), 90, dtype=torch.uint8)
    plain = functional.interpolate(maps[None], (96, 128), mode="bilinear")[0]
    assert (edges.sharpen(maps, frame) - plain).abs().max() < 0.05


def test_empty_maps_stay_empty() -> None:
    maps = torch.zeros(3, 4, 4)
    maps[0] = 1
    frame = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8, generator=seeded())
    found = edges.sharpen(maps, frame)
    assert found[1:].abs().max() == 0 and found[0].min() == 1
