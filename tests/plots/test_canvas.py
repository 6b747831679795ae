import math

import pytest
import torch

from scalable_binding.plots import canvas


def ground() -> torch.Tensor:
    return torch.zeros(3, 40, 50)


def test_a_disc_covers_its_area_wherever_it_lies() -> None:
    for shift in (0.0, 0.25, 0.5, 0.9):
        picture = ground()
        canvas.disc(picture, torch.tensor([20 + shift, 18.0]), 8.0, canvas.WHITE)
        assert picture[0].sum() / 255 == pytest.approx(math.pi * 8**2, rel=0.02)


def test_a_line_is_as_wide_and_long_as_asked() -> None:
    picture = ground()
    points = torch.tensor([[10.0, 20.0], [40.0, 20.0]])
    canvas.line(picture, points, 4.0, canvas.WHITE, torch.ones(2))
    assert picture[0, :, 25].sum() / 255 == pytest.approx(4)
    assert picture[0, 20].sum() / 255 == pytest.approx(30 + 4, abs=1.5)


def test_overlapping_pieces_do_not_add_up() -> None:
    picture = ground()
    points = torch.tensor([[10.0, 20.0], [30.0, 20.0], [10.0, 20.0]])
    canvas.line(picture, points, 4.0, canvas.WHITE, torch.full((3,), 0.5))
    assert picture.max() == pytest.approx(127.5)


def test_a_lost_point_interrupts_the_line() -> None:
    picture = ground()
    points = torch.tensor([[5.0, 20.0], [15.0, 20.0], [math.nan, math.nan], [35.0, 20.0]])
    canvas.line(picture, points, 3.0, canvas.WHITE, torch.ones(4))
    assert picture[0, 20, 10] == 255
    assert picture[0, :, 20:30].sum() == 0
    assert picture[0, 20, 35] == 255


@pytest.mark.parametrize("center", [(-30.0, 5.0), (500.0, 5.0), (5.0, -400.0), (5.0, 90.0)])
def test_what_lies_outside_is_cut_off(center: tuple[float, float]) -> None:
    picture = ground()
    canvas.disc(picture, torch.tensor(center), 8.0, canvas.WHITE)
    assert picture.sum() == 0


def test_a_disc_at_the_corner_shows_a_quarter() -> None:
    picture = ground()
    canvas.disc(picture, torch.tensor([-0.5, -0.5]), 8.0, canvas.WHITE)
    assert picture[0].sum() / 255 == pytest.approx(math.pi * 8**2 / 4, rel=0.05)


def test_text_leaves_ink() -> None:
    picture = ground()
    canvas.text(picture, 2.0, 2.0, "walk", 14.0, edge=None)
    assert picture.max() > 200
    assert picture[:, 25:].sum() == 0
