"""TAP-Vid's scores, one entry after another."""

from __future__ import annotations

import math


def scores(found, told, truth, visible, scored):
    """Of nested lists: places (n t 2), booleans (n t)."""
    entries = [
        (math.dist(found[i][t], truth[i][t]), told[i][t], visible[i][t])
        for i in range(len(truth))
        for t in range(len(truth[i]))
        if scored[i][t]
    ]
    result = {"occlusion_accuracy": sum(says == seen for _, says, seen in entries) / len(entries)}
    within, jaccard = [], []
    for threshold in (1, 2, 4, 8, 16):
        near = [error < threshold for error, _, seen in entries if seen]
        positive = sum(seen and says and error < threshold for error, says, seen in entries)
        missed = sum(seen and not (says and error < threshold) for error, says, seen in entries)
        false = sum(says and not (seen and error < threshold) for error, says, seen in entries)
        within.append(sum(near) / len(near))
        jaccard.append(positive / (positive + missed + false))
        result[f"within_{threshold}"] = within[-1]
        result[f"jaccard_{threshold}"] = jaccard[-1]
    result["position_accuracy"] = sum(within) / 5
    result["average_jaccard"] = sum(jaccard) / 5
    return result
