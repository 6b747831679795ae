"""What the demo shows and how large: settings of the whole, and of each of its chapters."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from scalable_binding.errors import UserError, require_least


@dataclass(frozen=True, kw_only=True)
class CRWSettings:
    """Settings of the chapter of the contrastive random walk.

    Args:
        weights: of the encoder to show, as in ``crw.model.load``; None takes the shipped encoder
            where the package holds one and random features where it does not, and says which.
        height, width, num_frames: the synthetic clip, in pixels and frames.
        zoom: the factor by which its frames are read enlarged; its limbs are thin.
        video, labels: a real video (a file or a folder of frames) and the mask of its first frame.
        num_video_frames: frames of it that are shown.
        num_clip_frames: frames of the bundled real clip that are shown.
    """

    weights: str | None = None
    height: int = 256
    width: int = 448
    num_frames: int = 40
    zoom: float = 2.0
    video: Path | None = None
    labels: Path | None = None
    num_video_frames: int = 60
    num_clip_frames: int = 48

    def __post_init__(self) -> None:
        if (self.video is None) != (self.labels is None):
            given, missing = ("--video", "--labels") if self.video else ("--labels", "--video")
            raise UserError(
                given, expected=f"{missing} beside it", fix="a mask labels a video's first frame"
            )
        if self.num_frames < 5:
            got = str(self.num_frames)
            raise UserError("demo, num_frames", expected="at least 5", got=got)
        for name in ("num_video_frames", "num_clip_frames"):
            value = getattr(self, name)
            require_least(f"demo, {name}", value, 1)


@dataclass(frozen=True, kw_only=True)
class RINSettings:
    """Settings of the chapter of recurrent interface networks.

    Args:
        digits, moving_digits: run folders of the networks to show; None takes those that ship.
        steps: of the reverse process.
        num_rows: samples of each class.
        num_futures: of the video.
    """

    digits: str | None = None
    moving_digits: str | None = None
    steps: int = 100
    num_rows: int = 6
    num_futures: int = 3

    def __post_init__(self) -> None:
        for name in ("steps", "num_rows", "num_futures"):
            value = getattr(self, name)
            if value < 1:
                raise UserError(f"demo, {name}", expected="at least 1", got=str(value))


@dataclass(frozen=True, kw_only=True)
class CARMLSettings:
    """Settings of the chapter of CARML.

    Args:
        run: run folder of an agent; None takes those that ship.
        num_trials: trials of its own tasks, for the skill maps.
        num_tasks: test tasks that are scored.
        num_shown: test tasks whose trials are filmed.
    """

    run: str | None = None
    num_trials: int = 192
    num_tasks: int = 100
    num_shown: int = 3

    def __post_init__(self) -> None:
        for name in ("num_trials", "num_tasks", "num_shown"):
            value = getattr(self, name)
            if value < 1:
                raise UserError(f"demo, {name}", expected="at least 1", got=str(value))
        if self.num_shown > self.num_tasks:
            expected = f"at most num_tasks, {self.num_tasks}"
            raise UserError("demo, num_shown", expected=expected, got=str(self.num_shown))


@dataclass(frozen=True, kw_only=True)
class FlowSettings:
    """Settings of the chapter of optical flow.

    Args:
        weights: of the network to show, as in ``flow.model.load``; None takes the one that ships.
        height, width, num_frames: the synthetic clip, in pixels and frames.
    """

    weights: str | None = None
    height: int = 192
    width: int = 320
    num_frames: int = 10

    def __post_init__(self) -> None:
        if self.num_frames < 2:
            got = str(self.num_frames)
            raise UserError("demo, flow.num_frames", expected="at least 2", got=got)


@dataclass(frozen=True, kw_only=True)
class PermanenceSettings:
    """Settings of the chapter of hidden objects.

    Args:
        weights: run folder of the tracker to show; None takes the one that ships.
        num_games: games of each kind to score on, besides the one of each kind that is shown.
    """

    weights: str | None = None
    num_games: int = 4

    def __post_init__(self) -> None:
        if self.num_games < 1:
            got = str(self.num_games)
            raise UserError("demo, permanence.num_games", expected="at least 1", got=got)


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """Settings of the demo; the defaults take a minute and a half on two CPU cores.

    Args:
        seed: of everything that is drawn; the same seed gives the same scores. The default is a
            scene that is easy to follow with the eye.
        crw: of the chapter of that name, and so on for every chapter.
    """

    seed: int = 12
    crw: CRWSettings = field(default_factory=CRWSettings)
    rin: RINSettings = field(default_factory=RINSettings)
    flow: FlowSettings = field(default_factory=FlowSettings)
    permanence: PermanenceSettings = field(default_factory=PermanenceSettings)
    carml: CARMLSettings = field(default_factory=CARMLSettings)
