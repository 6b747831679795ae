import math

import torch

from scalable_binding.plots import colors, keypoints


def test_a_dot_has_the_color_of_its_id_and_the_frame_stays() -> None:
    frame = torch.full((3, 60, 80), 90, dtype=torch.uint8)
    picture = keypoints.draw(frame, torch.tensor([[40.0, 30.0]]), torch.tensor([5]), radius=4.0)
    ink = colors.bright(torch.tensor([5]))[0].round()
    assert picture[:, 30, 40].tolist() == ink.tolist()
    assert (picture[:, 0, 0] == 90).all()
    assert (frame == 90).all()


def test_less_confidence_is_fainter() -> None:
    frame = torch.zeros(3, 60, 80, dtype=torch.uint8)
    points = torch.tensor([[20.0, 30.0], [60.0, 30.0]])
    picture = keypoints.draw(
        frame, points, torch.tensor([1, 1]), confidence=torch.tensor([1.0, 0.2])
    )
    assert picture[0, 30, 20] > picture[0, 30, 60] > 0


def test_the_trail_fades_into_the_past() -> None:
    frame = torch.zeros(3, 60, 120, dtype=torch.uint8)
    trail = torch.stack([torch.linspace(10, 100, 10), torch.full((10,), 30.0)], dim=-1)[:, None]
    picture = keypoints.draw(frame, torch.tensor([[110.0, 30.0]]), trail=trail)
    along = picture[0, 30, [25, 55, 85]].tolist()
    assert 0 < along[0] < along[1] < along[2]


def test_lost_points_and_points_outside_are_not_drawn() -> None:
    frame = torch.full((3, 30, 30), 7, dtype=torch.uint8)
    points = torch.tensor([[math.nan, math.nan], [-100.0, 4.0], [4.0, math.inf]])
    trail = points.expand(3, 3, 2)
    assert torch.equal(keypoints.draw(frame, points, trail=trail), frame)
    assert torch.equal(keypoints.draw(frame, torch.zeros(0, 2)), frame)
