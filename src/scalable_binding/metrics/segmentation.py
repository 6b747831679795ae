"""J and F, the scores of video object segmentation, by the protocol of the DAVIS 2017 challenge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional

from scalable_binding.errors import UserError

BOUNDARY_TOLERANCE = 0.008
"""How far apart matching boundaries may lie, as a share of the image's diagonal."""

VOID = 255
"""The id of unlabeled pixels in DAVIS' annotations; it counts as background."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Mean, recall (share of frames above .5) and decay (first minus last quarter) of a score."""

    mean: float
    recall: float
    decay: float


@dataclass(frozen=True, kw_only=True)
class ObjectScore:
    """J and F of one object in every scored frame, both in [0, 1]."""

    id: int
    region: Float[Tensor, " t"]
    boundary: Float[Tensor, " t"]

    @property
    def region_summary(self) -> Summary:
        """Mean, recall and decay of J."""
        return summarize(self.region)

    @property
    def boundary_summary(self) -> Summary:
        """Mean, recall and decay of F."""
        return summarize(self.boundary)

    @property
    def region_and_boundary(self) -> float:
        """J&F: the mean of the object's mean J and mean F."""
        return (self.region_summary.mean + self.boundary_summary.mean) / 2


def region_similarity(prediction: Bool[Tensor, "h w"], truth: Bool[Tensor, "h w"]) -> float:
    """J: intersection over union of two masks, in [0, 1]; two empty masks agree, 1.

    Source: Perazzi et al., CVPR 2016, section 5.1.
    """
    union = int((prediction | truth).sum())
    return int((prediction & truth).sum()) / union if union else 1.0


def boundary_accuracy(
    prediction: Bool[Tensor, "h w"],
    truth: Bool[Tensor, "h w"],
    tolerance: float = BOUNDARY_TOLERANCE,
) -> float:
    """F: harmonic mean of the boundaries' precision and recall, in [0, 1].

    A boundary pixel is right when the other boundary passes within a disc around it, whose radius
    in pixels is `tolerance` times the image's diagonal, rounded up. Without a predicted boundary
    nothing predicted is wrong (precision 1), without a true one nothing was missed (recall 1).

    Source: Perazzi et al., CVPR 2016, section 5.1; same result as the official routine, which
    dilates both boundaries.
    """
    radius = math.ceil(tolerance * math.hypot(*truth.shape))
    predicted, true = boundary(prediction), boundary(truth)
    precision = _share_near(predicted, true, radius)
    recall = _share_near(true, predicted, radius)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def boundary(mask: Bool[Tensor, "h w"]) -> Bool[Tensor, "h w"]:
    """Pixels that differ from their right, lower or lower right neighbor.

    The line is one pixel wide and lies half a pixel toward the origin from the true edge. The
    image's own border is no edge.

    Source: D. Martin's `seg2bmap`, which the DAVIS evaluation uses.
    """
    padded = functional.pad(mask[None, None].byte(), (0, 1, 0, 1), mode="replicate")[0, 0].bool()
    right, below, diagonal = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    return (mask ^ right) | (mask ^ below) | (mask ^ diagonal)


def _share_near(pixels: Bool[Tensor, "h w"], targets: Bool[Tensor, "h w"], radius: int) -> float:
    """Share of `pixels` with a target in the disc of `radius` around them; 1 when there are none.

    A disc is a stack of horizontal runs, and a run holds a target exactly when the running count
    of targets differs between its two ends: two look-ups per run of each pixel, and no dilation.
    """
    rows, columns = pixels.nonzero(as_tuple=True)
    if len(rows) == 0:
        return 1.0
    padded = functional.pad(targets, (radius, radius, radius, radius))
    counts = functional.pad(padded.flatten().cumsum(0, dtype=torch.int32), (1, 0))
    centers = (rows + radius) * padded.shape[1] + columns + radius
    near = torch.zeros_like(centers, dtype=torch.bool)
    for offset in range(-radius, radius + 1):
        half = math.isqrt(radius**2 - offset**2)
        middle = centers + offset * padded.shape[1]
        near |= counts[middle + half + 1] > counts[middle - half]
    return int(near.sum()) / len(rows)


def summarize(values: Float[Tensor, " t"]) -> Summary:
    """Mean, recall and decay of one object's score along a video.

    The four quarters share their end frames, as in the official code; that code keeps the ends in
    eight bits, which is wrong above 255 frames and is not copied.

    Source: Perazzi et al., CVPR 2016, section 5.1; `db_statistics` of the DAVIS evaluation.
    """
    if len(values) == 0:
        raise UserError("scores of a video", expected="at least one frame", got="none")
    values = values.double()
    ends = _quarters(len(values))
    first, last = values[ends[0] : ends[1] + 1], values[ends[3] : ends[4] + 1]
    return Summary(
        mean=float(values.mean()),
        recall=float((values > 0.5).double().mean()),
        decay=float(first.mean() - last.mean()),
    )


def _quarters(num_frames: int) -> list[int]:
    """The five frames at which quarters begin and end, halves rounded up."""
    return [math.floor(quarter * (num_frames - 1) / 4 + 0.5) for quarter in range(5)]


def average(summaries: Sequence[Summary]) -> Summary:
    """Each statistic's mean over objects: a data set's score counts objects, not videos."""
    if not summaries:
        raise UserError("scores of a data set", expected="at least one object", got="none")
    count = len(summaries)
    return Summary(
        mean=sum(summary.mean for summary in summaries) / count,
        recall=sum(summary.recall for summary in summaries) / count,
        decay=sum(summary.decay for summary in summaries) / count,
    )


def score_sequence(
    predictions: UInt8[Tensor, "_ _ _"], truths: UInt8[Tensor, "t h w"]
) -> list[ObjectScore]:
    """J and F of every object in every frame but the first, which is given, and the last.

    Both arguments hold object ids, 0 for background, `(t h w)`. The objects are 1 to the largest id
    in the first true frame; ids that only appear later, or only in the prediction, are not scored.

    Raises:
        UserError: sizes differ, there is no frame to score, or the first true frame is empty.

    Source: the semi-supervised task of the DAVIS 2017 challenge.
    """
    if predictions.shape != truths.shape:
        raise UserError("predicted masks", expected=_size(truths), got=_size(predictions))
    if len(truths) < 3:
        raise UserError(
            "a video to score",
            expected="at least 3 frames, as the first and the last are skipped",
            got=str(len(truths)),
        )
    return [
        _score_object(predictions[1:-1], truths[1:-1], object_id)
        for object_id in range(1, num_objects(truths[0]) + 1)
    ]


def num_objects(ids: UInt8[Tensor, "h w"]) -> int:
    """The number of objects to score: the largest id in the first true mask.

    Raises:
        UserError: the mask is empty, or holds nothing but the id of unlabeled pixels.
    """
    if not bool(ids.any()):
        raise UserError("the first true mask", expected="at least one object", got="none")
    known = ids[ids != VOID]
    if not bool(known.any()):
        raise UserError(
            "the first true mask",
            expected="objects numbered from 1",
            got=f"only 0 and {VOID}, which means unlabeled",
            fix=f"replace {VOID} by 1 if it is the object",
        )
    return int(known.max())


def _score_object(
    predictions: UInt8[Tensor, "t h w"], truths: UInt8[Tensor, "t h w"], object_id: int
) -> ObjectScore:
    pairs = list(zip(predictions == object_id, truths == object_id, strict=True))
    return ObjectScore(
        id=object_id,
        region=torch.tensor([region_similarity(*pair) for pair in pairs], dtype=torch.float64),
        boundary=torch.tensor([boundary_accuracy(*pair) for pair in pairs], dtype=torch.float64),
    )


def _size(masks: UInt8[Tensor, "_ _ _"]) -> str:
    num_frames, height, width = masks.shape
    return f"{num_frames} frames of {height} x {width} pixels"
