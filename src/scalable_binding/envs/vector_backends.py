"""Execution backends of a vectorized environment: this process, or worker processes beside it.

Gymnasium's own vector environments are not enough: they do not restart an environment or a worker
that fails or hangs, and they do not seed each episode, which exact resumption needs.

An environment that raises, or a worker that dies or does not answer in time, is made anew and its
episode counts as over; that is said in a warning. After a number of times it is an error.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import time
import warnings
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np

from scalable_binding.envs.adapter import Adapter, Factory, check_finite
from scalable_binding.envs.worker import READY, Failed, describe, name_of, serve
from scalable_binding.errors import UserError

_START_SECONDS = 120.0

Answers = tuple[np.ndarray, np.ndarray]
"""Rewards and dones, one an environment."""


class EnvironmentWarning(UserWarning):
    """An environment failed and was made anew."""


@dataclass
class RestartBudget:
    """How many restarts of failed environments are left before a failure is an error."""

    name: str
    left: int

    def spend(self, who: str, why: str) -> None:
        """Warn of a failure.

        Raises:
            UserError: it was one too many.
        """
        if self.left == 0:
            raise UserError(
                f"{who} failed again: {why}",
                fix="mend the environment, or allow more with restarts=N",
            )
        self.left -= 1
        warnings.warn(f"{who} is started anew: {why}", EnvironmentWarning, stacklevel=3)


class InProcessBackend:
    """All environments in this process, one after the other."""

    def __init__(
        self,
        factory: Factory,
        name: str,
        size: int | None,
        first: Adapter,
        budget: RestartBudget,
        num: int,
    ) -> None:
        self._factory, self._name, self._size = factory, name, size
        self._budget = budget
        rest = [Adapter(factory, name_of(name, number), size) for number in range(1, num)]
        self._adapters = [first, *rest]
        space = first.observation_space
        self.observations = np.zeros((num, *space.shape), space.dtype)

    def reset(self, seeds: list[int]) -> None:
        """Begin an episode everywhere; an environment that cannot is made anew and tries again."""
        self._seeds = seeds
        for number in range(len(seeds)):
            self.observations[number] = self._begin(number)
        check_finite(self._adapters, self.observations)

    def step(self, actions: np.ndarray, alive: np.ndarray) -> Answers:
        """Step the environments that are alive; one that fails is done."""
        rewards, dones = [0.0] * len(alive), [False] * len(alive)
        adapters, rows = self._adapters, self.observations
        for number in alive.nonzero()[0].tolist():
            try:
                seen, rewards[number], dones[number] = adapters[number].step(actions[number])
                rows[number] = seen
            except UserError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a user's environment raises
                self._begin(number, failed=error)
                dones[number] = True
        paid = np.array(rewards, np.float32)
        check_finite(adapters, rows, paid)
        return paid, np.array(dones)

    def truths(self) -> list[dict[str, np.ndarray]]:
        """The true states.

        Raises:
            UserError: an environment cannot tell its own.
        """
        found = []
        for number, adapter in enumerate(self._adapters):
            try:
                found.append(adapter.ground_truth())
            except UserError:
                raise
            except Exception as error:
                who = name_of(self._name, number)
                raise UserError(f"true state of {who}", got=describe(error)) from error
        return found

    def close(self) -> None:
        """Close every environment."""
        for adapter in self._adapters:
            adapter.close()

    def _begin(self, number: int, failed: Exception | None = None) -> np.ndarray:
        """What an environment shows at first; one that fails, or has ``failed``, is made anew."""
        who = name_of(self._name, number)
        while True:
            if failed is not None:
                self._budget.spend(who, describe(failed))
                with contextlib.suppress(Exception):
                    self._adapters[number].close()
            try:
                if failed is not None:
                    self._adapters[number] = Adapter(self._factory, who, self._size)
                return self._adapters[number].reset(self._seeds[number])
            except UserError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a user's environment raises
                failed = error


@dataclass
class _Worker:
    number: int
    numbers: tuple[int, ...]
    process: BaseProcess
    connection: Connection
    ready: bool = False

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


@dataclass
class WorkerBackend:
    """Environments shared out among processes, which are watched and started anew.

    Args:
        factory: makes an environment; it is pickled, so it must be a function of a module, a
            class, or ``functools.partial`` of one.
        name: what errors call the environment.
        size: of a frame, None as it comes.
        first: an environment that tells the spaces; it is closed.
        budget: how often workers may fail.
        num: how many environments there are.
        num_workers: processes.
        timeout: seconds that a worker may take to answer.
    """

    factory: Factory
    name: str
    size: int | None
    first: Adapter
    budget: RestartBudget
    num: int
    num_workers: int
    timeout: float
    observations: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        space = self.first.observation_space
        self.first.close()
        self._shape, self._dtype = space.shape, np.dtype(space.dtype)
        self._context = multiprocessing.get_context("spawn")
        num_bytes = self.num * int(np.prod(self._shape)) * self._dtype.itemsize
        self._memory: Any = self._context.RawArray("B", num_bytes)
        rows = np.frombuffer(self._memory, self._dtype)
        self.observations = rows.reshape(self.num, *self._shape)
        shares = np.array_split(np.arange(self.num), self.num_workers)
        self._workers = [
            self._start(number, tuple(share.tolist())) for number, share in enumerate(shares)
        ]

    def reset(self, seeds: list[int]) -> None:
        """Begin an episode everywhere; a worker that fails to is started anew and tries again."""
        self._seeds = seeds
        self._begin(list(range(self.num_workers)))

    def step(self, actions: np.ndarray, alive: np.ndarray) -> Answers:
        """Step the environments that are alive; those of a worker that fails are done."""
        commands = {}
        for number, worker in enumerate(self._workers):
            share = list(worker.numbers)
            commands[number] = ("step", (actions[share], alive[share]))
        rewards, dones = np.zeros(self.num, np.float32), np.ones(self.num, bool)
        answers = self._ask(commands)
        for number, answer in answers.items():
            if answer is not None:
                share = list(self._workers[number].numbers)
                rewards[share], dones[share] = answer
        failed = [number for number, answer in answers.items() if answer is None]
        if failed:
            seen = self.observations.copy()  # an episode that is over ends with what it showed last
            self._begin(failed)
            self.observations[:] = seen
        return rewards, dones

    def _begin(self, waiting: list[int]) -> None:
        """Reset the environments of these workers, until all of them have managed it."""
        while waiting:
            commands = {
                number: ("reset", [self._seeds[n] for n in self._workers[number].numbers])
                for number in waiting
            }
            answers = self._ask(commands)
            waiting = [number for number in waiting if answers[number] is None]

    def truths(self) -> list[dict[str, np.ndarray]]:
        """The true states."""
        found: dict[int, list[dict[str, np.ndarray]]] = {}
        while waiting := [n for n in range(self.num_workers) if found.get(n) is None]:
            found |= self._ask(dict.fromkeys(waiting, ("ground_truth", None)))
            self._begin([number for number in waiting if found[number] is None])
        return [truth for number in range(self.num_workers) for truth in found[number]]

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.kill()
        self._workers = []

    def _start(self, number: int, numbers: tuple[int, ...]) -> _Worker:
        here, there = self._context.Pipe()
        arguments = (self.factory, self.name, self.size, numbers, self._shape, self._dtype.str)
        process = self._context.Process(
            target=serve, args=(there, self._memory, *arguments), daemon=True
        )
        try:
            process.start()
        except (AttributeError, TypeError) as error:
            raise UserError(
                f"{self.name} in a worker",
                expected="something that can be pickled",
                got=describe(error),
                fix="define it in a module, or use vector=sync",
            ) from error
        there.close()
        return _Worker(number, numbers, process, here)

    def _ask(self, commands: dict[int, tuple[str, Any]]) -> dict[int, Any]:
        """The answers of workers; None of one that failed and has been started anew."""
        answers: dict[int, Any] = {}
        for number, command in commands.items():
            self._await_start(number)
            # That a worker is dead is told by reading its answer.
            with contextlib.suppress(OSError):
                self._workers[number].connection.send(command)
        deadline = time.monotonic() + self.timeout
        while waiting := [number for number in commands if number not in answers]:
            pipes: dict[Any, int] = {self._workers[n].connection: n for n in waiting}
            ready = wait(list(pipes), max(0.0, deadline - time.monotonic()))
            for pipe in ready:
                answers[pipes[pipe]] = self._read(pipes[pipe])
            if not ready:
                for number in waiting:
                    self._replace(number, f"no answer in {self.timeout:g} seconds")
                    answers[number] = None
        return answers

    def _await_start(self, number: int) -> None:
        while not self._workers[number].ready:
            if not self._workers[number].connection.poll(max(self.timeout, _START_SECONDS)):
                self._replace(number, "it does not start")
            elif self._read(number) == READY:
                self._workers[number].ready = True

    def _read(self, number: int) -> Any:
        worker = self._workers[number]
        try:
            answer = worker.connection.recv()
        except (EOFError, ConnectionError):
            worker.process.join()
            self._replace(number, f"its process ended with code {worker.process.exitcode}")
            return None
        if isinstance(answer, UserError):
            raise answer
        if isinstance(answer, Failed):
            self._replace(number, f"{name_of(self.name, answer.number)}: {answer.text}")
            return None
        return answer

    def _replace(self, number: int, why: str) -> None:
        worker = self._workers[number]
        worker.kill()
        first, last = worker.numbers[0], worker.numbers[-1]
        self.budget.spend(f"worker {number} of {self.name} (environments {first} to {last})", why)
        self._workers[number] = self._start(number, worker.numbers)


Backend = InProcessBackend | WorkerBackend
"""Steps environments; what they show is in ``observations``, one row each."""
