"""The main jobs on what ships with the package, shown in one HTML report.

Every system tells a story: a package here whose ``STORY`` is a :class:`stage.Story`, which takes a
:class:`stage.Stage` (settings, a folder of its own, progress) and returns sections of the report
with their scores. ``story.STORIES`` lists them in the order of the report; the settings of each
have a dataclass in ``config.py``.
"""

from scalable_binding.demo.config import (
    CARMLSettings,
    CRWSettings,
    DemoConfig,
    FlowSettings,
    PermanenceSettings,
    RINSettings,
)
from scalable_binding.demo.story import run

__all__ = [
    "CARMLSettings",
    "CRWSettings",
    "DemoConfig",
    "FlowSettings",
    "PermanenceSettings",
    "RINSettings",
    "run",
]
