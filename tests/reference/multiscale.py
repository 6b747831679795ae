"""Walks from window to window as matrices over all pixels, in float64."""

import math

import torch


def step(a, b, center, size, radius, temperature):
    """For a (n d), b (m d) and centers (n 2) the probabilities (n m) of a step."""
    height, width = size
    result = torch.zeros(len(a), height * width, dtype=torch.float64)
    for i in range(len(a)):
        x, y = center[i].tolist()
        x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
        for v in range(max(y - radius, 0), min(y + radius + 1, height)):
            for u in range(max(x - radius, 0), min(x + radius + 1, width)):
                j = v * width + u
                result[i, j] = math.exp(float(a[i].double() @ b[j].double()) / temperature)
    return result / result.sum(dim=-1, keepdim=True)


def whole(walk):
    """The probabilities (b n m) of a walk kept in windows, over all pixels."""
    height, width = walk.size
    b, n, k = walk.probability.shape
    side = math.isqrt(k)
    result = torch.zeros(b, n, height * width, dtype=torch.float64)
    for i in range(b):
        for j in range(n):
            x, y = walk.center[i, j].tolist()
            for place in range(k):
                u, v = x + place % side - side // 2, y + place // side - side // 2
                if 0 <= u < width and 0 <= v < height:
                    result[i, j, v * width + u] += float(walk.probability[i, j, place])
                else:
                    assert walk.probability[i, j, place] == 0
    return result
