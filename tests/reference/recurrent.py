"""A convolutional GRU, one entry at a time."""

import math

import torch


def conv(weight, bias, x):
    """The convolution of x (c h w) with weight (d c k k), zero beyond the border."""
    d, channels, k, _ = weight.shape
    _, h, w = x.shape
    result = torch.zeros(d, h, w, dtype=torch.float64)
    for o in range(d):
        for row in range(h):
            for column in range(w):
                total = float(bias[o])
                for c in range(channels):
                    for i in range(k):
                        for j in range(k):
                            y, z = row + i - k // 2, column + j - k // 2
                            if 0 <= y < h and 0 <= z < w:
                                total += float(weight[o, c, i, j]) * float(x[c, y, z])
                result[o, row, column] = total
    return result


def step(gates, candidate, x, state):
    """The next state (d h w); gates and candidate are pairs of a weight and a bias."""
    width = len(state)
    both = conv(*gates, torch.cat([x, state]))
    update, read = torch.zeros_like(state), torch.zeros_like(state)
    for place in [tuple(index) for index in torch.cartesian_prod(*map(torch.arange, state.shape))]:
        d, row, column = (int(i) for i in place)
        update[d, row, column] = 1 / (1 + math.exp(-float(both[d, row, column])))
        read[d, row, column] = 1 / (1 + math.exp(-float(both[width + d, row, column])))
    new = conv(*candidate, torch.cat([x, read * state]))
    result = torch.zeros_like(state)
    for place in [tuple(index) for index in torch.cartesian_prod(*map(torch.arange, state.shape))]:
        d, row, column = (int(i) for i in place)
        z = float(update[d, row, column])
        result[d, row, column] = (1 - z) * float(state[d, row, column]) + z * math.tanh(
            float(new[d, row, column])
        )
    return result
