"""What one can say of hidden objects without learning: told where each was whenever it was seen."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def last_seen(
    boxes: Float[Tensor, "t o 4"], visible: Bool[Tensor, "t o"]
) -> Float[Tensor, "t o 4"]:
    """The true boxes of visible objects; while one is hidden, where it was seen last."""
    result = boxes.clone()
    for t in range(1, len(boxes)):
        result[t] = torch.where(visible[t, :, None], boxes[t], result[t - 1])
    return result


def constant_velocity(
    boxes: Float[Tensor, "t o 4"],
    visible: Bool[Tensor, "t o"],
    size: tuple[int, int],
    memory: int = 1,
) -> Float[Tensor, "t o 4"]:
    """As :func:`last_seen`, but a hidden object goes on as in its last frames.

    Args:
        boxes: of whole objects in pixels; what is hidden is not read.
        visible: whether they are to be seen.
        size: height and width of the frames, which the middle of a box does not leave.
        memory: steps between frames in a row, before the object was hidden, whose mean is its
            velocity; fewer if there are fewer. On the synthetic games 1 does best of 1, 2, 3 and 5.
    """
    result = last_seen(boxes, visible)
    height, width = size
    far = torch.tensor([width - 1.0, height - 1.0])
    for number in range(boxes.shape[1]):
        velocity = torch.zeros(2)
        seen: list[Tensor] = []
        for t in range(len(boxes)):
            middle = (result[t, number, :2] + result[t, number, 2:]) / 2
            if visible[t, number]:
                seen = [*seen, middle][-memory - 1 :]
                velocity = (seen[-1] - seen[0]) / max(1, len(seen) - 1)
            elif t:
                before = result[t - 1, number]
                half = (before[2:] - before[:2]) / 2
                middle = (before[:2] + half + velocity).clamp(min=0).minimum(far)
                result[t, number] = torch.cat((middle - half, middle + half))
                seen = []
    return result
