"""The demo: each system's main job on bundled data, shown in one HTML report.

A chapter is a package here whose ``CHAPTER`` is a :class:`context.DemoChapter`: a function from a
:class:`context.Context` to sections of the report with their scores. ``runner.CHAPTERS`` lists them
in order; each has a settings dataclass in ``config.py``.
"""

from scalable_binding.demo.config import (
    CARMLSettings,
    CRWSettings,
    DemoConfig,
    FlowSettings,
    PermanenceSettings,
    RINSettings,
)
from scalable_binding.demo.runner import run

__all__ = [
    "CARMLSettings",
    "CRWSettings",
    "DemoConfig",
    "FlowSettings",
    "PermanenceSettings",
    "RINSettings",
    "run",
]
