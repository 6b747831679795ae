"""What a box of a frame shows, and where a cell of one box lies in another, by obvious loops."""

import math

import torch


def cut(frame, box, size):
    """The box (top, left, height, width) of frame (c h w) as size x size bilinear samples."""
    top, left, height, width = box
    result = torch.zeros(len(frame), size, size, dtype=torch.float64)
    for i in range(size):
        for j in range(size):
            y = top + height * (i + 0.5) / size - 0.5
            x = left + width * (j + 0.5) / size - 0.5
            result[:, i, j] = _sample(frame, y, x)
    return result


def _sample(frame, y, x):
    _, h, w = frame.shape
    y, x = min(max(y, 0), h - 1), min(max(x, 0), w - 1)
    color = torch.zeros(len(frame), dtype=torch.float64)
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            weight = (1 - abs(y - row)) * (1 - abs(x - column))
            if weight > 0:
                color += weight * frame[:, row, column].double()
    return color


def cell_in_other_box(cell, before, after, grid):
    """The number of the cell of ``after`` that holds the center of a cell of ``before``, or -1."""
    row, column = divmod(cell, grid)
    y = before[0] + before[2] * (row + 0.5) / grid
    x = before[1] + before[3] * (column + 0.5) / grid
    row = math.floor((y - after[0]) / (after[2] / grid))
    column = math.floor((x - after[1]) / (after[3] / grid))
    inside = 0 <= row < grid and 0 <= column < grid
    return row * grid + column if inside else -1
