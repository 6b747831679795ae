"""PCK as one reads it off the protocol: loops over videos, points and frames."""

import numpy as np


def pck(videos: list[tuple[np.ndarray, np.ndarray, np.ndarray]], alpha: float) -> float:
    """Mean over points; each video is predictions `(t k 2)`, truths `(t k 2)`, visible `(t k)`."""
    num_points = videos[0][1].shape[1]
    right, scored = [0] * num_points, [0] * num_points
    for predictions, truths, visible in videos:
        for frame in range(1, len(truths)):
            seen = [truths[frame, k] for k in range(num_points) if visible[frame, k]]
            if not seen:
                continue
            width = max(x for x, _ in seen) - min(x for x, _ in seen)
            height = max(y for _, y in seen) - min(y for _, y in seen)
            limit = alpha * 0.6 * np.hypot(width, height)
            for k in range(num_points):
                if visible[frame, k]:
                    scored[k] += 1
                    right[k] += np.hypot(*(predictions[frame, k] - truths[frame, k])) <= limit
    return float(np.mean([r / s for r, s in zip(right, scored, strict=True) if s]))
