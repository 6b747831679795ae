"""Time of label propagation beside an earlier commit of this repository.

    python -m benchmarks.crw.propagate_speed [--peer 92a9a41] [--height 480 --width 854]

Processes with this source and with that of the peer's commit label the same frames with the shipped
encoder and a full context of 20 frames, in turns (A B A B), on one thread; one of them carries 20
objects, the others one. Seconds are those that the process was given by the processor, and each has
its own peak memory. Two minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

from benchmarks import timing

WORKER = """
import json, resource, sys, time
import torch
torch.set_num_threads(1)
from scalable_binding.crw import model
from scalable_binding.crw.inference import Propagator
from scalable_binding.crw.presets import PropagationConfig
height, width, objects, zoom = map(float, sys.argv[1:])
height, width, objects = int(height), int(width), int(objects)
generator = torch.Generator().manual_seed(0)
coarse = torch.rand(1, 3, height // 16 + 1, width // 16 + 1, generator=generator)
scene = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")[0]
scene = (255 * scene).byte()
columns = torch.arange(width) * (objects + 1) // width
mask = columns.to(torch.uint8).expand(height, width).contiguous()
encoder = model.load("shipped")
propagator = Propagator(encoder, PropagationConfig(zoom=zoom))
propagator.start(scene, mask)
count = [0]
def step():
    count[0] += 1
    moved = scene.roll(3 * count[0], dims=2)
    frame = moved.permute(1, 2, 0).contiguous().permute(2, 0, 1)  # as decoders give it
    began = time.process_time()
    encoder.features(frame)
    read = time.process_time()
    propagator.step(frame)
    return read - began, time.process_time() - read
for _ in range(21):  # a context of 20 frames
    step()
for _ in sys.stdin:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([*step(), peak]), flush=True)
"""


class Worker:
    """A process that labels a frame whenever it is asked."""

    def __init__(self, source: Path, height: int, width: int, objects: int, zoom: float) -> None:
        environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
        arguments = [str(value) for value in (height, width, objects, zoom)]
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER, *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def step(self) -> tuple[float, float, float]:
        """Return seconds of the encoder, seconds of the whole step, and peak memory in MB."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(file=self._process.stdin, flush=True)
        encoder, whole, peak = json.loads(self._process.stdout.readline())
        return encoder, whole, peak

    def close(self) -> None:
        self._process.communicate()


def source_of(commit: str, folder: Path) -> Path:
    """Write the sources of a commit into a folder."""
    command = ["git", "-C", str(timing.ROOT), "archive", commit, "src"]
    packed = subprocess.run(command, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder / "src"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", default="92a9a41")
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=854)
    parser.add_argument("--zoom", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    size = (chosen.height, chosen.width)
    ours = timing.ROOT / "src"
    with tempfile.TemporaryDirectory() as folder:
        peer = source_of(chosen.peer, Path(folder))
        workers = {
            "this source": Worker(ours, *size, 1, chosen.zoom),
            "this source, 20 objects": Worker(ours, *size, 20, chosen.zoom),
            f"commit {chosen.peer}": Worker(peer, *size, 1, chosen.zoom),
        }
        taken: dict[str, list[tuple[float, float, float]]] = {name: [] for name in workers}
        for _ in range(chosen.rounds):
            for name, worker in workers.items():
                taken[name].append(worker.step())
        for worker in workers.values():
            worker.close()
    print(json.dumps(timing.conditions()))
    whole = {name: statistics.median(w for _, w, _ in rows) for name, rows in taken.items()}
    for name, rows in taken.items():
        encoder = statistics.median(e for e, _, _ in rows)
        spread = max(w for _, w, _ in rows) - min(w for _, w, _ in rows)
        print(
            f"{name:24} {whole[name]:.3f} s a frame (spread {spread:.3f}), encoder {encoder:.3f}, "
            f"{whole[name] / whole[f'commit {chosen.peer}']:.2f} of the peer, "
            f"peak {max(p for _, _, p in rows):.0f} MB"
        )


if __name__ == "__main__":
    main()
