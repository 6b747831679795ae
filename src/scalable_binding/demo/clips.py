"""The real clip that ships with the package."""

from pathlib import Path

CLIP = Path(__file__).parent / "clip"
"""Folder of ``juggling.mp4`` and of the mask of its first frame, ``juggling.png``."""
