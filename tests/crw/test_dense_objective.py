import pytest
import torch

from reference import dense_walk
from scalable_binding.crw.dense_config import DenseWalkConfig
from scalable_binding.crw.dense_objective import draw_starts, score, walk_home

GRID, CONFIG = 3, DenseWalkConfig(starts=5)


def _batch(dtype=torch.float64, *, b=2, frames=4):
    generator = torch.Generator().manual_seed(3)
    nodes = torch.randn(frames + 1, b, GRID * GRID, 6, dtype=dtype, generator=generator)
    corner = 8 * torch.rand(b, frames + 1, 2, dtype=dtype, generator=generator)
    side = 40 + 9 * torch.rand(b, frames + 1, 2, dtype=dtype, generator=generator)
    windows = torch.cat([corner, side], dim=2)
    return torch.nn.functional.normalize(nodes, dim=-1), windows, generator


def test_the_loss_equals_the_obvious_loop():
    nodes, windows, generator = _batch()
    starts = draw_starts(windows[:, 0], windows[:, -1], GRID, CONFIG.starts, generator)

    walks = walk_home(nodes[:-1], nodes[-1], starts.nodes, CONFIG)

    clips = [list(nodes[:, clip]) for clip in range(2)]
    for hops, walk in enumerate(walks, start=1):
        value, _ = score(walk, starts, GRID * GRID)
        expected = dense_walk.mean_loss(
            clips, windows, starts.nodes.tolist(), GRID, hops, CONFIG.temperature
        )
        assert float(value) == pytest.approx(expected, rel=1e-9)
    assert len(walks) == 3
