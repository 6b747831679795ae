"""Scores of one sequence, frame by frame, and of many: masks, parts, key points.

Each of the three kinds takes predictions in the order of the frames (``add``), gives what a score
of the whole data set needs in plain values that JSON holds (``evidence``), and turns the evidence
of any number of sequences into named scores in [0, 1] (``summarize``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional

from scalable_binding.crw.inference import Prediction
from scalable_binding.crw.labels import Labels
from scalable_binding.crw.walk_config import STRIDE
from scalable_binding.data.labels.keypoints import Keypoint
from scalable_binding.errors import UserError
from scalable_binding.metrics import keypoints as point_metrics
from scalable_binding.metrics import segmentation
from scalable_binding.metrics.parts import MeanIoU

Ids = UInt8[Tensor, "h w"]
Result = Ids | list[Keypoint]
Truth = Callable[[int], Ids]
"""The true ids of a frame, by its number."""

ALPHAS = (0.1, 0.2, 0.3, 0.4, 0.5)

OUTSIDE = 1.5 * STRIDE
"""Pixels by which a key point may lie outside the first frame and still be followed."""

_LOST = 1e9
"""Stands for an infinite error, which JSON does not have."""


class MaskScore:
    """J and F of every object in every frame but the first and the last.

    Every object counts once, however many share a sequence.

    Source: the semi-supervised task of the DAVIS 2017 challenge.
    """

    def __init__(self, truth: Truth, num_frames: int) -> None:
        if num_frames < 3:
            raise UserError("frames", expected="at least 3, the ends unscored", got=str(num_frames))
        first = truth(0)
        self.labels: Labels = first.where(first != segmentation.VOID, 0)
        self._ids = range(1, segmentation.num_objects(first) + 1)
        self._truth, self._last = truth, num_frames - 1
        self._region: list[list[float]] = [[] for _ in self._ids]
        self._boundary: list[list[float]] = [[] for _ in self._ids]

    def add(self, prediction: Prediction) -> Ids:
        """Score the next frame's masks, and give them back."""
        if not 0 < prediction.frame < self._last:
            return prediction.labels
        truth = self._truth(prediction.frame)
        _check_size(prediction, truth)
        for label, region, boundary in zip(self._ids, self._region, self._boundary, strict=True):
            pair = prediction.labels == label, truth == label
            region.append(segmentation.region_similarity(*pair))
            boundary.append(segmentation.boundary_accuracy(*pair))
        return prediction.labels

    def evidence(self) -> list[dict[str, Any]]:
        """Each object's id, and J and F in every scored frame."""
        return [
            {"id": label, "J": region, "F": boundary}
            for label, region, boundary in zip(self._ids, self._region, self._boundary, strict=True)
        ]

    @staticmethod
    def summarize(evidence: Sequence[Any]) -> dict[str, float]:
        """J&F, and mean, recall and decay of J and of F, each a mean over objects."""
        objects = [found for sequence in evidence for found in sequence]
        region, boundary = (
            segmentation.average(
                [segmentation.summarize(torch.tensor(found[name]).double()) for found in objects]
            )
            for name in ("J", "F")
        )
        return {
            "J&F": (region.mean + boundary.mean) / 2,
            "J_mean": region.mean,
            "J_recall": region.recall,
            "J_decay": region.decay,
            "F_mean": boundary.mean,
            "F_recall": boundary.recall,
            "F_decay": boundary.decay,
        }


class PartScore:
    """Mean intersection over union of part labels, counted over all frames but the first.

    Args:
        truth: true part ids; ids from ``num_classes`` on are unlabeled pixels.
        num_classes: with background.
        size: height and width of the frames labels go through, where these are not the truth's:
            labels are resized there and back to the nearest pixel.

    Source: the VIP protocol.
    """

    def __init__(self, truth: Truth, num_classes: int, size: tuple[int, int] | None = None) -> None:
        first = truth(0)
        labels = first.where(first < num_classes, 0)
        self.labels: Labels = labels if size is None else resize_ids(labels, size)
        self._truth = truth
        self._iou = MeanIoU(num_classes)

    def add(self, prediction: Prediction) -> Ids:
        """Count the next frame's pixels; the labels at the truth's size."""
        truth = self._truth(prediction.frame)
        height, width = truth.shape
        labels = resize_ids(prediction.labels, (height, width))
        if prediction.frame > 0:
            self._iou.update(labels, truth)
        return labels

    def evidence(self) -> list[list[int]]:
        """Pixels of each true class (row) and predicted class (column)."""
        return list(self._iou.counts.tolist())

    @staticmethod
    def summarize(evidence: Sequence[Any]) -> dict[str, float]:
        """mIoU, from one histogram over all sequences."""
        iou = MeanIoU(len(evidence[0]))
        for counts in evidence:
            iou.counts += torch.tensor(counts)
        return {"mIoU": iou.compute()}


class ScenePartScore(PartScore):
    """The same where every sequence has parts of its own: a mean over sequences."""

    @staticmethod
    def summarize(evidence: Sequence[Any]) -> dict[str, float]:
        """mIoU, a mean over sequences."""
        scores = [PartScore.summarize([counts])["mIoU"] for counts in evidence]
        return {"mIoU": sum(scores) / len(scores)}


class PointScore:
    """PCK of the same points (joints) in every sequence, all frames but the first.

    Points that are not visible in the first frame, or lie further outside it than ``OUTSIDE``, can
    not be followed and are not scored; those a little outside start at the border.

    Args:
        truths: true x, y in pixels of the video.
        size: height and width of the frames labels go through.
        scale: pixels of these frames to one of the video, along x and y.
        visible: whether a point is scored; also the box of a frame is around these points only.
        diagonals: of each point's box, in pixels of the video; None as in JHMDB's protocol.

    Source: the evaluation of the thesis' public code for JHMDB, after UVC.
    """

    def __init__(
        self,
        truths: Float[Tensor, "t k 2"],
        size: tuple[int, int],
        *,
        scale: tuple[float, float] = (1.0, 1.0),
        visible: Bool[Tensor, "t k"] | None = None,
        diagonals: Float[Tensor, "t k"] | None = None,
    ) -> None:
        self._truths, self._diagonals = truths, diagonals
        self._scale = torch.tensor(scale)
        height, width = size
        start = (truths[0] + 0.5) * self._scale - 0.5
        corner = torch.tensor([width - 1.0, height - 1.0])
        near = ((start >= -OUTSIDE) & (start <= corner + OUTSIDE)).all(dim=-1)
        if visible is None:
            visible = torch.ones_like(truths[..., 0], dtype=torch.bool)
        self._visible = visible & near & visible[0]
        start = start.clamp(min=torch.zeros(2), max=corner)
        self.labels: Labels = [
            Keypoint(frame=0, id=number, x=float(start[number, 0]), y=float(start[number, 1]))
            for number in self._visible[0].nonzero().flatten().tolist()
        ]
        self._predictions = torch.full_like(truths, torch.nan)

    def add(self, prediction: Prediction) -> list[Keypoint]:
        """Take the next frame's points; one without confidence is lost, infinitely far away."""
        placed = []
        for point in prediction.keypoints:
            place = (torch.tensor([point.x, point.y]) + 0.5) / self._scale - 0.5
            placed.append(replace(point, x=float(place[0]), y=float(place[1])))
            if point.confidence > 0:
                self._predictions[prediction.frame, point.id] = place
        return placed

    def evidence(self) -> list[list[float | None]]:
        """The relative error of every point (column) in every frame (row); None is unscored."""
        errors = point_metrics.relative_errors(
            self._predictions, self._truths, self._visible, self._diagonals
        )
        rows = errors.nan_to_num(nan=-1.0, posinf=_LOST).tolist()
        return [[None if error < 0 else error for error in row] for row in rows]

    @staticmethod
    def summarize(evidence: Sequence[Any]) -> dict[str, float]:
        """PCK@.1 to PCK@.5: of each point over all frames of all sequences, then the mean."""
        errors = torch.cat([_to_errors(rows) for rows in evidence])
        return {f"PCK@{alpha}": point_metrics.pck(errors, alpha) for alpha in ALPHAS}


class ScenePointScore(PointScore):
    """The same where every sequence has points of its own: a mean over all of them."""

    @staticmethod
    def summarize(evidence: Sequence[Any]) -> dict[str, float]:
        """PCK@.1 and PCK@.2, a mean over points."""
        shares = {
            alpha: torch.cat(
                [point_metrics.pck_per_point(_to_errors(rows), alpha) for rows in evidence]
            )
            for alpha in ALPHAS[:2]
        }
        return {f"PCK@{alpha}": float(share.nanmean()) for alpha, share in shares.items()}


Score = MaskScore | PartScore | PointScore
"""How well one kind of labels went through one sequence."""


def resize_ids(ids: Ids, size: tuple[int, int]) -> UInt8[Tensor, "h2 w2"]:
    """The ids at another height and width, each from the nearest pixel."""
    if tuple(ids.shape) == size:
        return ids
    return functional.interpolate(ids[None, None], size, mode="nearest-exact")[0, 0]


def _to_errors(rows: list[list[float | None]]) -> Float[Tensor, "n k"]:
    return torch.tensor([[torch.nan if error is None else error for error in row] for row in rows])


def _check_size(prediction: Prediction, truth: Ids) -> None:
    if prediction.labels.shape != truth.shape:
        expected, got = (f"{h} x {w} pixels" for h, w in (prediction.labels.shape, truth.shape))
        raise UserError(f"annotation of frame {prediction.frame}", expected=expected, got=got)
