"""Long jobs, one at a time, and the events that tell every open page how they go."""

from __future__ import annotations

import asyncio
import itertools
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from scalable_binding.errors import UserError

Event = dict[str, Any]
State = Literal["queued", "running", "paused", "done", "stopped", "failed"]

MAX_QUEUED = 8
_MAX_EVENTS = 512  # waiting for a page that is slow to read


@dataclass
class Job:
    """Something that takes a while: an iterator whose items are events to publish."""

    id: int
    name: str
    start: Callable[[], Iterator[Event]]
    state: State = "queued"
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    error: str | None = None
    result: str | None = None
    stopping: bool = False
    going: threading.Event = field(default_factory=threading.Event)

    def describe(self) -> Event:
        """The job as the page shows it."""
        names = ("id", "name", "state", "done", "total", "seconds_left", "error", "result")
        return {name: getattr(self, name) for name in names}


class Broadcaster:
    """Sends events from any thread to every page that listens."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: list[tuple[asyncio.AbstractEventLoop, asyncio.Queue[Event]]] = []

    def publish(self, event: Event) -> None:
        """Give an event to all listeners; one that is far behind is told to load anew."""
        with self._lock:
            listeners = list(self._listeners)
        for loop, queue in listeners:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_put, queue, event)

    async def listen(self) -> asyncio.Queue[Event]:
        """A queue that fills with events until :meth:`leave`."""
        queue: asyncio.Queue[Event] = asyncio.Queue(_MAX_EVENTS)
        with self._lock:
            self._listeners.append((asyncio.get_running_loop(), queue))
        return queue

    def leave(self, queue: asyncio.Queue[Event]) -> None:
        """Stop filling a queue."""
        with self._lock:
            self._listeners = [each for each in self._listeners if each[1] is not queue]


def _put(queue: asyncio.Queue[Event], event: Event) -> None:
    if queue.full():
        while not queue.empty():
            queue.get_nowait()
        event = {"type": "reload"}
    queue.put_nowait(event)


class Jobs:
    """A queue of jobs and the thread that does them, one at a time."""

    def __init__(self, broadcaster: Broadcaster) -> None:
        self._broadcaster = broadcaster
        self._numbers = itertools.count(1)
        self._condition = threading.Condition()
        self._queue: deque[Job] = deque()
        self._current: Job | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)
        self._thread.start()

    def add(self, name: str, start: Callable[[], Iterator[Event]]) -> Job:
        """Queue a job.

        Raises:
            UserError: too many are waiting.
        """
        with self._condition:
            if len(self._queue) >= MAX_QUEUED:
                raise UserError(f"{MAX_QUEUED} jobs are waiting already", fix="stop one of them")
            job = Job(next(self._numbers), name, start)
            self._queue.append(job)
            self._condition.notify_all()
        self._tell(job)
        return job

    def all(self) -> list[Job]:
        """The job that runs and those that wait."""
        with self._condition:
            return [*([self._current] if self._current else []), *self._queue]

    def pause(self, number: int, *, paused: bool) -> None:
        """Hold a job before its next item, or let it go on.

        Raises:
            UserError: no such job runs.
        """
        job = self._running(number)
        job.state = "paused" if paused else "running"
        if paused:
            job.going.clear()
        else:
            job.going.set()
        self._tell(job)

    def stop(self, number: int) -> None:
        """End a job after its current item; what it made stays.

        Raises:
            UserError: no such job runs or waits.
        """
        with self._condition:
            waiting = next((job for job in self._queue if job.id == number), None)
            if waiting is not None:
                self._queue.remove(waiting)
                waiting.state = "stopped"
        if waiting is not None:
            self._tell(waiting)
            return
        job = self._running(number)
        job.stopping = True
        job.going.set()

    def stop_all(self) -> None:
        """End all jobs and wait for the one that runs."""
        for job in reversed(self.all()):
            try:
                self.stop(job.id)
            except UserError:
                continue  # it ended by itself meanwhile
        with self._condition:
            self._condition.wait_for(lambda: self._current is None)

    def close(self) -> None:
        """End all jobs and the thread."""
        self.stop_all()
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        self._thread.join()

    def _running(self, number: int) -> Job:
        with self._condition:
            if self._current is None or self._current.id != number:
                raise UserError(f"job {number} is not running")
            return self._current

    def _work(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._queue or self._closed)
                if self._closed:
                    return
                job = self._current = self._queue.popleft()
            self._do(job)
            with self._condition:
                self._current = None
                self._condition.notify_all()
            self._tell(job)

    def _do(self, job: Job) -> None:
        job.state = "running"
        job.going.set()
        self._tell(job)
        try:
            for event in job.start():
                self._take(job, event)
                job.going.wait()
                if job.stopping:
                    job.state = "stopped"
                    return
            job.state = "done"
        except UserError as error:
            job.state, job.error = "failed", str(error)
        except Exception:  # noqa: BLE001  (the thread has to live on; the page shows the line)
            traceback.print_exc()
            job.state = "failed"
            job.error = "this is a bug; its traceback is where the program was started"

    def _take(self, job: Job, event: Event) -> None:
        job.done, job.total = event.get("done", job.done), event.get("total", job.total)
        job.seconds_left = event.get("seconds_left", job.seconds_left)
        job.result = event.get("result", job.result)
        self._broadcaster.publish({**event, "job": job.describe()})

    def _tell(self, job: Job) -> None:
        self._broadcaster.publish({"type": "job", "job": job.describe()})
