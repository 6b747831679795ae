"""Versions that results are reported with."""

from __future__ import annotations

import platform
from importlib.metadata import version

import torch

PACKAGE = "scalable-binding"


def installed_versions() -> dict[str, str]:
    """The versions of this package, of torch and of Python, by name."""
    return {
        PACKAGE: version(PACKAGE),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
