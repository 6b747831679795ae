"""What every section of the demo works with: settings, an output folder, a line of progress."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from scalable_binding.errors import UserError

_Item = TypeVar("_Item")


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """What the demo shows and how large; the defaults take a few minutes on two CPU cores.

    Args:
        seed: of the scene and of the random encoder; the same seed gives the same scores.
        weights: of the encoder to show, as in ``crw.model.load``.
        height, width, num_frames: the synthetic clip, in pixels and frames.
        video, labels: a real video (a file or a folder of frames) and the mask of its first frame.
        num_video_frames: how much of it is shown.
    """

    seed: int = 2
    weights: str = "shipped"
    height: int = 256
    width: int = 448
    num_frames: int = 40
    video: Path | None = None
    labels: Path | None = None
    num_video_frames: int = 60

    def __post_init__(self) -> None:
        if (self.video is None) != (self.labels is None):
            given, missing = ("--video", "--labels") if self.video else ("--labels", "--video")
            raise UserError(
                given, expected=f"{missing} beside it", fix="a mask labels a video's first frame"
            )
        if self.num_frames < 5:
            got = str(self.num_frames)
            raise UserError("demo, num_frames", expected="at least 5", got=got)


@dataclass(frozen=True)
class Stage:
    """The settings, the folder that files go to, and where progress is shown."""

    config: DemoConfig
    out: Path
    console: Console = field(default_factory=lambda: Console(file=sys.stderr))

    def say(self, what: str) -> None:
        """Tell the user what is being done now."""
        self.console.print(what, highlight=False)

    def track(self, items: Iterable[_Item], what: str, total: int) -> Iterator[_Item]:
        """The items, with a bar that moves as they are used."""
        yield from track(items, f"  {what:<28}", total, console=self.console)
