"""A least-squares step of optical flow by loops over pixels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def least_squares_step(first: Tensor, second: Tensor, flow: Tensor) -> Tensor:
    """One Gauss-Newton step; images (h w), flow (2 h w)."""
    a, b, w = (maps.double().numpy() for maps in (first, second, flow))
    height, width = a.shape
    slopes_a, slopes_b = _slopes(a), _slopes(b)
    difference, inside = np.zeros_like(a), np.zeros_like(a)
    slope = np.zeros((2, height, width))
    for y in range(height):
        for x in range(width):
            to_x, to_y = x + w[0, y, x], y + w[1, y, x]
            inside[y, x] = 0 <= to_x <= width - 1 and 0 <= to_y <= height - 1
            difference[y, x] = _between(b, to_x, to_y) - a[y, x]
            for axis in range(2):
                there = _between(slopes_b[axis], to_x, to_y)
                slope[axis, y, x] = (slopes_a[axis, y, x] + there) / 2
    difference -= _enlarge(_box(_pool(difference, 4), 5), 4, height, width)
    weight = inside / (np.abs(difference) + 0.02)
    terms = [
        slope[0] * slope[0],
        slope[0] * slope[1],
        slope[1] * slope[1],
        slope[0] * difference,
        slope[1] * difference,
    ]
    sums = [_box(_pool(weight * term, 2), 5) for term in terms]
    step = np.zeros((2, *sums[0].shape))
    for index in np.ndindex(*sums[0].shape):
        xx, xy, yy, xd, yd = (one[index] for one in sums)
        matrix = np.array([[xx + 3e-4, xy], [xy, yy + 3e-4]])
        found = -np.linalg.solve(matrix, np.array([xd, yd]))
        step[(slice(None), *index)] = found / max(1.0, float(np.linalg.norm(found)))
    result = [w[axis] + _enlarge(step[axis], 2, height, width) for axis in range(2)]
    return torch.from_numpy(np.stack(result)).to(flow)


def _slopes(maps: np.ndarray) -> np.ndarray:
    height, width = maps.shape
    result = np.zeros((2, height, width))
    for y in range(height):
        for x in range(width):
            left, right = max(x - 1, 0), min(x + 1, width - 1)
            up, down = max(y - 1, 0), min(y + 1, height - 1)
            result[0, y, x] = (maps[y, right] - maps[y, left]) / 2
            result[1, y, x] = (maps[down, x] - maps[up, x]) / 2
    return result


def _between(maps: np.ndarray, x: float, y: float) -> float:
    """Bilinear; beyond the border the value of the border."""
    height, width = maps.shape
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    left, up = min(int(x), width - 2), min(int(y), height - 2)
    right, down = x - left, y - up
    upper = (1 - right) * maps[up, left] + right * maps[up, left + 1]
    lower = (1 - right) * maps[up + 1, left] + right * maps[up + 1, left + 1]
    return float((1 - down) * upper + down * lower)


def _pool(maps: np.ndarray, side: int) -> np.ndarray:
    """Means of blocks; those at the lower and right border may be smaller."""
    rows, columns = (-(-length // side) for length in maps.shape)
    result = np.zeros((rows, columns))
    for index in np.ndindex(rows, columns):
        top, left = index[0] * side, index[1] * side
        result[index] = maps[top : top + side, left : left + side].mean()
    return result


def _box(maps: np.ndarray, side: int) -> np.ndarray:
    reach = side // 2
    result = np.zeros_like(maps)
    for y, x in np.ndindex(*maps.shape):
        rows = slice(max(y - reach, 0), y + reach + 1)
        result[y, x] = maps[rows, max(x - reach, 0) : x + reach + 1].mean()
    return result


def _enlarge(maps: np.ndarray, factor: int, height: int, width: int) -> np.ndarray:
    """Bilinear between the middles of blocks."""
    result = np.zeros((height, width))
    for y, x in np.ndindex(height, width):
        result[y, x] = _between(maps, (x + 0.5) / factor - 0.5, (y + 0.5) / factor - 0.5)
    return result
