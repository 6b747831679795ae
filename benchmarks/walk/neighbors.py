"""Label propagation at 480 x 854: tiles and windows against the authors' whole table.

    python -m benchmarks.walk.neighbors [--rounds 5] [--clock cpu] [--json FILE]

About three minutes. The claim: at most a sixth of the time of the authors' way.

Both find the joint top 10 of a first frame and 20 recent ones for every node of a frame, and carry
four labels over, in turns in one process. The floor is a bare matrix product with as many
operations as there are candidates to compare: the nodes of the first frame and of 20 discs.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from benchmarks import timing
from scalable_binding.walk.neighbors import carry_labels, top_neighbors
from tests.reference import neighbors as reference

AUTHORS = "authors' way, float32"
D, K, RADIUS, TEMPERATURE, LABELS = 256, 10, 12.0, 0.07, 4


def make_clip(num_frames: int, h: int, w: int) -> list[Tensor]:
    """Return features (d h w) like those of a video: smooth, not negative, moving, and noisy."""
    generator = torch.Generator().manual_seed(0)
    field = torch.randn(1, D, h + 8, w + num_frames + 8, generator=generator)
    scene = 9 * avg_pool2d(field, 9, 1)[0]
    frames = []
    for t in range(num_frames):
        noise = 0.3 * torch.randn(D, h, w, generator=generator)
        frame = normalize((scene[:, :, t : t + w] + noise + 0.5).relu(), dim=0)
        frames.append(frame.permute(1, 2, 0).contiguous().permute(2, 0, 1))
    return frames


def count_operations(h: int, w: int, num_recent: int) -> int:
    """Return the multiplications and additions of every query with all of its candidates."""
    rows, columns = torch.arange(h), torch.arange(w)
    down, along = (rows[:, None] - rows) ** 2, (columns[:, None] - columns) ** 2
    in_disc = sum(int((along + int(square) < RADIUS**2).sum()) for square in down.flatten())
    return 2 * D * ((h * w) ** 2 + num_recent * in_disc)


def time_product(operations: int, dtype: torch.dtype) -> Callable[[], None]:
    """Return a bare matrix product of about so many operations."""
    keys, queries = (torch.randn(n, D).to(dtype) for n in (16_000, 100))
    out = torch.empty(len(keys), len(queries), dtype=dtype)
    repeats = round(operations / (2 * D * len(keys) * len(queries)))

    def run() -> None:
        for _ in range(repeats):
            torch.mm(keys, queries.mT, out=out)

    return run


def contestants(query: Tensor, context: list[Tensor]) -> dict[str, Callable[[], object]]:
    """Return what is timed, by name; every run gives the labels of one frame."""
    _, h, w = query.shape
    labels = list(
        torch.rand(len(context), h, w, LABELS, generator=torch.Generator().manual_seed(0))
    )
    stacked, mask = torch.stack(labels), reference.radius_mask(h, w, RADIUS)
    plain = [frame.contiguous() for frame in context]
    operations = count_operations(h, w, len(context) - 1)

    def authors() -> Tensor:
        found = reference.affinity(query, plain, K, RADIUS, mask=mask)
        return reference.propagate(*found, stacked, TEMPERATURE)

    def tiles(dtype: torch.dtype) -> Callable[[], Tensor]:
        def run() -> Tensor:
            found = top_neighbors(query, context, k=K, radius=RADIUS, dtype=dtype)
            return carry_labels(found, labels, TEMPERATURE)

        return run

    return {
        AUTHORS: authors,
        "tiles, float32": tiles(torch.float32),
        "tiles, bfloat16": tiles(torch.bfloat16),
        "floor, float32": time_product(operations, torch.float32),
        "floor, bfloat16": time_product(operations, torch.bfloat16),
    }


def compare(query: Tensor, context: list[Tensor]) -> dict[str, float]:
    """Return how far the bfloat16 result is from the whole table's."""
    similarity, index = reference.affinity(query, context, K, RADIUS)
    found = top_neighbors(query, context, k=K, radius=RADIUS, dtype=torch.bfloat16)
    same = (index.unsqueeze(-1) == found.index.unsqueeze(-2)).any(dim=-1)
    return {
        "same_neighbors": same.float().mean().item(),
        "similarity_missed_at_most": (similarity - found.similarity).max().item(),
    }


def above_floor(rows: list[dict[str, Any]], seconds: timing.Seconds) -> list[dict[str, Any]]:
    """Return the rows with how many times the floor of its own number format each run took."""
    for row in rows:
        floor = "floor, " + row[""].split(", ")[1]
        row["x floor"] = statistics.median(seconds[row[""]]) / statistics.median(seconds[floor])
    return rows


def main() -> None:
    parser = timing.parser(__doc__, rounds=5)
    parser.add_argument("--height", type=int, default=60, help="of the feature map")
    parser.add_argument("--width", type=int, default=107, help="of the feature map")
    parser.add_argument("--context", type=int, default=20, help="recent frames")
    arguments = parser.parse_args()
    *context, query = make_clip(arguments.context + 2, arguments.height, arguments.width)
    runs, clock = contestants(query, context), arguments.clock
    seconds = timing.in_turns(runs, arguments.rounds, clock=clock, cold={AUTHORS})
    rows = above_floor(timing.compare(seconds, AUTHORS), seconds)
    facts = {"clock": clock, **compare(query, context), **timing.conditions()}
    timing.report(rows, facts, arguments.json)


if __name__ == "__main__":
    main()
