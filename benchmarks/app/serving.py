"""The page's server in a process of its own, and requests to it with their seconds."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class Client:
    """Requests over one connection that stays open, as a browser's do."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.prefix = parts.path
        self._host = parts.netloc
        self._connection = http.client.HTTPConnection(self._host, timeout=120)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[float, bytes]:
        """Seconds that an answer took, and its body.

        Raises:
            RuntimeError: the server refused.
        """
        data = None if body is None else json.dumps(body)
        headers = {"content-type": "application/json"} if data else {}
        start = time.perf_counter()
        self._connection.request(method, f"{self.prefix}api/{path}", data, headers)
        answer = self._connection.getresponse()
        found = answer.read()
        seconds = time.perf_counter() - start
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {found[:200].decode(errors='replace')}")
        return seconds, found

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ask("GET", "state")[1])
        return found

    def events(self) -> Iterator[dict[str, Any]]:
        """What the server tells from now on, over a connection of its own."""
        connection = http.client.HTTPConnection(self._host, timeout=120)
        connection.request("GET", f"{self.prefix}api/events")
        answer = connection.getresponse()
        answer.readline()  # the server listens for us
        lines = iter(answer.readline, b"")
        return (json.loads(line[6:]) for line in lines if line.startswith(b"data: "))


@contextmanager
def server(arguments: Sequence[str]) -> Iterator[tuple[Client, int]]:
    """A client of `sbind app`, and the id of its process."""
    command = [sys.executable, "-m", "scalable_binding", "app", "--no-browser", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        try:
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found is not None
            yield Client(found[0]), process.pid
        finally:
            process.terminate()


def peak_memory(process: int) -> float:
    """The most memory that a process has held so far, in GB (Linux)."""
    text = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    assert found is not None
    return int(found[1]) * 1024 / 1e9
