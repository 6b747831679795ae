"""Errors of optical flow: end-point error by kind of pixel, and the share of outliers.

An image gives a tally: for each kind of pixel how many there are and what their errors add up to.
Sintel pools pixels over all images; KITTI takes the mean over images of the end-point error and
pools outliers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

OUTLIER_PIXELS = 3.0
OUTLIER_SHARE = 0.05
SPEEDS = {"epe_0-10": (0.0, 10.0), "epe_10-40": (10.0, 40.0), "epe_40+": (40.0, float("inf"))}


class Tally(NamedTuple):
    """What the errors of ``num_pixels`` pixels add up to."""

    total: float
    num_pixels: int

    @property
    def mean(self) -> float:
        """Of the errors."""
        return self.total / self.num_pixels


Tallies = Mapping[str, Tally]


def tally(
    found: Float[Tensor, "2 h w"],
    truth: Float[Tensor, "2 h w"],
    known: Bool[Tensor, "h w"] | None = None,
    visible: Bool[Tensor, "h w"] | None = None,
) -> dict[str, Tally]:
    """Errors of an image's pixels, by kind; kinds without a pixel are left out.

    "epe" is the distance in pixels of found and true end points over all known pixels,
    "epe_matched" and "epe_occluded" over those that are and are not seen in the other frame,
    "epe_0-10", "epe_10-40" and "epe_40+" over those that truly move so many pixels. "f1" is 1 for
    an outlier: off by more than 3 pixels and by more than 5 % of the true displacement.

    Args:
        found: displacement (x, y) of each pixel.
        truth: the same; where it is not known its values do not matter.
        known: where the truth is known; everywhere by default.
        visible: what is seen in the other frame, if that is known.

    Source: Butler et al., ECCV 2012 (Sintel); Menze and Geiger, CVPR 2015 (KITTI).
    """
    if known is None:
        known = truth.isfinite().all(dim=0)
    error = (found - truth).norm(dim=0)
    speed = truth.norm(dim=0)
    kinds = {"epe": known}
    if visible is not None:
        kinds |= {"epe_matched": known & visible, "epe_occluded": known & ~visible}
    for name, (low, high) in SPEEDS.items():
        kinds[name] = known & (speed >= low) & (speed < high)
    outlier = (error > OUTLIER_PIXELS) & (error > OUTLIER_SHARE * speed)
    tallies = {name: _add_up(error, pixels) for name, pixels in kinds.items()}
    tallies["f1"] = _add_up(outlier.to(error), known)
    return {name: one for name, one in tallies.items() if one.num_pixels}


def pooled(images: Sequence[Tallies]) -> dict[str, float]:
    """Mean errors over the pixels of all images, as Sintel scores."""
    return {
        name: _pool(image[name] for image in images if name in image) for name in _names(images)
    }


def kitti(images: Sequence[Tallies]) -> dict[str, float]:
    """Means over images of their mean errors, but outliers pooled over pixels, as KITTI scores."""
    scores = pooled(images)
    for name in scores:
        if name != "f1":
            means = [image[name].mean for image in images if name in image]
            scores[name] = sum(means) / len(means)
    return scores


def _names(images: Sequence[Tallies]) -> list[str]:
    return list(dict.fromkeys(name for image in images for name in image))


def _pool(tallies: Iterable[Tally]) -> float:
    totals, nums = zip(*tallies, strict=True)
    return float(sum(totals) / sum(nums))


def _add_up(errors: Float[Tensor, "h w"], pixels: Bool[Tensor, "h w"]) -> Tally:
    return Tally(float(errors[pixels].double().sum()), int(pixels.sum()))
