"""A process that steps a few environments and writes what they show into shared memory."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from scalable_binding.envs.adapter import Adapter, Factory, check_finite
from scalable_binding.errors import UserError

READY = "ready"
"""What a worker says once its environments are made."""


@dataclass(frozen=True)
class Failed:
    """A step that raised: the number of the environment, and the exception in one line."""

    number: int
    text: str


def describe(error: Exception) -> str:
    """An exception in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def name_of(name: str, number: int) -> str:
    """What errors call one environment of a batch."""
    return f"{name} (environment {number})"


def serve(
    connection: Connection,
    memory: Any,
    factory: Factory,
    name: str,
    size: int | None,
    numbers: tuple[int, ...],
    shape: tuple[int, ...],
    dtype: str,
) -> None:
    """Answer commands until the other side is gone.

    A command is ("reset", seeds), ("step", (actions, alive)) or ("ground_truth", None); the answer
    is (rewards, dones) or a list of truths, a :class:`Failed`, or a :class:`UserError`.
    Observations go to the rows ``numbers`` of the memory.
    """
    # Ctrl-C reaches the whole group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    rows = np.frombuffer(memory, dtype).reshape(-1, *shape)
    adapters: dict[int, Adapter] = {}
    number = numbers[0]
    try:
        for number in numbers:
            adapters[number] = Adapter(factory, name_of(name, number), size)
        connection.send(READY)
        while True:
            command, what = connection.recv()
            if command == "ground_truth":
                connection.send([adapters[number].ground_truth() for number in numbers])
                continue
            rewards, dones = np.zeros(len(numbers), np.float32), np.zeros(len(numbers), bool)
            for place, number in enumerate(numbers):
                if command == "reset":
                    rows[number] = adapters[number].reset(what[place])
                elif what[1][place]:
                    adapter = adapters[number]
                    rows[number], rewards[place], dones[place] = adapter.step(what[0][place])
            own = [adapters[number] for number in numbers]
            check_finite(own, rows[list(numbers)], rewards)
            connection.send((rewards, dones))
    except (EOFError, BrokenPipeError):
        return
    except UserError as error:
        connection.send(error)
    except Exception as error:  # noqa: BLE001 - anything that a user's environment may raise
        connection.send(Failed(number, describe(error)))
    finally:
        for adapter in adapters.values():
            adapter.close()
