"""The dense walk against the obvious loop, and what it should reward."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from reference import dense_walk
from scalable_binding.crw.dense_config import DenseWalkConfig
from scalable_binding.crw.dense_objective import Starts, draw_starts, loss, score, walk_home
from scalable_binding.crw.model import draw

GRID, CONFIG = 3, DenseWalkConfig(starts=5)


def random_clips(b: int = 2, frames: int = 4) -> tuple[Tensor, Tensor, torch.Generator]:
    """Nodes (frames + 1, b, n, d), the last of the home view; windows (b, frames + 1, 4)."""
    generator = torch.Generator().manual_seed(3)
    shape = (frames + 1, b, GRID * GRID, 6)
    nodes = torch.randn(shape, dtype=torch.float64, generator=generator)
    corner = 8 * torch.rand(b, frames + 1, 2, dtype=torch.float64, generator=generator)
    side = 40 + 9 * torch.rand(b, frames + 1, 2, dtype=torch.float64, generator=generator)
    windows = torch.cat([corner, side], dim=2)
    return torch.nn.functional.normalize(nodes, dim=-1), windows, generator


def test_the_loss_equals_the_obvious_loop() -> None:
    nodes, windows, generator = random_clips()
    starts = draw_starts(windows[:, 0], windows[:, -1], GRID, CONFIG.starts, generator)
    walks = walk_home(nodes[:-1], nodes[-1], starts.nodes, CONFIG)
    assert len(walks) == 3
    clips = [list(nodes[:, clip]) for clip in range(2)]
    for hops, walk in enumerate(walks, start=1):
        value, _ = score(walk, starts, GRID * GRID)
        chosen = starts.nodes.tolist()
        expected = dense_walk.mean_loss(clips, windows, chosen, GRID, hops, CONFIG.temperature)
        assert float(value) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("graph", "ends"), [("batch", 2 * GRID * GRID), ("clip", GRID * GRID)])
def test_walkers_are_spread_over_one_graph_or_over_their_own_clip(graph: str, ends: int) -> None:
    nodes, windows, generator = random_clips()
    config = replace(CONFIG, graph=graph)
    starts = draw_starts(windows[:, 0], windows[:, -1], GRID, 4, generator)
    for walk in walk_home(nodes[:-1], nodes[-1], starts.nodes, config):
        assert walk.shape == (2, 4, ends)
        assert torch.allclose(walk.sum(dim=-1), torch.ones(2, 4, dtype=walk.dtype))


def test_a_clip_alone_walks_the_same_in_either_graph() -> None:
    nodes, windows, generator = random_clips(b=1)
    starts = draw_starts(windows[:, 0], windows[:, -1], GRID, 5, generator)
    one, own = (
        walk_home(nodes[:-1], nodes[-1], starts.nodes, replace(CONFIG, graph=graph))
        for graph in ("batch", "clip")
    )
    for a, b in zip(one, own, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(score(a, starts, GRID * GRID)[0], score(b, starts, GRID * GRID)[0])


def test_distinct_nodes_that_stay_come_home() -> None:
    b, n = 2, GRID * GRID
    eye = torch.eye(b * n).view(b, n, b * n)
    window = torch.tensor([[0.0, 0.0, 30.0, 30.0]]).expand(b, 4)
    starts = draw_starts(window, window, GRID, n, torch.Generator())
    for walk in walk_home([eye, eye, eye], eye, starts.nodes, CONFIG):
        value, accuracy = score(walk, starts, n)
        assert float(value) < 1e-5 and float(accuracy) == 1


def test_a_walker_that_ends_in_another_clip_is_not_home() -> None:
    n = GRID * GRID
    walk = torch.zeros(2, 1, 2 * n)
    walk[0, 0, n + 4] = walk[1, 0, n + 4] = 1.0
    four = torch.tensor([4, 4, 4, 4]).expand(2, 1, 4)
    starts = Starts(torch.full((2, 1), 4), four, torch.full((2, 1, 4), 0.25))
    value, accuracy = score(walk, starts, n)
    assert float(accuracy) == 0.5
    assert float(value) == pytest.approx(0.5 * -torch.tensor(1e-20).log().item(), rel=1e-4)


def test_walkers_without_a_way_home_do_not_count() -> None:
    before = torch.tensor([[0.0, 0.0, 30.0, 30.0]])
    after = torch.tensor([[20.0, 0.0, 30.0, 30.0]])
    starts = draw_starts(before, after, GRID, GRID * GRID, torch.Generator())
    counted = starts.weights.sum(dim=2)[0] > 0
    assert starts.nodes[0, counted].tolist() == [6, 7, 8] or set(
        starts.nodes[0, counted].tolist()
    ) == {6, 7, 8}
    walk = torch.full((1, GRID * GRID, GRID * GRID), 1 / 9)
    walk[0, ~counted] = 0.0
    assert float(score(walk, starts, GRID * GRID)[0]) == pytest.approx(2.1972, rel=1e-4)


def test_the_walk_into_the_same_view_needs_no_warp() -> None:
    encoder = draw(0, widths=(4, 8, 8), width=6, padding_mode="reflect")
    generator = torch.Generator().manual_seed(0)
    config = DenseWalkConfig(view=48, pool=2, starts=6, home="same", color=0.2)
    windows = torch.tensor([[[0.0, 0.0, 50.0, 50.0]] * 3 + [[500.0, 0.0, 50.0, 50.0]]] * 2)
    views = torch.randint(0, 255, (2, 4, 3, 48, 48), dtype=torch.uint8, generator=generator)
    batch = {"views": views, "windows": windows}
    value, metrics = loss(encoder, batch, generator, config)
    value.backward()
    assert {"loss_1", "loss_2", "accuracy_1", "accuracy_2"} == metrics.keys()
    assert float(metrics["loss_1"]) > 0
    away, _ = loss(encoder, batch, generator, replace(config, home="another"))
    assert float(away.detach()) == 0  # the home view shows none of the first
