import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scalable_binding import plots
from scalable_binding.plots import colors
from scalable_binding.plots.overlay import contours


def test_background_stays_and_objects_get_their_color() -> None:
    frame = torch.full((3, 20, 30), 100, dtype=torch.uint8)
    ids = torch.zeros(20, 30, dtype=torch.uint8)
    ids[4:12, 5:25] = 2
    picture = plots.overlay(frame, ids, alpha=0.5)
    assert (picture[:, ids == 0] == 100).all()
    red, green, blue = ((100 + colors.bright(torch.tensor([2]))[0]) / 2).round().tolist()
    assert green > max(red, blue) > 0, "the palette's green, made lighter"
    assert picture[:, 8, 15].tolist() == [red, green, blue]
    assert (frame == 100).all()


def test_alpha_zero_leaves_only_the_outline() -> None:
    frame = torch.randint(256, (3, 16, 16), dtype=torch.uint8)
    ids = torch.zeros(16, 16, dtype=torch.uint8)
    ids[3:9, 3:9] = 1
    picture = plots.overlay(frame, ids, alpha=0.0)
    changed = (picture != frame).any(0)
    assert (changed <= contours(ids)).all()


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 3))
def test_contours_are_near_another_id(seed: int, width: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, (6, 7), generator=generator, dtype=torch.uint8)
    found = contours(ids, width)
    for y in range(6):
        for x in range(7):
            near = ids[max(0, y - width) : y + width + 1, max(0, x - width) : x + width + 1]
            assert bool(found[y, x]) == bool(ids[y, x] > 0 and (near != ids[y, x]).any())


def test_an_object_that_fills_the_frame_has_no_contour() -> None:
    assert not contours(torch.ones(5, 5, dtype=torch.uint8)).any()


def test_an_empty_mask_changes_nothing() -> None:
    frame = torch.randint(256, (3, 9, 11), dtype=torch.uint8)
    assert torch.equal(plots.overlay(frame, torch.zeros(9, 11, dtype=torch.uint8)), frame)
