"""Steps of a walk whose rows are kept in windows that move with what is looked for.

At fine scales a table of all pairs of pixels is too large. A walker that leaves a pixel looks only
into a window around the place where a coarser scale expects it, so a step is a table of n rows and
k = (2 radius + 1)^2 columns, whatever the size of the image. Steps can be followed one by another:
mass that leaves a walk's window is lost, so what is left is never more than the true probability,
and exactly that when the windows cover the image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from scalable_binding.walk.local import window_offsets

_ROWS = 128
"""Nodes of a processor's cache that are compared with their windows at once."""

_ROWS_OF_A_GPU = 2**14


@dataclass(frozen=True)
class WindowStep:
    """Where walkers from n places are likely to be, each row in a window of its own.

    Attributes:
        probability: of the places of each window, row by row; at most one in total, nothing
            outside the image.
        center: column and row (x, y) of the middle of each window, in pixels of the image.
        size: height and width of the image that the walkers are in.
    """

    probability: Float[Tensor, "b n k"]
    center: Int64[Tensor, "b n 2"]
    size: tuple[int, int]

    @property
    def radius(self) -> int:
        """Pixels from the middle of a window to its side."""
        return (math.isqrt(self.probability.shape[-1]) - 1) // 2

    def expected_place(self) -> Float[Tensor, "b n 2"]:
        """The mean place (x, y) of each walker, were all its probability within the window."""
        offsets = window_offsets(self.radius, self.center.device)
        return self.center + self.probability @ offsets.to(self.probability)


def grid(size: tuple[int, int], device: torch.device | None = None) -> Int64[Tensor, "n 2"]:
    """Return column and row (x, y) of all pixels of an image, row by row."""
    rows = torch.arange(size[0], device=device)
    columns = torch.arange(size[1], device=device)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=-1)


def window_places(
    center: Int64[Tensor, "b n 2"], radius: int, size: tuple[int, int]
) -> tuple[Int64[Tensor, "b n k"], Bool[Tensor, "b n k"]]:
    """Return which pixel each place of the windows is, counted row by row, and if it is one.

    Places outside the image name the pixel nearest to them.
    """
    places = center[:, :, None] + window_offsets(radius, center.device).long()
    x, y = places.unbind(dim=-1)
    height, width = size
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return y.clamp(0, height - 1) * width + x.clamp(0, width - 1), inside


def window_similarity(
    a: Float[Tensor, "b n d"], b: Float[Tensor, "b m d"], places: Int64[Tensor, "b n k"]
) -> Float[Tensor, "b n k"]:
    """Return the inner products of each node of ``a`` with its own k nodes of ``b``.

    Where no gradient is needed a few rows at a time are compared with all their columns, as many
    as the processor keeps at hand; otherwise the k columns are compared one after the other. No
    table of all features is made.
    """
    a = a.contiguous()
    if torch.is_grad_enabled() and (a.requires_grad or b.requires_grad):
        batch = torch.arange(len(a), device=a.device)[:, None, None]
        table = b.flatten(0, 1).contiguous()
        rows = (places + batch * b.shape[1]).unbind(dim=-1)
        return torch.stack([(a * F.embedding(row, table)).sum(dim=-1) for row in rows], dim=-1)
    result = a.new_empty(*places.shape)
    size = _ROWS if a.device.type == "cpu" else _ROWS_OF_A_GPU
    for own, nodes, table, chosen in zip(result, a, b.contiguous(), places, strict=True):
        for start in range(0, len(nodes), size):
            part = slice(start, start + size)
            found = table.index_select(0, chosen[part].mT.reshape(-1))
            products = found.view(places.shape[-1], -1, a.shape[-1]).mul_(nodes[part])
            own[part] = products.sum(dim=-1).mT
    return result


def window_step(
    a: Float[Tensor, "b n d"],
    b: Float[Tensor, "b m d"],
    center: Int64[Tensor, "b n 2"],
    size: tuple[int, int],
    radius: int,
    temperature: float,
) -> tuple[WindowStep, Float[Tensor, "b n k"]]:
    """Return the step of each node into its window of the next frame, and the similarities in it.

    Rows sum to one; float32 at least. Similarities of places outside the image are -1.

    Args:
        a: features of the nodes that walkers leave, l2-normalized along ``d``.
        b: features of the pixels of the next frame, row by row.
        center: of the windows; one outside the image is moved to the nearest pixel.
        size: height and width of the next frame.
        radius: pixels from the middle of a window to its side; k = (2 radius + 1)^2.
        temperature: divides the similarities.

    Raises:
        ValueError: a radius below zero, or a temperature that is not above it.

    Source: Thesis Eq. 3.1 and 3.6.1.
    """
    if radius < 0:
        raise ValueError(f"radius: expected a whole number of at least 0, got {radius}")
    if not temperature > 0:
        raise ValueError(f"temperature: expected a number above 0, got {temperature}")
    height, width = size
    dtype = torch.promote_types(a.dtype, torch.float32)
    center = torch.stack(
        [center[..., 0].clamp(0, width - 1), center[..., 1].clamp(0, height - 1)], dim=-1
    )
    places, inside = window_places(center, radius, size)
    with torch.autocast(a.device.type, enabled=False):
        similarity = window_similarity(a.to(dtype), b.to(dtype), places)
        logits = (similarity / temperature).masked_fill(~inside, -math.inf)
        step = WindowStep(logits.softmax(dim=-1), center, size)
    return step, similarity.masked_fill(~inside, -1.0)


def follow(
    walk: WindowStep, step: WindowStep, center: Int64[Tensor, "b n 2"] | None = None
) -> WindowStep:
    """Return the walk one step further, kept in windows of the walk's size around ``center``.

    Args:
        walk: from any n places to the image that ``step`` leaves.
        step: from every pixel of that image, row by row.
        center: of the new windows; by default that of the step from the walk's likeliest place.

    Source: Thesis Eq. 3.2, by rows.
    """
    places, _ = window_places(walk.center, walk.radius, walk.size)
    if center is None:
        likeliest = places.gather(-1, walk.probability.argmax(dim=-1, keepdim=True))
        center = step.center.gather(1, likeliest.expand(-1, -1, 2))
    _, inside = window_places(center, walk.radius, step.size)
    offsets = window_offsets(walk.radius, center.device).long()
    reached = [
        (walk.probability * _arrival(step, places, center + offset)).sum(dim=-1)
        for offset in offsets
    ]
    probability = torch.stack(reached, dim=-1).masked_fill(~inside, 0.0)
    return WindowStep(probability, center, step.size)


def arrival_probability(
    walk: WindowStep, step: WindowStep, target: Int64[Tensor, "b n 2"] | Float[Tensor, "b n 2"]
) -> Float[Tensor, "b n"]:
    """Return the probability that each walker, one step further, is at its ``target`` (x, y).

    Args:
        walk: from any n places to the image that ``step`` leaves.
        step: from every pixel of that image, row by row.
        target: a pixel for each walker; its own place, for the way home of a palindrome. A place
            between pixels is shared among the four around it.

    Source: Thesis Eq. 3.4.
    """
    places, _ = window_places(walk.center, walk.radius, walk.size)
    if not target.is_floating_point():
        return (walk.probability * _arrival(step, places, target)).sum(dim=-1)
    return torch.stack(
        [
            share * (walk.probability * _arrival(step, places, pixel)).sum(dim=-1)
            for pixel, share in bilinear_shares(target)
        ]
    ).sum(dim=0)


def bilinear_shares(
    target: Float[Tensor, "b n 2"],
) -> list[tuple[Int64[Tensor, "b n 2"], Float[Tensor, "b n"]]]:
    """Return the four pixels around each place (x, y) and their bilinear shares of it."""
    low = target.floor()
    right, down = (target - low).unbind(dim=-1)
    shares = []
    for x in (0, 1):
        for y in (0, 1):
            pixel = low.long() + torch.tensor([x, y], device=target.device)
            shares.append((pixel, (right if x else 1 - right) * (down if y else 1 - down)))
    return shares


def home_probability(
    forward: WindowStep, backward: WindowStep, starts: Int64[Tensor, " m"] | None = None
) -> Float[Tensor, "b _"]:
    """Return the probability that walkers come home, to within a pixel, there and back.

    Args:
        forward: a step from every pixel of a frame to the next.
        backward: the step from every pixel of that frame back.
        starts: pixels that walkers leave, counted row by row; all of them by default.
    """
    home = grid(backward.size, forward.center.device)
    if starts is not None:
        home = home[starts]
        probability, center = forward.probability[:, starts], forward.center[:, starts]
        forward = WindowStep(probability, center, forward.size)
    around = window_offsets(1, home.device).long()
    parts = [
        arrival_probability(forward, backward, (home + offset).expand_as(forward.center))
        for offset in around
    ]
    return torch.stack(parts).sum(dim=0)


def window_palindromes(
    forward: Sequence[WindowStep],
    backward: Sequence[WindowStep],
    starts: Int64[Tensor, "b n"] | None = None,
    home: Float[Tensor, "b m 2"] | None = None,
) -> list[Float[Tensor, "b n"]]:
    """Return the probabilities of coming home, out along 1, 2, ... steps and back along as many.

    Args:
        forward: steps from each frame to the next, from every pixel.
        backward: steps from each frame but the first to the one before, in the frames' order.
        starts: pixels that walkers leave, counted row by row; all of them by default.
        home: where each pixel of the first frame is in the image that ``backward[0]`` leads to, if
            that is another view of it.

    Source: Thesis Eq. 3.4 and 3.6.1.
    """
    walk = forward[0]
    target: Tensor = grid(backward[0].size, walk.center.device).expand(len(walk.center), -1, -1)
    if home is not None:
        target = home
    if starts is not None:
        target = _rows(target, starts)
        walk = WindowStep(_rows(walk.probability, starts), _rows(walk.center, starts), walk.size)
    returns = [arrival_probability(walk, backward[0], target)]
    for last in range(1, len(forward)):
        walk = follow(walk, forward[last])
        way_back = walk
        for step in reversed(backward[1 : last + 1]):
            way_back = follow(way_back, step)
        returns.append(arrival_probability(way_back, backward[0], target))
    return returns


def _arrival(
    step: WindowStep, places: Int64[Tensor, "b n k"], target: Int64[Tensor, "b n 2"]
) -> Float[Tensor, "b n k"]:
    """Return the probability of the step from each of k places to the row's target."""
    radius, k = step.radius, step.probability.shape[-1]
    x, y = target.unsqueeze(2).unbind(dim=-1)
    center_x, center_y = (axis.gather(1, places.flatten(1)) for axis in step.center.unbind(-1))
    right = x - center_x.view_as(places) + radius
    down = y - center_y.view_as(places) + radius
    within = (right >= 0) & (right < 2 * radius + 1) & (down >= 0) & (down < 2 * radius + 1)
    column = (down * (2 * radius + 1) + right).clamp(0, k - 1)
    entries = (places * k + column).flatten(1)
    found = step.probability.flatten(1).gather(1, entries).view_as(places)
    return found * within


def _rows(table: Tensor, rows: Int64[Tensor, "b n"]) -> Tensor:
    return table.gather(1, rows.unsqueeze(-1).expand(-1, -1, table.shape[-1]))
