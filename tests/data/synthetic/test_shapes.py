import numpy as np
import pytest
import torch

from scalable_binding.data.synthetic import shapes


def _shape(seed: int, roughness: float = 0.1) -> shapes.Shape:
    return shapes.draw(
        np.random.default_rng(seed), radii=(1.0, 0.6), roughness=roughness, resolution=64
    )


@pytest.mark.parametrize("seed", range(8))
def test_contour_is_where_the_distance_is_zero(seed):
    shape = _shape(seed).moved(0.4)
    x, y = shape.contour.unbind(-1)
    assert shape.distance((x, y)).abs().max() < 0.03
    cx = shape.center[0]
    inner, outer = (cx + 0.9 * (x - cx), 0.9 * y), (cx + 1.1 * (x - cx), 1.1 * y)
    assert (shape.distance(inner) > 0).all()
    assert (shape.distance(outer) < 0).all()


def test_distance_of_a_smooth_outline_is_a_length():
    drawn = (_shape(seed, 0.0) for seed in range(50))
    ellipse = next(s for s in drawn if _near(s.edge(0.0), 1) and _near(s.edge(np.pi / 4), 0.5**0.5))
    for x, expected in ((0.9, 0.1), (1.0, 0.0), (1.1, -0.1)):
        point = (torch.tensor([x]), torch.tensor([0.0]))
        assert abs(ellipse.distance(point).item() - expected) < 0.01


def _near(point: tuple[float, float], x: float) -> bool:
    return abs(point[0] - x) < 1e-6


def test_far_away_is_outside():
    far = (torch.tensor([50.0, -50.0]), torch.tensor([0.0, 90.0]))
    assert (_shape(3).distance(far) < -0.05).all()


def test_edge_lies_on_the_contour():
    shape = _shape(1)
    assert shape.edge(0.0)[0] > 0
    assert shape.edge(np.pi)[0] < 0
    assert abs(shape.edge(2 * np.pi)[0] - shape.edge(0.0)[0]) < 1e-12
