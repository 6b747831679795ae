"""TAP-Vid's scores of tracked points: position accuracy, occlusion accuracy, average Jaccard."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

THRESHOLDS = (1, 2, 4, 8, 16)
"""Pixels, at 256 x 256."""


def tap_vid(
    found: Float[Tensor, "n t 2"],
    told_visible: Bool[Tensor, "n t"],
    truth: Float[Tensor, "n t 2"],
    visible: Bool[Tensor, "n t"],
    scored: Bool[Tensor, "n t"],
) -> dict[str, float]:
    """Scores of the points of one video.

    - ``occlusion_accuracy``: the share of entries where it is said rightly whether a point is seen.
    - ``within_1`` ... ``within_16``: the share of visible entries found less than so many pixels
      away; ``position_accuracy`` is their mean.
    - ``jaccard_1`` ... ``jaccard_16``: true positives over true positives, false negatives and
      false positives; a true positive is visible, said to be so, and within the threshold.
      ``average_jaccard`` is their mean.

    Args:
        found: x, y in pixels of a frame of 256 x 256.
        told_visible: whether the tracker says that a point is seen.
        truth: true places; those of hidden points do not matter.
        visible: whether a point is truly seen.
        scored: the entries that count: in TAP-Vid's protocol "first", those after the query.

    Source: Doersch et al., TAP-Vid, NeurIPS 2022, ``compute_tapvid_metrics``.
    """
    squared = (found - truth).square().sum(dim=-1)
    seen = visible & scored
    count = float(scored.sum())
    scores = {"occlusion_accuracy": float(((told_visible == visible) & scored).sum()) / count}
    for threshold in THRESHOLDS:
        near = squared < threshold**2
        right = near & seen
        scores[f"within_{threshold}"] = _share(right.sum(), seen.sum())
        false = told_visible & scored & ~(visible & near)
        scores[f"jaccard_{threshold}"] = _share(
            (right & told_visible).sum(), seen.sum() + false.sum()
        )
    for name, kind in (("position_accuracy", "within"), ("average_jaccard", "jaccard")):
        values = [scores[f"{kind}_{threshold}"] for threshold in THRESHOLDS]
        scores[name] = sum(values) / len(values)
    return scores


def _share(part: Tensor, whole: Tensor) -> float:
    return float(part) / float(whole) if whole else float("nan")
