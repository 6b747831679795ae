"""Scores of video prediction, beside two baselines: copy the last frame, extrapolate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from einops import rearrange, repeat
from jaxtyping import Float64, UInt8
from torch import Tensor

from scalable_binding.metrics.features import FeatureStatistics
from scalable_binding.metrics.frechet import frechet_distance
from scalable_binding.metrics.pixels import SSIM_WINDOW, mean_squared_error, psnr, ssim
from scalable_binding.rin.features import Features

Given = UInt8[Tensor, "b c k h w"]
Videos = UInt8[Tensor, "b c t h w"]
Forecast = Callable[[Given, int], Videos]
"""From context frames and a number to so many frames after them."""


def copy_last(context: Given, num_frames: int) -> Videos:
    """The last context frame, again and again."""
    return repeat(context[:, :, -1], "b c h w -> b c t h w", t=num_frames)


def extrapolate(context: Given, num_frames: int) -> Videos:
    """Every pixel goes on as between the last two context frames, within the range of bytes."""
    last = context[:, :, -1:].float()
    change = last - context[:, :, -2:-1].float() if context.shape[2] > 1 else 0 * last
    steps = torch.arange(1, num_frames + 1, device=context.device).view(-1, 1, 1)
    return (last + steps * change).clamp(0, 255).round().byte()


Metric = Callable[[Tensor, Tensor], Tensor]
"""From pictures ``(n c h w)`` and true ones to a number for each."""

BASELINES: dict[str, Forecast] = {"copy_last": copy_last, "extrapolate": extrapolate}


class ForecastScores:
    """Errors and features of predictions, gathered batch by batch, added up over processes.

    Args:
        features: a network of videos, or None to score pixels alone.
        num_frames: predicted ones.
    """

    def __init__(self, features: Features | None, num_frames: int) -> None:
        self._features = features
        self._count = 0
        names = ["predicted", *BASELINES]
        self._errors = {name: torch.zeros(num_frames, dtype=torch.float64) for name in names}
        self._similarities = {name: torch.zeros(1, dtype=torch.float64) for name in names}
        self._is_large = True
        self._statistics: dict[str, FeatureStatistics] = {}
        if features is not None:
            kinds = ["true", *names]
            self._statistics = {n: FeatureStatistics(features.width, keep=0) for n in kinds}

    def update(self, context: Given, truth: Videos, predicted: Videos) -> None:
        """Take in videos: context frames, those that came after, and those predicted."""
        candidates = {"predicted": predicted}
        for name, forecast in BASELINES.items():
            candidates[name] = forecast(context, truth.shape[2])
        self._is_large = min(truth.shape[-2:]) >= SSIM_WINDOW
        for name, frames in candidates.items():
            self._errors[name] += _by_frame(mean_squared_error, frames, truth).sum(dim=0)
            if self._is_large:
                self._similarities[name] += _by_frame(ssim, frames, truth).mean(dim=1).sum()
        if self._features is not None:
            for name, frames in {"true": truth, **candidates}.items():
                whole = torch.cat([context, frames], dim=2)
                self._statistics[name].update(self._features(whole).features)
        self._count += len(truth)

    def all_reduce(self) -> None:
        """Make every process of the run hold what all of them gathered."""
        if dist.is_initialized() and dist.get_world_size() > 1:
            count = torch.tensor([self._count], dtype=torch.int64)
            for tensor in (count, *self._errors.values(), *self._similarities.values()):
                dist.all_reduce(tensor)
            self._count = int(count)
            for statistics in self._statistics.values():
                statistics.all_reduce()

    def compute(self) -> dict[str, dict[str, Any]]:
        """For the prediction and each baseline: errors, similarity, and Fréchet distance.

        There is no SSIM of frames that are smaller than its window.

        Raises:
            UserError: too few videos for the Fréchet distance.
        """
        scores: dict[str, dict[str, Any]] = {}
        for name, total in self._errors.items():
            by_frame = total / self._count
            error = float(by_frame.mean())
            scores[name] = {"mse": error, "psnr": psnr(error), "mse_by_frame": by_frame.tolist()}
            if self._is_large:
                scores[name]["ssim"] = float(self._similarities[name]) / self._count
            if self._statistics:
                pair = self._statistics["true"], self._statistics[name]
                scores[name]["frechet_video"] = frechet_distance(*pair)
        return scores


def _by_frame(metric: Metric, frames: Videos, truth: Videos) -> Float64[Tensor, "b t"]:
    """A measure of pictures, of each frame of each video."""
    pairs = [rearrange(video, "b c t h w -> (b t) c h w") for video in (frames, truth)]
    return rearrange(metric(*pairs), "(b t) -> b t", t=truth.shape[2])
