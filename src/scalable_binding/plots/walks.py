"""Where walkers that start from nodes of the first frame go along a clip."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional

from scalable_binding.errors import UserError
from scalable_binding.plots import canvas, colors

_GAP = 6
_GROUND = 255.0
_UNLIT = 0.35
_TINT = 0.35


def draw(
    frames: UInt8[Tensor, "t 3 h w"],
    transitions: Sequence[Float[Tensor, "n n"]],
    grid: tuple[int, int],
    nodes: Int64[Tensor, " k"] | None = None,
    *,
    inset: float = 0.0,
    labels: Sequence[str] | None = None,
) -> UInt8[Tensor, "3 height width"]:
    """A table of pictures: one row for each walker, one column for each frame it visits.

    A frame is lit where the walker is, in proportion to the square root of its probability, and
    dark gray elsewhere. Its first node is boxed, the likeliest node of each later frame is dotted,
    and the corner tells that node's probability. For a palindrome give the frames there and back.

    Args:
        frames: the clip, as seen by the walkers.
        transitions: t - 1 matrices whose row i says where a walker at node i goes next.
        grid: rows and columns of the nodes, which are numbered row by row.
        nodes: where walkers start; by default four that are spread over the grid.
        inset: distance in pixels between the frame's edge and the grid's: (patch - stride) / 2
            for patches, 0 for the cells of a feature map.
        labels: a heading for each frame; by default its number.

    Raises:
        UserError: the numbers of frames, matrices and nodes do not fit together.
    """
    _check(frames, transitions, grid)
    if nodes is None:
        nodes = _spread(grid)
    if labels is None:
        labels = [f"frame {index}" for index in range(len(frames))]
    inks = colors.bright(torch.arange(1, len(nodes) + 1))
    rows = [
        _draw_walker(frames, probabilities, _Grid(*grid, inset, *frames.shape[2:]), ink)
        for probabilities, ink in zip(_follow(transitions, nodes), inks, strict=True)
    ]
    return _lay_out(torch.stack(rows), labels)


class _Grid(NamedTuple):
    """Where in a frame the nodes lie; all lengths in pixels."""

    rows: int
    columns: int
    inset: float
    height: int
    width: int

    def box(self, node: int) -> tuple[float, float, float, float]:
        """The corners x0, y0, x1, y1 of a node's cell."""
        row, column = divmod(node, self.columns)
        cell_width = (self.width - 2 * self.inset) / self.columns
        cell_height = (self.height - 2 * self.inset) / self.rows
        x, y = self.inset + column * cell_width - 0.5, self.inset + row * cell_height - 0.5
        return x, y, x + cell_width, y + cell_height

    def center(self, node: int) -> Float[Tensor, 2]:
        """The middle x, y of a node's cell."""
        x0, y0, x1, y1 = self.box(node)
        return torch.tensor([(x0 + x1) / 2, (y0 + y1) / 2])

    def light(self, probabilities: Float[Tensor, " n"]) -> Float[Tensor, "h w"]:
        """Brightness of every pixel: 1 at the likeliest node, smooth between the nodes."""
        shares = probabilities / probabilities.amax().clamp(min=1e-12)
        y = ((torch.arange(self.height) + 0.5) * 2 - self.height) / (self.height - 2 * self.inset)
        x = ((torch.arange(self.width) + 0.5) * 2 - self.width) / (self.width - 2 * self.inset)
        light = functional.grid_sample(
            shares.sqrt().reshape(1, 1, self.rows, self.columns),
            torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None],
            mode="bicubic",
            align_corners=False,
        )
        return light[0, 0].clamp(0, 1)


def _draw_walker(
    frames: UInt8[Tensor, "t 3 h w"],
    probabilities: Float[Tensor, "t n"],
    grid: _Grid,
    ink: Float[Tensor, 3],
) -> UInt8[Tensor, "t 3 h w"]:
    start = int(probabilities[0].argmax())
    panels = [_draw_start(frames[0], grid.box(start), ink)]
    for frame, shares in zip(frames[1:], probabilities[1:], strict=True):
        likeliest = int(shares.argmax())
        peak = grid.center(likeliest)
        panels.append(_draw_visit(frame, grid.light(shares), peak, float(shares.amax()), ink))
    return torch.stack(panels)


def _check(
    frames: UInt8[Tensor, "t 3 h w"],
    transitions: Sequence[Float[Tensor, "n n"]],
    grid: tuple[int, int],
) -> None:
    if len(transitions) != len(frames) - 1:
        raise UserError(
            "matrices of a walk",
            expected=f"{len(frames) - 1} for {len(frames)} frames",
            got=str(len(transitions)),
        )
    num_nodes = grid[0] * grid[1]
    if any(len(matrix) != num_nodes for matrix in transitions):
        raise UserError(
            "matrices of a walk",
            expected=f"{num_nodes} nodes for a grid of {grid[0]} x {grid[1]}",
            got=str(len(transitions[0])),
        )


def _spread(grid: tuple[int, int]) -> Int64[Tensor, " k"]:
    """Four nodes, one in the middle of each quarter of the grid (fewer if they coincide)."""
    rows, columns = ([size // 4, (3 * size) // 4] for size in grid)
    return torch.tensor([row * grid[1] + column for row in rows for column in columns]).unique()


def _follow(
    transitions: Sequence[Float[Tensor, "n n"]], nodes: Int64[Tensor, " k"]
) -> Float[Tensor, "k t n"]:
    """Probability of every node at every step, for each walker."""
    num_nodes = len(transitions[0]) if transitions else int(nodes.amax()) + 1
    visits = [functional.one_hot(nodes, num_nodes).float()]
    for matrix in transitions:
        visits.append(visits[-1] @ matrix.float())
    return torch.stack(visits, dim=1)


def _draw_start(
    frame: UInt8[Tensor, "3 h w"], box: tuple[float, float, float, float], ink: Float[Tensor, 3]
) -> UInt8[Tensor, "3 h w"]:
    picture = canvas.start(frame)
    stroke = _stroke(frame)
    canvas.box(picture, box, 2.4 * stroke, canvas.BLACK)
    canvas.box(picture, box, 1.4 * stroke, ink)
    return canvas.finish(picture)


def _draw_visit(
    frame: UInt8[Tensor, "3 h w"],
    light: Float[Tensor, "h w"],
    peak: Float[Tensor, 2],
    probability: float,
    ink: Float[Tensor, 3],
) -> UInt8[Tensor, "3 h w"]:
    height, width = frame.shape[1:]
    lit = frame.float().lerp(ink[:, None, None].expand(frame.shape), _TINT)
    picture = (_UNLIT * canvas.gray(frame)).lerp(lit, light)
    radius = 1.7 * _stroke(frame)
    canvas.disc(picture, peak, 1.8 * radius, canvas.BLACK, 0.5)
    canvas.disc(picture, peak, 1.5 * radius, canvas.WHITE)
    canvas.disc(picture, peak, radius, ink)
    size = _text_size(height)
    canvas.text(
        picture, width - size / 2, height - size / 2, f"{probability:.2g}", size, anchor="rb"
    )
    return canvas.finish(picture)


def _stroke(frame: UInt8[Tensor, "3 h w"]) -> float:
    return max(1.5, min(frame.shape[1:]) / 120)


def _text_size(height: int) -> float:
    return max(10.0, height / 14)


def _lay_out(
    panels: UInt8[Tensor, "k t 3 h w"], labels: Sequence[str]
) -> UInt8[Tensor, "3 height width"]:
    num_rows, num_columns, _, height, width = panels.shape
    size = _text_size(height)
    top = round(1.8 * size)
    picture = torch.full(
        (3, top + num_rows * (height + _GAP), num_columns * (width + _GAP) + _GAP), _GROUND
    )
    corners = itertools.product(
        range(top, picture.shape[1], height + _GAP), range(_GAP, picture.shape[2], width + _GAP)
    )
    for (y, x), panel in zip(corners, panels.flatten(0, 1), strict=True):
        picture[:, y : y + height, x : x + width] = panel
    for column, label in enumerate(labels):
        middle = _GAP + column * (width + _GAP) + width / 2
        canvas.text(picture, middle, top / 2, label, size, canvas.BLACK, edge=None, anchor="mm")
    return canvas.finish(picture)
