import math

import torch

from scalable_binding.data.synthetic import geometry


def _points(count: int = 50) -> torch.Tensor:
    return torch.randn(count, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_affine_scales_then_rotates_then_moves():
    matrix = geometry.affine(
        torch.tensor([5.0, -1.0], dtype=torch.float64),
        torch.tensor(math.pi / 2, dtype=torch.float64),
        torch.tensor([2.0, 3.0], dtype=torch.float64),
    )
    x, y = geometry.apply(matrix, (torch.tensor(1.0), torch.tensor(1.0)))
    torch.testing.assert_close(torch.stack((x, y)), torch.tensor([5.0 - 3.0, -1.0 + 2.0]))
    assert math.isclose(geometry.magnification(matrix).item(), math.sqrt(6))


def test_both_ways_to_apply_agree():
    points = _points()
    matrices = torch.eye(3, dtype=torch.float64) + 0.1 * torch.arange(18).double().reshape(2, 3, 3)
    together = geometry.apply_each(matrices, points.expand(2, -1, -1))
    for matrix, expected in zip(matrices, together, strict=True):
        x, y = geometry.apply(matrix, (points[:, 0], points[:, 1]))
        torch.testing.assert_close(torch.stack((x, y), dim=-1), expected)


def test_rows_and_columns_broadcast_to_all_pixels():
    matrix = torch.eye(3, dtype=torch.float64)
    x, y = geometry.apply(matrix, (torch.arange(4.0)[None, :], torch.arange(3.0)[:, None]))
    assert x.shape == y.shape == (3, 4)


def test_waves_bend_and_straighten_exactly():
    draws = _points(6)
    wavevector = draws[:3]
    shift = 0.3 * torch.stack((-wavevector[:, 1], wavevector[:, 0]), dim=-1)
    waves = geometry.Waves(wavevector, shift, rate=draws[3:, 0], phase=draws[3:, 1])
    points = _points()
    phases = waves.phases(torch.tensor([2.5], dtype=torch.float64))[0]
    bent = waves.bend((points[:, 0], points[:, 1]), phases)
    assert (bent[0] - points[:, 0]).abs().max() > 0.05
    back = torch.stack(waves.straighten(bent, phases), dim=-1)
    torch.testing.assert_close(back, points, rtol=0, atol=1e-12)
