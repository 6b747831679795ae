"""Label propagation at 480 x 854: tiles and windows against the authors' whole table.

    python benchmarks/walk/neighbours.py [--rounds 5] [--json FILE]

Both find the joint top 10 of a first frame and 20 recent ones for every node of a frame, and carry
four labels over, in turns in one process. The floor is a bare matrix product with as many
operations as there are candidates to compare: the nodes of the first frame and of 20 discs.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from scalable_binding.walk.neighbours import carry_labels, top_neighbours

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from reference import neighbours as reference  # noqa: E402

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
            found = top_neighbours(query, context, k=K, radius=RADIUS, dtype=dtype)
            return carry_labels(found, labels, TEMPERATURE)

        return run

    return {
        "authors' way, float32": authors,
        "tiles, float32": tiles(torch.float32),
        "tiles, bfloat16": tiles(torch.bfloat16),
        "floor, float32": time_product(operations, torch.float32),
        "floor, bfloat16": time_product(operations, torch.bfloat16),
    }


def measure(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each run, taken in turns; what is quick warms up first."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for name, run in runs.items():
        if not name.startswith("authors"):
            run()
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def compare(query: Tensor, context: list[Tensor]) -> dict[str, float]:
    """Return how far the bfloat16 result is from the whole table's."""
    similarity, index = reference.affinity(query, context, K, RADIUS)
    found = top_neighbours(query, context, k=K, radius=RADIUS, dtype=torch.bfloat16)
    same = (index.unsqueeze(-1) == found.index.unsqueeze(-2)).any(dim=-1)
    return {
        "same_neighbours": same.float().mean().item(),
        "similarity_missed_at_most": (similarity - found.similarity).max().item(),
    }


def run_once(arguments: argparse.Namespace) -> float:
    """Return the largest memory so far, in MB, after the neighbours of one frame."""
    shape = (arguments.height, arguments.width, D)
    frames = [torch.rand(shape).permute(2, 0, 1) for _ in range(arguments.context + 2)]
    top_neighbours(frames[-1], frames[:-1], k=K, radius=RADIUS)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def peak_megabytes(arguments: argparse.Namespace) -> float:
    """Return the largest memory of a process that does nothing else, torch and context included."""
    size = [f"--{name}={getattr(arguments, name)}" for name in ("height", "width", "context")]
    child = [sys.executable, __file__, "--memory-only", *size]
    return float(subprocess.run(child, check=True, capture_output=True, text=True).stdout)


def machine() -> dict[str, object]:
    commit = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "commit": subprocess.run(commit, capture_output=True, text=True).stdout.strip(),
    }


def print_table(result: dict) -> None:
    median = result["median"]
    print(f"{'':24}{'median s':>10}{'min s':>8}{'max s':>8}{'faster':>8}{'x floor':>9}")
    for name, times in result["seconds"].items():
        faster = median["authors' way, float32"] / median[name]
        above = median[name] / median["floor, " + name.split(", ")[1]]
        print(
            f"{name:24}{median[name]:10.3f}{min(times):8.3f}{max(times):8.3f}"
            f"{faster:7.1f}x{above:8.1f}x"
        )
    for name, value in result.items():
        if name not in ("seconds", "median"):
            print(f"{name.replace('_', ' ')}: {value}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--height", type=int, default=60, help="of the feature map")
    parser.add_argument("--width", type=int, default=107, help="of the feature map")
    parser.add_argument("--context", type=int, default=20, help="recent frames")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--memory-only", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_only:
        print(run_once(arguments))
        return
    # Before anything large is made here: a child's peak starts from its parent's.
    peak = peak_megabytes(arguments)
    *context, query = make_clip(arguments.context + 2, arguments.height, arguments.width)
    seconds = measure(contestants(query, context), arguments.rounds)
    result = {
        "seconds": seconds,
        "median": {name: statistics.median(times) for name, times in seconds.items()},
        **compare(query, context),
        "peak_megabytes": peak,
        **machine(),
    }
    print_table(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
