import pytest
import torch

from scalable_binding.errors import UserError
from scalable_binding.plots import grids


def plain(*levels: int, height: int = 5, width: int = 7) -> torch.Tensor:
    return torch.tensor(levels, dtype=torch.uint8)[:, None, None, None].repeat(1, 3, height, width)


def test_pictures_stand_row_by_row_and_what_is_missing_is_ground() -> None:
    picture = grids.grid(plain(10, 20, 30, 40, 50), gap=2)
    assert picture.shape == (3, 2 + 2 * 7, 2 + 3 * 9)
    assert [int(picture[0, y, x]) for y, x in [(2, 2), (2, 11), (6, 28 - 2), (9, 2), (9, 11)]] == [
        10,
        20,
        30,
        40,
        50,
    ]
    assert (picture[:, 9:, 20:] == 255).all() and (picture[:, :2] == 255).all()


def test_columns_can_be_chosen() -> None:
    assert grids.grid(plain(1, 2, 3), columns=3, gap=0).shape == (3, 5, 21)
    with pytest.raises(UserError, match="at least one, got none"):
        grids.grid(plain())


def test_small_pictures_are_enlarged_without_blur() -> None:
    large = grids.enlarge(plain(3, 9), 12)
    assert large.shape == (2, 3, 15, 21)
    assert large[0].unique().tolist() == [3] and large[1].unique().tolist() == [9]
    assert grids.enlarge(large, 12) is not None and grids.enlarge(large, 12).shape == large.shape


def test_names_stand_beside_and_above() -> None:
    pictures = plain(10, 20, 30, 40, height=20, width=30).unflatten(0, (2, 2))
    bare = grids.table(pictures)
    named = grids.table(pictures, rows=["first", "second"], columns=["a", "b"])
    top, left = named.shape[1] - bare.shape[1], named.shape[2] - bare.shape[2]
    assert top > 0 and left > 0
    assert torch.equal(named[:, top:, left:], bare)
    assert (named[:, :top] < 128).any() and (named[:, top:, :left] < 128).any()
    with pytest.raises(UserError, match="names of rows: expected 2, got 1"):
        grids.table(pictures, rows=["one"])


def test_videos_play_side_by_side() -> None:
    one, two = plain(1, 2, 3, height=20, width=30), plain(101, 102, 103, height=20, width=30)
    video = grids.beside([one, two], ["one", "two"])
    assert len(video) == 3
    for frame, level in zip(video, (1, 2, 3), strict=True):
        assert int(frame[0, -10, 10]) == level and int(frame[0, -10, -10]) == 100 + level


def test_pictures_shrink_by_whole_numbers_to_means():
    pictures = torch.arange(0, 240, 10).byte().view(1, 1, 4, 6).expand(2, 3, 4, 6)
    small = grids.shrink(pictures, 3)
    assert small.shape == (2, 3, 2, 3)
    assert small[0, 0].tolist() == [[35, 55, 75], [155, 175, 195]]
    assert grids.shrink(pictures, 6) is pictures
