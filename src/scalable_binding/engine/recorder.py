"""What a run says of itself while it goes: means of its metrics, in the log and on the screen."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import Tensor

from scalable_binding.engine.distributed import Ranks
from scalable_binding.engine.fit_config import FitConfig
from scalable_binding.engine.log import Log
from scalable_binding.engine.progress import ProgressLine
from scalable_binding.errors import UserError


class Recorder:
    """Collects metrics on the device; every report waits for the device once. A context manager.

    The first rank writes and shows; the others only contribute to the means.
    """

    def __init__(self, run: Path, config: FitConfig, ranks: Ranks, *, start: int) -> None:
        self._ranks = ranks
        self._totals: dict[str, Tensor] = {}
        self._count = 0
        self._since = time.monotonic()
        self._parts: tuple[Log, ProgressLine] | None = None
        if ranks.is_first:
            log = Log(run, start=start, tensorboard=config.tensorboard)
            self._parts = log, ProgressLine(config.steps, start=start, shown=config.progress)

    def add(self, metrics: Mapping[str, Tensor]) -> None:
        """Take in the metrics of one step: scalars under the same names at every step."""
        for name, value in metrics.items():
            self._totals[name] = self._totals[name] + value if name in self._totals else value
        self._count += 1

    def report(self, step: int, *, lr: float) -> None:
        """Log and show the means since the last report (every rank must call).

        Raises:
            UserError: the loss is no finite number any more, or the log cannot be written.
        """
        if self._count == 0:
            return
        names = sorted(self._totals)
        sums = torch.stack([self._totals[name] for name in names])
        values = (self._ranks.mean(sums) / self._count).tolist()
        now = time.monotonic()
        speed = self._count / max(now - self._since, 1e-9)
        self._totals, self._count, self._since = {}, 0, now
        figures = {**dict(zip(names, values, strict=True)), "lr": lr, "steps_per_second": speed}
        self._write(step, figures)
        if not math.isfinite(figures["loss"]):
            raise UserError(
                f"loss up to step {step}",
                expected="a finite number",
                got=str(figures["loss"]),
                fix="lower optimizer.lr, lengthen schedule.warm_up or set clip_norm; "
                "the checkpoint before is kept",
            )

    def note(self, step: int, figures: Mapping[str, float]) -> None:
        """Log what a hook measured."""
        if self._parts is not None and figures:
            self._parts[0].write(step, figures)

    def __enter__(self) -> Recorder:
        self._stack = ExitStack()
        for part in self._parts or ():
            self._stack.enter_context(part)
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def _write(self, step: int, figures: dict[str, float]) -> None:
        if self._parts is not None:
            log, progress = self._parts
            log.write(step, figures)
            progress.show(step, figures)
