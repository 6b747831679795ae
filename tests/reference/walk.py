"""Random walks by obvious loops, one probability at a time, in float64."""

import itertools
import math

import torch


def transition(a, b, temperature):
    """Eq. 3.1 for features a (n d) and b (m d)."""
    result = torch.zeros(len(a), len(b), dtype=torch.float64)
    for i in range(len(a)):
        weights = [
            math.exp(float(a[i].double() @ b[j].double()) / temperature) for j in range(len(b))
        ]
        for j in range(len(b)):
            result[i, j] = weights[j] / sum(weights)
    return result


def chain(transitions):
    """Eq. 3.2: sum over all paths, one step after the other."""
    walk = torch.eye(len(transitions[0]), dtype=torch.float64)
    for step in transitions:
        longer = torch.zeros(len(walk), step.shape[1], dtype=torch.float64)
        for start in range(len(walk)):
            for end in range(step.shape[1]):
                for between in range(len(step)):
                    longer[start, end] += walk[start, between] * step[between, end]
        walk = longer
    return walk


def palindrome(frames, length, temperature):
    """Eq. 3.4: the walk along frames 0, 1 .. length .. 1, 0 of frames (t n d), nothing shared."""
    path = list(range(length + 1)) + list(range(length - 1, -1, -1))
    steps = itertools.pairwise(path)
    return chain([transition(frames[s], frames[e], temperature) for s, e in steps])


def walk_loss(walk, targets):
    """Eq. 3.3 for walk (n m), rows with target -1 left out, as a mean; and the accuracy."""
    losses, hits = [], []
    for row, target in zip(walk.tolist(), targets.tolist(), strict=True):
        if target >= 0:
            losses.append(-math.log(row[target]))
            hits.append(row.index(max(row)) == target)
    return sum(losses) / len(losses), sum(hits) / len(hits)
