"""Kills of a labeling session: the project opens, and nothing that was shown is lost."""

from __future__ import annotations

import hashlib
import os
import random
import sys
from functools import partial
from pathlib import Path

from app import scenes
from attack.attempts import Tally, attempt
from scalable_binding.app.exports import export
from scalable_binding.app.session import Session

KIND = "kill: session"


def kills_of_sessions(folder: Path, count: int, draw: random.Random, tally: Tally) -> None:
    """Killed while masks spread and are exported, each time in a project of its own."""
    clip = scenes.write(folder)
    whole = folder / "whole"
    outcome, text = attempt(partial(_work, clip, whole), limit=300)
    tally.add(KIND, outcome, text[-500:])
    expected = _shown(whole)
    for number in range(count):
        place = folder / f"killed-{number}"
        outcome, text = attempt(partial(_work, clip, place), kill_after=0.2 + draw.random() * 2)
        tally.add(KIND, outcome, text[-500:])
        before = _shown(place)
        outcome, text = attempt(partial(_compare, clip, place, before))
        tally.add(KIND, "silent difference" if outcome == "refused" else outcome, text[-500:])
        outcome, text = attempt(partial(_work, clip, place), limit=300)
        tally.add(KIND, outcome, text[-500:])
        if outcome == "done":
            equal = _shown(place).items() >= expected.items()
            tally.add(KIND, "same masks" if equal else "silent difference", str(place))


def _work(clip: Path, place: Path) -> int:
    """Label, propagate and export; each frame that is shown is written down with its digest."""
    place.mkdir(exist_ok=True)
    with (
        Session(clip, place / "project", model=scenes.RawPatches(), config=scenes.SHARP) as session,
        (place / "shown").open("ab", buffering=0) as shown,
    ):
        if not session.objects:
            session.add_object()
        if not session.mask(0, 1).any():
            session.set_mask(0, 1, scenes.scene()[1].numpy()[0] == 1)
        _note(shown.fileno(), session, 0)
        for step in session.propagate():
            _note(shown.fileno(), session, step.frame)
        for number in range(scenes.COUNT):
            _note(shown.fileno(), session, number)
        if not (place / "masks").exists():
            for _ in export(session.labels, "png", place / "masks"):
                pass
    whole = sorted(path.name for path in (place / "masks").iterdir())
    return 0 if len(whole) == scenes.COUNT else 1


def _note(file: int, session: Session, frame: int) -> None:
    os.write(file, f"{frame} {_digest(session, frame)}\n".encode())


def _digest(session: Session, frame: int) -> str:
    return hashlib.sha256(session.ids(frame).tobytes()).hexdigest()


def _shown(place: Path) -> dict[int, str]:
    """The digest of each frame as it was last shown."""
    path = place / "shown"
    lines = path.read_text().split("\n")[:-1] if path.is_file() else []
    return {int(frame): digest for frame, digest in map(str.split, lines)}


def _compare(clip: Path, place: Path, shown: dict[int, str]) -> int:
    """2 where a frame is not as it was shown."""
    if not shown:
        return 0
    with Session(None, place / "project", model=scenes.RawPatches(), config=scenes.SHARP) as again:
        lost = [frame for frame, digest in shown.items() if _digest(again, frame) != digest]
    if lost:
        sys.stdout.write(f"frames {lost} of {clip} are not as they were shown\n")
    return 2 if lost else 0
