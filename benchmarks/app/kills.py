"""Kill the page's server at random moments; open the project again; look for what is lost.

    python -m benchmarks.app.kills [--kills 50] [--seed 0] [--json FILE]

Half of the kills (SIGKILL) fall into propagations, half into exports of a small clip. What was
shown is what the server has told a page: the frames that are labeled. After each kill the project
is opened again. Lost frames, masks that are not those of the opening before, and archives that
cannot be read are counted; the goal is none. Labels come from raw pixels, which is fast.
Needs Linux or macOS, and the extra `app`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import socket
import tempfile
import time
import zipfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
import uvicorn

from benchmarks import timing
from benchmarks.app.serving import Client
from scalable_binding.app import server
from scalable_binding.app.session import Session
from scalable_binding.app.workspace import Workspace, project_name
from scalable_binding.crw.presets import PropagationConfig
from scalable_binding.data.frames import videos

FRAMES, HEIGHT, WIDTH = 60, 96, 160
CONFIG = PropagationConfig(context=4, neighbors=3, radius=6.0)
TOKEN = "token"

PROCESSES = multiprocessing.get_context("fork")
"""Start fast, with all that has been imported; this process itself runs nothing of torch."""


def run(target: Callable[[Path], None], projects: Path) -> None:
    """Run something in a process of its own."""
    process = PROCESSES.Process(target=target, args=(projects,))
    process.start()
    process.join()


def label_first(projects: Path) -> None:
    """A small clip of a square that moves over noise, and a project whose first frame has it."""
    generator = torch.Generator().manual_seed(0)
    frames = (torch.rand(1, 3, HEIGHT, WIDTH, generator=generator) * 80).byte()
    frames = frames.repeat(FRAMES, 1, 1, 1)
    for number in range(FRAMES):
        frames[number, :, 32:64, 16 + number : 48 + number] = 200
    clip = projects / "clip.mp4"
    videos.write(clip, frames, fps=8)
    with Session(clip, projects / project_name(clip), model="raw", config=CONFIG) as session:
        session.add_object("square")
        session.fill_box(0, 1, (16, 32), (47, 63))


def serve(projects: Path, port: Connection) -> None:
    """Serve the clip until the process is killed; says its port."""
    workspace = Workspace(projects, projects, model="raw", config=CONFIG)
    workspace.open(projects / "clip.mp4")
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(16)
    port.send(listening.getsockname()[1])
    api = server.build(workspace, TOKEN, hosts=None)
    config = uvicorn.Config(api, log_level="error", access_log=False, ws="none")
    uvicorn.Server(config).run(sockets=[listening])


def inspect(projects: Path, found: Connection) -> None:
    """Send the masks of all labeled frames, and the names of archives that cannot be read."""
    folder = projects / project_name(projects / "clip.mp4")
    with Session(None, folder, model="raw") as session:
        frames = {status.frame for status in session.statuses()}
        there = {frame: session.mask(frame, 1) for frame in frames}
    damaged = []
    for path in (folder / "exports").glob("*.zip"):
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                damaged.append(path.name)
    found.send((there, damaged))


def watch_and_kill(
    projects: Path, random_numbers: random.Random, *, exporting: bool
) -> dict[int, float]:
    """Let a job run and kill the server in it; the frames shown, with their confidence."""
    here, there = PROCESSES.Pipe()
    process = PROCESSES.Process(target=serve, args=(projects, there))
    process.start()
    client = Client(f"http://127.0.0.1:{here.recv()}/{TOKEN}/")
    shown: dict[int, float] = {}
    try:
        events = client.events()
        known = client.state()["labels"]["1"]["frames"]
        if exporting:
            client.ask("POST", "export", {"format": "png"})
        else:
            client.ask("POST", "propagate", {"direction": "forward"})
        left = random_numbers.randrange(1, 12)
        for event in events:
            if event["type"] == "frame":
                shown[event["frame"]] = event["confidence"][0]
            left -= event["type"] in ("frame", "progress", "exported")
            if left <= 0 or event.get("job", {}).get("state") == "done":
                break
        time.sleep(random_numbers.random() * 0.1)
    finally:
        process.kill()
        process.join()
    return {**dict.fromkeys(known, 1.0), **shown}


def losses(projects: Path, shown: dict[int, float], before: dict[int, np.ndarray]) -> list[str]:
    """What is lost of what was shown, in words; ``before`` takes masks to compare later."""
    here, there = PROCESSES.Pipe()
    process = PROCESSES.Process(target=inspect, args=(projects, there))
    process.start()
    now, damaged = here.recv()
    process.join()
    found = [f"{name} is damaged" for name in damaged]
    found += [f"frame {frame} is gone" for frame in shown if frame not in now]
    for frame, mask in now.items():
        if frame in before and (before[frame] != mask).any():
            found.append(f"the mask of frame {frame} has changed")
    before.update(now)
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--kills", type=int, default=50)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    random_numbers = random.Random(given.seed)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        projects = Path(folder)
        run(label_first, projects)
        before: dict[int, np.ndarray] = {}
        for number in range(given.kills):
            exporting = bool(number % 2)
            shown = watch_and_kill(projects, random_numbers, exporting=exporting)
            lost = losses(projects, shown, before)
            row = {"": "export" if exporting else "propagate", "shown": len(shown)}
            rows.append({**row, "lost": len(lost)})
            print(f"kill {number + 1}: {rows[-1]} {lost or ''}", flush=True)
            if len(before) >= FRAMES - 12:  # begin again, so that there is something to propagate
                projects = Path(tempfile.mkdtemp(dir=folder))
                run(label_first, projects)
                before = {}
    facts: dict[str, object] = timing.conditions()
    for kind in ("propagate", "export"):
        own = [row for row in rows if row[""] == kind]
        facts[f"kills during {kind}"] = f"{len(own)}, lost {sum(row['lost'] for row in own)}"
    facts["goal"] = f"nothing lost: {'missed' if any(r['lost'] for r in rows) else 'met'}"
    timing.report([], facts, given.json)


if __name__ == "__main__":
    main()
