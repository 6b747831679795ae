"""Seconds of contestants that run in turns, and the conditions that they ran under."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import Any

import torch

from scalable_binding.nn.precision import has_fast_bfloat16
from scalable_binding.plots.curves import table

ROOT = Path(__file__).resolve().parents[1]

Seconds = dict[str, list[float]]

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def parser(purpose: str, *, rounds: int) -> argparse.ArgumentParser:
    """Return a parser of the options that every benchmark in turns has: rounds, clock, json."""
    options = argparse.ArgumentParser(description=purpose.split("\n")[0])
    options.add_argument("--rounds", type=int, default=rounds, help="times that each run is timed")
    options.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="cpu counts the seconds that the process was given, which on a busy machine and with "
        "one thread (OMP_NUM_THREADS=1) come nearer to those on an idle one",
    )
    options.add_argument("--json", type=Path, help="also write the results to this file")
    return options


def in_turns(
    runs: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    clock: str = "wall",
    cold: Container[str] = (),
) -> Seconds:
    """Return the seconds of each run in each round: A B, A B, ..., so that all meet one weather.

    Every run but those named ``cold`` (slow enough not to need it) warms up first.
    """
    now = CLOCKS[clock]
    for name, run in runs.items():
        if name not in cold:
            run()
    seconds: Seconds = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = now()
            run()
            seconds[name].append(now() - start)
    return seconds


def speedups(seconds: Seconds, baseline: str) -> Seconds:
    """Return how many times faster than the baseline each run was, in each round."""
    return {
        name: [slow / fast for slow, fast in zip(seconds[baseline], own, strict=True)]
        for name, own in seconds.items()
    }


def compare(seconds: Seconds, baseline: str) -> list[dict[str, Any]]:
    """Return a row for each run: median and extremes of its seconds, and of its speed-ups."""
    rows = []
    for name, faster in speedups(seconds, baseline).items():
        own = seconds[name]
        rows.append(
            {
                "": name,
                "median s": statistics.median(own),
                "min s": min(own),
                "max s": max(own),
                "times faster": f"{statistics.median(faster):.2f}",
                "from - to": f"{min(faster):.2f} - {max(faster):.2f}",
            }
        )
    return rows


def conditions() -> dict[str, object]:
    """Return what a figure depends on: processor, threads, versions, commit."""
    commit = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    return {
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": subprocess.run(commit, capture_output=True, text=True).stdout.strip(),
    }


def processor() -> str:
    """Return the processor's name, its cores, and what is special about its arithmetic."""
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        lines = information.read_text().splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = models[0] if models else name
    kinds = [torch.backends.cpu.get_cpu_capability()]
    kinds += ["native bfloat16"] if has_fast_bfloat16("cpu") else []
    return f"{name}, {os.cpu_count()} cores, {', '.join(kinds)}"


def report(rows: list[dict[str, Any]], facts: Mapping[str, object], path: Path | None) -> None:
    """Print a table and facts, and write both to a JSON file where one is asked for."""
    if rows:
        print(table(rows))
    for name, value in facts.items():
        print(f"{name.replace('_', ' ')}: {value}")
    if path is not None:
        path.write_text(json.dumps({"rows": rows, **facts}, indent=2) + "\n", encoding="utf-8")
