import pytest
import torch

from scalable_binding.errors import UserError
from scalable_binding.plots import attention


def peaked(*places: int, rows: int = 4, columns: int = 4) -> torch.Tensor:
    """Maps with all attention on one token each."""
    maps = torch.zeros(len(places), rows * columns)
    maps[torch.arange(len(places)), list(places)] = 1
    return maps.unflatten(1, (rows, columns))


def test_light_falls_on_the_token_attended_to() -> None:
    pictures = torch.full((2, 3, 80, 80), 100, dtype=torch.uint8)
    maps = torch.stack([peaked(0, 15), peaked(5, 10)])
    drawn = attention.draw(pictures, maps, labels=["t 1", "t 0"])
    left, top = drawn.shape[2] - 2 * 84, drawn.shape[1] - 3 * 84
    for step, tokens in enumerate([(0, 15), (5, 10)]):
        for block, token in enumerate(tokens):
            y, x = top + (block + 1) * 84, left + step * 84
            light = drawn[:, y : y + 80, x : x + 80].float().mean(0)
            means = light.unfold(0, 20, 20).unfold(1, 20, 20).mean((-1, -2))
            assert int(means.argmax()) == token


def test_every_frame_of_a_token_is_lit() -> None:
    frames = torch.full((4, 3, 80, 80), 100, dtype=torch.uint8)
    maps = torch.zeros(1, 2, 4, 4)
    maps[0, 1, 0, 0] = 1
    drawn = attention.draw_video(frames, maps)
    corner = drawn[:, :, -80:-70, -80:-70].float().mean((1, 2, 3))
    assert corner[2] == corner[3] > corner[0] + 50 and corner[0] == corner[1]


def test_small_pictures_become_large_enough_to_see() -> None:
    drawn = attention.draw(
        torch.zeros(3, 3, 8, 8, dtype=torch.uint8), torch.full((3, 2, 4, 4), 1 / 16), labels="abc"
    )
    assert min(drawn.shape[1:]) >= 3 * 72


def test_what_does_not_fit_is_refused() -> None:
    pictures = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(UserError, match="expected 2, got 1"):
        attention.draw(pictures, peaked(0)[None], labels=["a", "b"])
    with pytest.raises(UserError, match="a multiple of 3, got 2"):
        attention.draw_video(pictures, torch.zeros(1, 3, 2, 2))
