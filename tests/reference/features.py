"""Distances between sets of features, written down plainly."""

import math

import numpy as np
from scipy.linalg import sqrtm


def frechet_distance(first, second):
    means = first.mean(axis=0), second.mean(axis=0)
    covariances = [np.atleast_2d(np.cov(rows, rowvar=False)) for rows in (first, second)]
    root = sqrtm(covariances[0] @ covariances[1]).real
    return ((means[0] - means[1]) ** 2).sum() + np.trace(sum(covariances) - 2 * root)


def mmd(first, second):
    def kernel(x, y):
        return (sum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1) ** 3

    def within(rows):
        pairs = [(i, j) for i in range(len(rows)) for j in range(len(rows)) if i != j]
        return sum(kernel(rows[i], rows[j]) for i, j in pairs) / len(pairs)

    across = sum(kernel(x, y) for x in first for y in second) / (len(first) * len(second))
    return within(first) + within(second) - 2 * across


def inception_score(shares):
    marginal = shares.mean(axis=0)
    divergences = [
        sum(p * math.log(p / q) for p, q in zip(row, marginal, strict=True) if p > 0)
        for row in shares
    ]
    return math.exp(sum(divergences) / len(divergences))


def precision_recall(real, generated, k):
    """Precision, recall, density, coverage."""

    def distance(x, y):
        return math.sqrt(sum((a - b) ** 2 for a, b in zip(x, y, strict=True)))

    def radius(rows, i):
        return sorted(distance(rows[i], other) for j, other in enumerate(rows) if j != i)[k - 1]

    def inside(points, centers):
        radii = [radius(centers, i) for i in range(len(centers))]
        return [[distance(p, c) <= r for c, r in zip(centers, radii, strict=True)] for p in points]

    in_real, in_generated = inside(generated, real), inside(real, generated)
    return (
        sum(any(row) for row in in_real) / len(generated),
        sum(any(row) for row in in_generated) / len(real),
        sum(map(sum, in_real)) / (k * len(generated)),
        sum(any(row[i] for row in in_real) for i in range(len(real))) / len(real),
    )
