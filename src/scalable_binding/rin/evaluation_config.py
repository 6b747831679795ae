"""Evaluation configuration. Torch is not imported, so that the command line can read it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scalable_binding.errors import UserError


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """Evaluation settings.

    Args:
        num: samples, or videos to predict.
        num_real: real samples to compare with; if not given, all of a finite data set, and as
            many as ``num`` of one that is drawn.
        features: the network whose features are compared: "digits", "moving-digits", a folder, or
            a file of Inception's or I3D's weights; if not given, a shipped one that fits, or none.
        reference: file of the real data's statistics: read if it is there, written if not.
        out: folder that keeps the samples, so that a stopped evaluation goes on.
        device: "auto" (CUDA where there is some), or a name such as "cpu" or "cuda:1".
    """

    num: int = 1000
    num_real: int | None = None
    features: str | None = None
    reference: Path | None = None
    out: Path | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("num", "num_real"):
            value = getattr(self, name)
            if value is not None and value < 2:
                raise UserError(name, expected="at least 2", got=str(value))
