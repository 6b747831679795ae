"""k-means of trajectories: all states of one belong to the same cluster."""

from __future__ import annotations

from typing import NamedTuple

import torch
from einops import reduce
from jaxtyping import Float, Int64
from torch import Generator, Tensor
from torch.nn import functional

from scalable_binding.engine.distributed import DistributedContext
from scalable_binding.errors import UserError

DEVIATION_FLOOR = 1e-6
"""What varies by no more is constant."""


class Clusters(NamedTuple):
    """Centers, the cluster of each trajectory, and the mean squared distance of a state."""

    centers: Float[Tensor, "k d"]
    labels: Int64[Tensor, " n"]
    distortion: float


def cluster(
    trajectories: Float[Tensor, "n t d"],
    num_clusters: int,
    generator: Generator,
    *,
    starts: int = 3,
    iterations: int = 50,
    ranks: DistributedContext | None = None,
) -> Clusters:
    """The best of several k-means clusterings of trajectories of equal length.

    A trajectory goes to argmin_k sum_t |s_t - c_k|^2, and since

        sum_t |s_t - c|^2 = sum_t |s_t - m|^2 + T |m - c|^2,    m = mean_t s_t,

    that is the center nearest to its mean: only means are clustered. A cluster that has lost all
    of its trajectories starts again from the one that is farthest from its center.

    Args:
        trajectories: this rank's; float64 in all that follows.
        num_clusters: K.
        generator: of the first centers (k-means++); only the first rank's counts.
        starts: clusterings to choose from.
        iterations: of each one at most.
        ranks: if given, the trajectories of all ranks are clustered together.

    Raises:
        UserError: fewer trajectories than clusters.

    Source: Thesis Alg. 10 and 4.3.2; Arthur and Vassilvitskii, k-means++, 2007.
    """
    if len(trajectories) < num_clusters:
        raise UserError(
            "trajectories for clustering",
            expected=f"at least as many as components ({num_clusters})",
            got=str(len(trajectories)),
            fix="enlarge the reservoir, or ask for fewer components",
        )
    means = reduce(trajectories.double(), "n t d -> n d", "mean")
    scatter = (trajectories.double() - means[:, None]).square().sum(-1).mean()
    best: Clusters | None = None
    for _ in range(starts):
        centers = first_of(choose_centers(means, num_clusters, generator), ranks)
        found = refine(means, centers, iterations, ranks)
        if best is None or found.distortion < best.distortion:
            best = found
    assert best is not None
    return best._replace(distortion=best.distortion + float(mean_of(scatter, ranks)))


def choose_centers(
    points: Float[Tensor, "n d"], num: int, generator: Generator
) -> Float[Tensor, "k d"]:
    """Points, each drawn with a probability that grows with its squared distance from the others.

    Source: k-means++.
    """
    centers = [points[int(torch.randint(len(points), (1,), generator=generator))]]
    distances = (points - centers[0]).square().sum(-1)
    for _ in range(num - 1):
        weights = distances if bool(distances.sum() > 0) else torch.ones_like(distances)
        chosen = int(torch.multinomial(weights, 1, generator=generator))
        centers.append(points[chosen])
        distances = torch.minimum(distances, (points - points[chosen]).square().sum(-1))
    return torch.stack(centers)


def refine(
    points: Float[Tensor, "n d"],
    centers: Float[Tensor, "k d"],
    iterations: int,
    ranks: DistributedContext | None = None,
) -> Clusters:
    """Lloyd's iterations from given centers until no point changes its cluster."""
    labels, distances = assign(points, centers)
    for _ in range(iterations):
        members = functional.one_hot(labels, len(centers)).to(points.dtype)
        sums = sum_of(torch.cat([members.mT @ points, members.sum(0)[:, None]], dim=-1), ranks)
        counts = sums[:, -1:]
        centers = torch.where(counts > 0, sums[:, :-1] / counts.clamp(min=1), centers)
        centers = _revive(centers, counts[:, 0] == 0, points, distances, ranks)
        before = labels
        labels, distances = assign(points, centers)
        changed = sum_of((labels != before).sum().double(), ranks)
        if not bool(changed):
            break
    return Clusters(centers, labels, float(mean_of(distances.mean(), ranks)))


def assign(
    points: Float[Tensor, "n d"], centers: Float[Tensor, "k d"]
) -> tuple[Int64[Tensor, " n"], Float[Tensor, " n"]]:
    """The nearest center of each point, and the squared distance to it."""
    cross = points @ centers.mT
    scores = centers.square().sum(-1) - 2 * cross
    least, labels = scores.min(-1)
    return labels, (least + points.square().sum(-1)).clamp(min=0)


def _revive(
    centers: Tensor,
    empty: Tensor,
    points: Tensor,
    distances: Tensor,
    ranks: DistributedContext | None,
) -> Tensor:
    """Put the centers of empty clusters where points are farthest from theirs."""
    num = int(empty.sum())
    if num == 0:
        return centers
    far = distances.topk(min(num, len(points))).indices
    chosen = first_of(points[far], ranks)
    centers = centers.clone()
    centers[empty.nonzero()[: len(chosen), 0]] = chosen
    return centers


def sum_of(values: Tensor, ranks: DistributedContext | None) -> Tensor:
    """The sum over ranks."""
    return values if ranks is None else ranks.mean(values) * ranks.size


def mean_of(values: Tensor, ranks: DistributedContext | None) -> Tensor:
    """The mean over ranks."""
    return values if ranks is None else ranks.mean(values)


def first_of(values: Tensor, ranks: DistributedContext | None) -> Tensor:
    """The first rank's values, on every rank."""
    if ranks is None or ranks.size == 1:
        return values
    return sum_of(values if ranks.is_first else torch.zeros_like(values), ranks)


def units_of(variance: Float[Tensor, " d"]) -> Float[Tensor, " d"]:
    """What numbers of these variances are told in: their deviations, 1 for one that is constant.

    A state's number that never changed has no unit of its own; of tiny ones, the first change
    would outweigh all else.
    """
    deviation = variance.sqrt()
    return torch.where(deviation > DEVIATION_FLOOR, deviation, torch.ones_like(deviation))
