"""Patches and moved views show what they say they show, and targets are where the content went."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from reference import views as reference
from scalable_binding.crw import views
from scalable_binding.crw.walk_config import PatchConfig, ViewConfig
from scalable_binding.errors import UserError

STILL = {
    "frame_scale": (1.0, 1.0),
    "frame_ratio": (1.0, 1.0),
    "jitter_scale": (1.0, 1.0),
    "jitter_ratio": (1.0, 1.0),
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=seeded(seed))


def places(height: int, width: int) -> Tensor:
    """A frame whose red is the column and whose green is the row of each pixel."""
    frame = torch.zeros(3, height, width, dtype=torch.uint8)
    frame[0] = torch.arange(width, dtype=torch.uint8)
    frame[1] = torch.arange(height, dtype=torch.uint8)[:, None]
    return frame


def test_resampling_equals_the_loop_over_pixels() -> None:
    frames = noise(2, 3, 21, 34)
    boxes = torch.tensor([[[0.0, 0.0, 21.0, 34.0], [3.2, 5.7, 9.1, 12.3], [14.5, 30.0, 8.0, 8.0]]])
    found = views.resample(frames, boxes.expand(2, -1, -1), 6)
    for b in range(2):
        for n in range(3):
            expected = reference.cut(frames[b], boxes[0, n].tolist(), 6) / 255
            torch.testing.assert_close(found[b, n].double(), expected, atol=1e-5, rtol=0)


def test_still_patches_are_slices_of_the_frame() -> None:
    frames = noise(2, 3, 64, 64)
    config = PatchConfig(frame_size=64, size=16, stride=8)
    cut = views.still_patches(frames, config)
    assert cut.shape == (2, 49, 3, 16, 16)
    for n in range(49):
        top, left = 8 * (n // 7), 8 * (n % 7)
        expected = frames[:, :, top : top + 16, left : left + 16] / 255
        torch.testing.assert_close(cut[:, n], expected, atol=1e-4, rtol=0)


def test_patches_of_large_frames_do_not_alias() -> None:
    stripes = (torch.arange(256) % 2 * 255).to(torch.uint8).expand(1, 2, 3, 256, -1)
    config = PatchConfig(frame_size=64, size=16, stride=8, **STILL)
    assert views.patches(stripes, config, seeded()).std() < 0.05
    assert views.still_patches(stripes[0], config).std() < 0.05


def test_the_thesis_cuts_seven_by_seven_patches_of_64_pixels() -> None:
    cut = views.patches(noise(1, 2, 3, 256, 256), PatchConfig(), seeded())
    assert cut.shape == (1, 2, 49, 3, 64, 64)


def test_without_jitter_patches_are_the_still_ones_and_frames_alike_have_nodes_alike() -> None:
    config = PatchConfig(frame_size=64, size=32, stride=16, **STILL)
    frame = noise(3, 48, 48)
    cut = views.patches(frame.expand(2, 3, -1, -1, -1), config, seeded())
    still = views.still_patches(frame.unsqueeze(0), config)[0]
    torch.testing.assert_close(cut, still.expand(2, 3, -1, -1, -1, -1), atol=1e-5, rtol=0)


def test_every_frame_of_a_clip_has_its_own_crop() -> None:
    frame = places(64, 64)
    crops_only = STILL | {"frame_scale": (0.5, 0.8), "frame_ratio": (0.7, 1.3)}
    config = PatchConfig(frame_size=64, size=32, stride=16, **crops_only)
    cut = views.patches(frame.expand(2, 3, -1, -1, -1), config, seeded())
    corners = (cut[:, :, 0, :2].mean(dim=(-2, -1)) * 255).flatten(0, 1)
    assert len(torch.unique(corners.round(decimals=3), dim=0)) == 6


def test_jitter_stays_inside_its_patch_and_moves_each_by_itself() -> None:
    frame = places(64, 64)
    jitter_only = STILL | {"jitter_scale": (0.5, 0.9), "jitter_ratio": (0.7, 1.3)}
    config = PatchConfig(frame_size=64, size=32, stride=16, **jitter_only)
    cut = views.patches(frame.expand(4, 2, -1, -1, -1), config, seeded()) * 255
    still = views.still_patches(frame.unsqueeze(0), config)[0] * 255
    for n in range(9):
        for channel in (0, 1):
            # The outer edges of a patch's pixels are half a pixel beyond their centers.
            low, high = still[n, channel].amin() - 0.5, still[n, channel].amax() + 0.5
            assert low <= cut[:, :, n, channel].amin()
            assert cut[:, :, n, channel].amax() <= high
    shifts = (cut - still)[..., :2, :, :].mean(dim=(-2, -1)).flatten(0, 2)
    assert len(torch.unique(shifts.round(decimals=3), dim=0)) == 4 * 2 * 9


def test_random_crops_have_the_area_and_the_aspect_asked_for() -> None:
    box = torch.tensor([10.0, 20.0, 100.0, 100.0]).expand(2000, 4)
    top, left, height, width = views.random_crops(box, (0.4, 0.6), (0.8, 1.25), seeded()).T
    share, aspect = height * width / 1e4, width / height
    assert 0.4 <= share.min() < 0.41 and 0.59 < share.max() <= 0.6 + 1e-6
    assert 0.8 - 1e-6 <= aspect.min() < 0.81 and 1.24 < aspect.max() <= 1.25 + 1e-6
    assert abs(aspect.log().mean()) < 0.01
    assert top.min() >= 10 and left.min() >= 20
    assert (top + height).max() <= 110 + 1e-3 and (left + width).max() <= 120 + 1e-3


def test_a_crop_that_does_not_fit_is_as_large_as_the_box() -> None:
    box = torch.tensor([0.0, 0.0, 10.0, 100.0])
    assert views.random_crops(box, (1.0, 1.0), (1.0, 1.0), seeded())[2] == 10.0


def test_cells_lie_where_the_loop_says() -> None:
    boxes = 4 * torch.rand(40, 4, generator=seeded()) + torch.tensor([0.0, 0.0, 6.0, 6.0])
    found = views.cells_in_other_view(boxes[:20], boxes[20:], 5)
    for b in range(20):
        before, after = boxes[b].tolist(), boxes[20 + b].tolist()
        expected = [reference.cell_in_other_box(cell, before, after, 5) for cell in range(25)]
        assert found[b].tolist() == expected
    assert (found == -1).any() and (found >= 0).any()


def test_targets_are_the_cells_that_show_the_same_place() -> None:
    """Colors tell each pixel's place, so the last view itself says where a place has gone."""
    config = ViewConfig(size=64, shift=24.0, scale=0.2, color=0.0)
    clips = places(150, 170).expand(6, 2, -1, -1, -1)
    shown, boxes = views.moved_views(clips, config, seeded())
    targets = views.cells_in_other_view(boxes[:, 0], boxes[:, -1], 8)
    assert shown.shape == (6, 3, 3, 64, 64) and targets.shape == (6, 64)
    means = torch.nn.functional.avg_pool2d(shown.flatten(0, 1)[:, :2] * 255, 8)
    first, last = means.unflatten(0, (6, 3)).flatten(-2)[:, [0, -1]].unbind(dim=1)
    for b in range(6):
        side = last[b, 0, 1] - last[b, 0, 0]
        low, high = last[b].amin(dim=1) - side / 2, last[b].amax(dim=1) + side / 2
        for cell, target in enumerate(targets[b].tolist()):
            place = first[b, :, cell]
            if target == -1:
                assert ((place < low + 0.1) | (place > high - 0.1)).any()
            else:
                assert ((place - last[b, :, target]).abs() <= side / 2 + 0.1).all()
    assert (targets == -1).any() and (targets >= 0).float().mean() > 0.3


def test_views_that_do_not_move_are_all_alike_and_lead_home() -> None:
    config = ViewConfig(size=32, shift=0.0, scale=0.0, color=0.0)
    shown, boxes = views.moved_views(noise(3, 48, 40).expand(2, 3, -1, -1, -1), config, seeded())
    targets = views.cells_in_other_view(boxes[:, 0], boxes[:, -1], 4)
    assert torch.equal(shown, shown[:1, :1].expand_as(shown))
    assert torch.equal(targets, torch.arange(16).expand(2, 16))


@pytest.mark.parametrize("size", [(64, 64), (64, 90), (77, 65)])
def test_views_stay_inside_the_frame(size: tuple[int, int]) -> None:
    config = ViewConfig(size=64, shift=100.0, scale=1.0, color=0.0)
    shown, _ = views.moved_views(places(*size).expand(8, 2, -1, -1, -1), config, seeded())
    # Outside, the border would be repeated: two neighboring columns or rows would be alike.
    assert shown[:, :, 0].diff(dim=-1).amin() > 0
    assert shown[:, :, 1].diff(dim=-2).amin() > 0


def test_frames_smaller_than_a_view_are_refused() -> None:
    clip = noise(1, 2, 3, 64, 40)
    with pytest.raises(UserError, match=r"expected frames of at least 64 x 64 .*, got 64 x 40"):
        views.moved_views(clip, ViewConfig(size=64), seeded())


def test_draws_are_a_function_of_the_generator() -> None:
    clip, config = noise(2, 2, 3, 80, 80), ViewConfig(size=32)
    first, again, other = (views.moved_views(clip, config, seeded(s))[0] for s in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    first, again, other = (
        views.patches(clip, PatchConfig(frame_size=64, size=32), seeded(s)) for s in (3, 3, 4)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_colors_change_within_their_range_and_differ_between_images() -> None:
    image = noise(3, 16, 16).div(255).expand(64, -1, -1, -1)
    assert views.change_colors(image, 0.0, seeded()) is image
    changed = views.change_colors(image, 0.5, seeded())
    assert changed.min() >= 0 and changed.max() <= 1
    assert len(torch.unique(changed.mean(dim=(1, 2, 3)))) == 64
    gray = (changed == changed[:, :1]).flatten(1).all(dim=1)
    assert 0 < gray.sum() < 32
