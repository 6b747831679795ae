"""The guided filter of He, Sun & Tang (PAMI 2013), equations 14 to 16, window by window."""

from __future__ import annotations

import numpy as np


def guided_filter(guide: np.ndarray, mask: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """The output q for a color guide ``(h w 3)`` and an input p ``(h w)``."""
    height, width = mask.shape

    def window(y: int, x: int) -> tuple[slice, slice]:
        return (
            slice(max(y - radius, 0), min(y + radius + 1, height)),
            slice(max(x - radius, 0), min(x + radius + 1, width)),
        )

    a, b = np.zeros((height, width, 3)), np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            colors = guide[window(y, x)].reshape(-1, 3)
            values = mask[window(y, x)].reshape(-1)
            mu, mean = colors.mean(0), values.mean()
            sigma = sum(np.outer(c - mu, c - mu) for c in colors) / len(colors)
            crossed = sum(c * v for c, v in zip(colors, values, strict=True)) / len(colors)
            a[y, x] = np.linalg.solve(sigma + epsilon * np.eye(3), crossed - mu * mean)
            b[y, x] = mean - a[y, x] @ mu
    out = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            place = window(y, x)
            out[y, x] = a[place].reshape(-1, 3).mean(0) @ guide[y, x] + b[place].mean()
    return out
