"""Label resizing: between a video's own size and the smaller one at which labels are carried."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from scalable_binding.data.frames import images, videos
from scalable_binding.data.labels.keypoints import Keypoint, check_inside
from scalable_binding.errors import UserError

Ids = UInt8[Tensor, "_ _"]
Prompt = Ids | list[Keypoint]

SMALLEST = 16


@runtime_checkable
class Labeled(Protocol):
    """Labels found in a frame, as prediction gives them."""

    @property
    def ids(self) -> tuple[int, ...]:
        """Of the objects, in the order of ``scores`` after the background."""

    @property
    def labels(self) -> Ids:
        """The id of every pixel."""

    @property
    def scores(self) -> Float[Tensor, "k h w"]:
        """The soft map of each id, background first."""

    @property
    def keypoints(self) -> tuple[Keypoint, ...]:
        """Filled when points were given."""


@dataclass(frozen=True)
class Scale:
    """Height and width of the video's ``own`` frames and of those that labels are ``carried`` on.

    Where the two are equal nothing is changed.
    """

    own: tuple[int, int]
    carried: tuple[int, int]

    def shrink(self, prompt: Prompt, what: str = "labels") -> Prompt:
        """The labels of a frame at the size carried; ``what`` they are called if they do not fit.

        Raises:
            UserError: a mask of another size than the video's, or a point outside its frames.
        """
        if isinstance(prompt, list):
            check_inside(prompt, *self.own)
            return self._moved(prompt, self.own, self.carried)
        if tuple(prompt.shape) != self.own:
            raise UserError(
                what,
                expected=f"the frame's size, {self.own[0]} x {self.own[1]} pixels",
                got=f"{prompt.shape[0]} x {prompt.shape[1]}",
                fix="resize the mask with nearest-neighbor sampling",
            )
        if self.own == self.carried:
            return prompt
        small = functional.interpolate(prompt[None, None], self.carried, mode="nearest-exact")[0, 0]
        for lost in set(prompt.unique().tolist()) - set(small.unique().tolist()) - {0}:
            text = f"object {lost} is too small to be followed at this size; raise --size"
            warnings.warn(text, stacklevel=2)
        return small

    def grow(self, prediction: Labeled) -> Prompt:
        """The labels of a prediction at the video's own size: its points, if it has any, or ids.

        Soft maps grow bilinear; then the largest wins.
        """
        if prediction.keypoints:
            return self._moved(prediction.keypoints, self.carried, self.own)
        if self.own == self.carried:
            return prediction.labels
        scores = functional.interpolate(prediction.scores[None], self.own, mode="bilinear")[0]
        ids = torch.tensor([0, *prediction.ids], dtype=torch.uint8)
        return ids[scores.argmax(dim=0)]

    def _moved(
        self, points: Sequence[Keypoint], before: tuple[int, int], after: tuple[int, int]
    ) -> list[Keypoint]:
        if self.own == self.carried:
            return list(points)
        return [
            replace(
                point,
                x=_moved_along(point.x, before[1], after[1]),
                y=_moved_along(point.y, before[0], after[0]),
            )
            for point in points
        ]


def scale_of(video: Path, size: int) -> Scale:
    """The scale at which the video's short side has at most ``size`` pixels.

    Raises:
        UserError: the video cannot be read, or the size is too small to hold anything.
    """
    if size < SMALLEST:
        raise UserError("size", expected=f"at least {SMALLEST} pixels", got=str(size))
    info = videos.probe(video)
    own = info.height, info.width
    return Scale(own, images.short_side(*own, min(size, *own)))


def _moved_along(place: float, before: int, after: int) -> float:
    """A coordinate on a side of another length; pixel centers are whole numbers."""
    return min(max((place + 0.5) * after / before - 0.5, 0.0), after - 1.0)
