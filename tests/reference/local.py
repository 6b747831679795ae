"""Steps into a window, one place at a time, in float64."""

import math

import torch


def local_affinity(a, b, radius, temperature):
    """For a and b (d h w) the probabilities (h w k) of the places of each window, row by row."""
    _, h, w = a.shape
    size = 2 * radius + 1
    result = torch.zeros(h, w, size**2, dtype=torch.float64)
    for y in range(h):
        for x in range(w):
            weights = []
            for v in range(y - radius, y + radius + 1):
                for u in range(x - radius, x + radius + 1):
                    inside = 0 <= v < h and 0 <= u < w
                    product = float(a[:, y, x].double() @ b[:, v, u].double()) if inside else 0
                    weights.append(math.exp(product / temperature) if inside else 0.0)
            result[y, x] = torch.tensor(weights) / sum(weights)
    return result
