"""J, F and decay as one reads them off the definition: loops over pixels."""

import math

import numpy as np


def region_similarity(prediction: np.ndarray, truth: np.ndarray) -> float:
    union = intersection = 0
    for a, b in zip(prediction.ravel(), truth.ravel(), strict=True):
        union += bool(a or b)
        intersection += bool(a and b)
    return intersection / union if union else 1.0


def boundary(mask: np.ndarray) -> list[tuple[int, int]]:
    height, width = mask.shape
    found = []
    for y in range(height):
        for x in range(width):
            neighbors = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
            inside = [(v, u) for v, u in neighbors if v < height and u < width]
            if any(mask[y, x] != mask[v, u] for v, u in inside):
                found.append((y, x))
    return found


def boundary_accuracy(prediction: np.ndarray, truth: np.ndarray, tolerance: float) -> float:
    radius = math.ceil(tolerance * math.sqrt(truth.shape[0] ** 2 + truth.shape[1] ** 2))
    predicted, true = boundary(prediction), boundary(truth)
    precision = share_near(predicted, true, radius)
    recall = share_near(true, predicted, radius)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def share_near(pixels: list[tuple[int, int]], targets: list[tuple[int, int]], radius: int) -> float:
    if not pixels:
        return 1.0
    near = 0
    for y, x in pixels:
        near += any((y - v) ** 2 + (x - u) ** 2 <= radius**2 for v, u in targets)
    return near / len(pixels)


def decay(values: np.ndarray) -> float:
    """`db_statistics` of the DAVIS evaluation, but with indices wide enough for any video."""
    ends = (np.round(np.linspace(1, len(values), 5) + 1e-10) - 1).astype(np.int64)
    quarters = [values[ends[i] : ends[i + 1] + 1] for i in range(4)]
    return float(np.mean(quarters[0]) - np.mean(quarters[3]))
