"""How near predicted pictures are to the true ones, pixel by pixel."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor
from torch.nn import functional

from scalable_binding.errors import UserError

SSIM_WINDOW = 11
"""Side of the window of the structural similarity, in pixels: the least that a picture has."""

_SIGMA = 1.5
_K1, _K2 = 0.01, 0.03


def mean_squared_error(
    predictions: UInt8[Tensor, "n *shape"], truths: UInt8[Tensor, "n *shape"]
) -> Float64[Tensor, " n"]:
    """The mean squared error of each sample, of pixels in [0, 1]."""
    difference = predictions.double() - truths.double()
    return difference.flatten(1).square().mean(dim=1) / 255**2


def psnr(error: float) -> float:
    """The peak signal-to-noise ratio in dB of a mean squared error of pixels in [0, 1]."""
    return math.inf if error == 0 else -10 * math.log10(error)


def ssim(
    predictions: UInt8[Tensor, "n c h w"], truths: UInt8[Tensor, "n c h w"]
) -> Float64[Tensor, " n"]:
    """The structural similarity of each sample, at most 1, over all windows inside the picture.

    Raises:
        UserError: a picture is smaller than the window of 11 x 11 pixels.

    Source: Wang et al., 2004: Gaussian window of deviation 1.5.
    """
    if min(truths.shape[-2:]) < SSIM_WINDOW:
        got = f"{truths.shape[-2]} x {truths.shape[-1]}"
        expected = f"pictures of at least {SSIM_WINDOW} x {SSIM_WINDOW} pixels"
        raise UserError("structural similarity", expected=expected, got=got)
    x, y = predictions.double() / 255, truths.double() / 255
    mean_x, mean_y = _blur(x), _blur(y)
    var_x, var_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _K1**2) / (mean_x**2 + mean_y**2 + _K1**2)
    structure = (2 * covariance + _K2**2) / (var_x + var_y + _K2**2)
    return (luminance * structure).flatten(1).mean(dim=1)


def _blur(pictures: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h2 w2"]:
    """Means under the Gaussian window, where all of it lies inside."""
    offsets = (
        torch.arange(SSIM_WINDOW, dtype=pictures.dtype, device=pictures.device) - SSIM_WINDOW // 2
    )
    weights = torch.softmax(-(offsets**2) / (2 * _SIGMA**2), dim=0)
    channels = pictures.shape[1]
    rows = weights.expand(channels, 1, 1, -1)
    blurred = functional.conv2d(pictures, rows, groups=channels)
    return functional.conv2d(blurred, rows.mT, groups=channels)
