"""PCK, the score of tracked key points, by the protocol used on JHMDB."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from scalable_binding.errors import UserError

BOX_SHARE = 0.6
"""Distances are measured in this share of the diagonal of the person's box."""


def relative_errors(
    predictions: Float[Tensor, "_ _ _"],
    truths: Float[Tensor, "t k 2"],
    visible: Bool[Tensor, "t k"] | None = None,
    diagonals: Float[Tensor, "t k"] | None = None,
) -> Float[Tensor, "t-1 k"]:
    """Distance of every predicted point from the true one over .6 of the box's diagonal.

    Positions are x, y in pixels, `(t k 2)`. Frame 0, whose points are given, is left out. Points
    that are not `visible` are not scored: their entries are NaN. A prediction that is NaN (the
    point was lost) is infinitely far away. `diagonals` are those of the boxes of the things that
    the points sit on; without them, a frame's box is the smallest one around its visible points.

    Raises:
        UserError: predictions and truths differ in shape.

    Source: the evaluation of the thesis' public code (section 3.3.2), after UVC.
    """
    if predictions.shape != truths.shape:
        raise UserError(
            "predicted key points",
            expected=f"shape {tuple(truths.shape)}",
            got=f"shape {tuple(predictions.shape)}",
            fix="give x and y of the same points in the same frames",
        )
    if visible is None:
        visible = torch.ones_like(truths[..., 0], dtype=torch.bool)
    if diagonals is None:
        diagonals = box_diagonals(truths, visible)[:, None].expand(visible.shape)
    distances = torch.linalg.vector_norm(predictions - truths, dim=-1)
    errors = torch.where(distances == 0, 0.0, distances / (BOX_SHARE * diagonals))
    errors = errors.nan_to_num(nan=torch.inf, posinf=torch.inf)
    return errors.masked_fill(~visible, torch.nan)[1:]


def box_diagonals(
    points: Float[Tensor, "t k 2"], visible: Bool[Tensor, "t k"]
) -> Float[Tensor, " t"]:
    """Diagonal in pixels of the smallest box around each frame's visible points; 0 without any."""
    hidden = ~visible[..., None]
    low = points.masked_fill(hidden, torch.inf).amin(1)
    high = points.masked_fill(hidden, -torch.inf).amax(1)
    return torch.linalg.vector_norm((high - low).clamp(min=0), dim=-1)


def pck_per_point(errors: Float[Tensor, "n k"], alpha: float) -> Float[Tensor, " k"]:
    """Share of frames in which each point is right; NaN for a point that is never scored."""
    scored = ~errors.isnan()
    return (errors <= alpha).sum(0).double() / scored.sum(0)


def pck(errors: Float[Tensor, "n k"], alpha: float) -> float:
    """PCK@alpha: mean over points of the share of frames with a relative error up to `alpha`.

    For a data set, concatenate the `relative_errors` of its videos along the frames: each point's
    share is taken over all of them.

    Raises:
        UserError: no point is scored in any frame.

    Source: Yang & Ramanan, PAMI 2013; JHMDB's normalization as in `relative_errors`.
    """
    shares = pck_per_point(errors, alpha)
    if bool(shares.isnan().all()):
        raise UserError("key points to score", expected="a visible point after frame 0", got="none")
    return float(shares.nanmean())
