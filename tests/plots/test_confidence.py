import math

import torch

from scalable_binding.plots import confidence


def test_higher_is_lighter_and_unknown_is_gray() -> None:
    frame = torch.full((3, 60, 90), 120, dtype=torch.uint8)
    values = torch.linspace(0, 1, 90).expand(60, 90).clone()
    values[:, :5] = math.nan
    values[:, 5:10] = math.inf
    picture = confidence.draw(frame, values, alpha=1.0).float()
    assert (picture[:, :40, :10] == 120).all()
    brightness = picture[:, 5, 10:].mean(0)
    assert (brightness.diff() >= -1).all()
    assert brightness[-1] > brightness[0] + 150


def test_values_beyond_the_scale_look_like_its_ends() -> None:
    frame = torch.zeros(3, 8, 8, dtype=torch.uint8)
    ends = [confidence.draw(frame, torch.full((8, 8), v), low=2.0, high=4.0) for v in (2.0, 4.0)]
    beyond = [confidence.draw(frame, torch.full((8, 8), v), low=2.0, high=4.0) for v in (-9.0, 9.0)]
    assert torch.equal(torch.stack(ends), torch.stack(beyond))


def test_the_scale_is_drawn_where_there_is_room() -> None:
    for size, has_scale in [(95, False), (96, True)]:
        frame = torch.full((3, size, size), 60, dtype=torch.uint8)
        picture = confidence.draw(frame, torch.full((size, size), math.nan))
        assert bool((picture != 60).any()) == has_scale
