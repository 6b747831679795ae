"""How fast the page's server answers: clicks, scrubbing, and requests while a propagation runs.

    python -m benchmarks.app.responsiveness [VIDEO] [--json FILE]
    python -m benchmarks.app.responsiveness [VIDEO] --minutes 10   # a long one, by repeating

The goals, on two idle cores at 480p: a click within 1.5 s once its features are there, any frame
within .15 s, no request above .5 s while labels are propagated. A long video opens within 3 s, and
the server stays below 2 GB. VIDEO is the bundled clip where none is given. "CPU s" are the seconds
that the server computed for a request, as an idle core would take (Linux).
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
from pathlib import Path
from typing import Any

import av

from benchmarks import timing
from benchmarks.app.serving import Client, peak_memory, server
from scalable_binding.demo.crw.video import CLIP

LIMITS = {"click": 1.5, "scrub": 0.15, "request while propagating": 0.5, "open": 3.0}
"""Seconds."""

MEMORY = 2.0
"""GB."""


def repeat(video: Path, target: Path, minutes: float) -> None:
    """A longer video: the packets of one, again and again, without encoding anew."""
    with av.open(str(target), "w") as out, av.open(str(video)) as first:
        stream = first.streams.video[0]
        copied = out.add_stream_from_template(stream)
        packets = [packet for packet in first.demux(stream) if packet.pts is not None]
        assert stream.time_base is not None
        length = max(int(packet.pts or 0) + int(packet.duration or 0) for packet in packets)
        rounds = int(minutes * 60 / (length * float(stream.time_base))) + 1
        for number in range(rounds):
            with av.open(str(video)) as again:
                for packet in again.demux(again.streams.video[0]):
                    if packet.pts is None or packet.dts is None:
                        continue
                    packet.pts += number * length
                    packet.dts += number * length
                    packet.stream = copied
                    out.mux(packet)


def scrub(client: Client, frames: list[int]) -> list[float]:
    """Seconds to each frame and its mask."""
    return [
        client.ask("GET", f"frames/{number}.jpg")[0] + client.ask("GET", f"masks/{number}")[0]
        for number in frames
    ]


class Computed:
    """Seconds that a process has computed, by kind of request."""

    def __init__(self, process: int) -> None:
        self.seconds: dict[str, float] = {}
        self._file = Path(f"/proc/{process}/stat")
        self._last = self._now()

    def take(self, name: str) -> None:
        """Count what was computed since the last call for ``name``."""
        now = self._now()
        self.seconds[name] = now - self._last
        self._last = now

    def _now(self) -> float:
        fields = self._file.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(client: Client, name: str, computed: Computed) -> dict[str, list[float]]:
    """Seconds by kind of request."""
    computed.take("")
    seconds = {"open": [client.ask("POST", "open", {"path": name})[0]]}
    video = client.state()["video"]
    count, height, width = video["num_frames"], video["height"], video["width"]
    numbers = random.Random(0)
    some = [numbers.randrange(count) for _ in range(20)]
    seconds["open"][0] += client.ask("GET", "frames/0.jpg")[0]
    computed.take("open")
    client.ask("POST", "objects", {})
    client.ask("POST", "prepare/0")
    computed.take("")
    clicks = [
        (0.5, 0.5, True), (0.5, 0.6, True), (0.1, 0.1, False), (0.9, 0.1, False), (0.5, 0.4, True),
    ]  # fmt: skip
    seconds["click"] = []
    for x, y, positive in clicks:
        at = {"x": int(x * width), "y": int(y * height), "positive": positive}
        seconds["click"].append(client.ask("POST", "clicks/0/1", at)[0])
    computed.take("click")
    seconds["scrub"] = scrub(client, some)
    computed.take("scrub")
    client.ask("POST", "propagate", {"direction": "forward", "stop": min(count, 30)})
    during: list[float] = []
    while client.state()["jobs"] and len(during) < 120:
        during.append(client.ask("GET", "state")[0])
        number = numbers.randrange(count)
        for path in (f"frames/{number}.jpg", f"masks/{number}", f"labels/{number}"):
            during.append(client.ask("GET", path)[0])
    seconds["request while propagating"] = during
    return seconds


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("video", type=Path, nargs="?", default=CLIP / "juggling.mp4")
    options.add_argument("--minutes", type=float)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "video.mp4"
        if given.minutes:
            repeat(given.video, video, given.minutes)
        else:
            video.write_bytes(given.video.read_bytes())
        with server(["--root", folder]) as (client, process):
            computed = Computed(process)
            seconds = measure(client, video.name, computed)
            memory = peak_memory(process)
            shown = client.state()["video"]
    rows: list[dict[str, Any]] = []
    for name, each in seconds.items():
        cpu = computed.seconds.get(name)
        over = sum(second > LIMITS[name] for second in each)
        share = f"{over} of {len(each)}"
        rows.append(
            {
                "": name,
                "median s": statistics.median(each),
                "max s": max(each),
                "limit s": LIMITS[name],
                "CPU s": cpu / len(each) if cpu else "",
                "over": share,
            }
        )
    facts: dict[str, object] = timing.conditions()
    facts["video"] = "{num_frames} frames of {height} x {width}".format(**shown)
    facts["peak memory"] = f"{memory:.2f} GB (limit {MEMORY:g} GB)"
    timing.report(rows, facts, given.json)


if __name__ == "__main__":
    main()
