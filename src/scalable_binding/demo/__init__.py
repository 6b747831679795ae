"""The main job on what ships with the package, shown in one HTML report.

Every part of the library adds a section: a function that takes a ``Stage`` (settings, output
folder, progress) and returns a ``Section`` of the report with its scores.
"""

from scalable_binding.demo.stage import DemoConfig
from scalable_binding.demo.story import run

__all__ = ["DemoConfig", "run"]
