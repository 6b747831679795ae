"""Label propagation and label maps by obvious loops over pixels and cells, in float64."""

import math

import torch


def resize(image, height, width):
    """Bilinear samples of image (h w) at the middles of height x width equal cells."""
    h, w = image.shape
    result = torch.zeros(height, width, dtype=torch.float64)
    for i in range(height):
        for j in range(width):
            y = min(max((i + 0.5) * h / height - 0.5, 0), h - 1)
            x = min(max((j + 0.5) * w / width - 0.5, 0), w - 1)
            for row in (math.floor(y), math.floor(y) + 1):
                for column in (math.floor(x), math.floor(x) + 1):
                    weight = (1 - abs(y - row)) * (1 - abs(x - column))
                    if weight > 0:
                        result[i, j] += weight * float(image[row, column])
    return result


def cells_of_mask(mask, ids):
    """Soft labels (h8 w8 c) of a mask (h w): one channel an id, the background first."""
    height, width = (math.ceil(side / 8) for side in mask.shape)
    return torch.stack([resize((mask == i).double(), height, width) for i in (0, *ids)], dim=-1)


def propagate(features, first, *, context, neighbors, radius, temperature, fill):
    """Soft labels (h8 w8 c) of every frame, from its features (d h8 w8) and those of the first.

    The queue holds the labels of the last frames and, with fill, begins as so many copies of the
    first; the first frame itself is beside the queue and searched everywhere.
    """
    features = [f.double() for f in features]
    queue = [(features[0], first)] * (context if fill else 0)
    labels = [first]
    for here in features[1:]:
        labels.append(torch.zeros_like(first))
        for y in range(here.shape[1]):
            for x in range(here.shape[2]):
                matches = _matches(here[:, y, x], (y, x), features[0], first, math.inf)
                for there, known in queue:
                    matches += _matches(here[:, y, x], (y, x), there, known, radius)
                matches = sorted(matches, key=lambda match: -match[0])[:neighbors]
                weights = [math.exp(similarity / temperature) for similarity, _ in matches]
                for weight, (_, label) in zip(weights, matches, strict=True):
                    labels[-1][y, x] += weight / sum(weights) * label
        queue = [*queue, (here, labels[-1])][-context:]
    return labels


def _matches(vector, place, there, known, radius):
    return [
        (float(vector @ there[:, y, x]), known[y, x])
        for y in range(there.shape[1])
        for x in range(there.shape[2])
        if math.hypot(y - place[0], x - place[1]) < radius
    ]
