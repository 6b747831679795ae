"""What an evaluation leaves in its folder, and finds there when it goes on.

``evaluation.json`` says what is evaluated and how; ``scores/NAME.json`` holds a sequence that is
done; ``predictions/NAME/`` its labels, as masks 00000.png, 00001.png, ... or ``keypoints.csv``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scalable_binding import atomic, files
from scalable_binding.crw.scoring import Result
from scalable_binding.data.labels import keypoints, masks
from scalable_binding.errors import UserError

Record = dict[str, Any]
"""Of a sequence: "scores", "num_frames", "seconds_per_frame" and the "evidence" of each kind."""

EVALUATION = "evaluation.json"


class Records:
    """The folder of an evaluation; without one, nothing is kept and nothing found.

    Args:
        out: the folder, made when it is not there.
        settings: everything that the scores depend on, in plain values. The name of the weights
            may differ where their fingerprint does not.
        overwrite: discard the records and predictions of another evaluation.

    Raises:
        UserError: the folder holds another evaluation or something else, or cannot be written.
    """

    def __init__(
        self, out: Path | None, settings: Mapping[str, Any], *, overwrite: bool = False
    ) -> None:
        self._out = out
        self._points: dict[Path, list[keypoints.Keypoint]] = {}
        if out is None:
            return
        found = _found(out)
        taken = [out / folder for folder in ("scores", "predictions") if (out / folder).exists()]
        if overwrite and found is None and taken:
            raise UserError(f"{taken[0]} is of no evaluation", fix="choose another folder")
        if overwrite and found != _comparable(settings):
            for folder in taken:
                shutil.rmtree(folder, ignore_errors=True)
        elif not overwrite:
            _refuse_others(out, settings)
        _write_json(out / EVALUATION, settings)

    def load(self, name: str) -> Record | None:
        """The record of a sequence that is done, or None.

        Raises:
            UserError: it is there and cannot be read.
        """
        if self._out is None or not (path := self._score_file(name)).is_file():
            return None
        record = files.read_json(path, fix="delete it")
        if not isinstance(record, dict) or "evidence" not in record:
            raise UserError(f"{path} is not a record of a sequence", fix="delete it")
        return record

    def write(self, name: str, kind: str, frame: int, result: Result) -> None:
        """Keep the labels of a frame of a sequence; points are written with its record."""
        if self._out is None:
            return
        folder = self._out / "predictions" / name / kind
        if isinstance(result, list):
            self._points.setdefault(folder / "keypoints.csv", []).extend(result)
        else:
            masks.write(folder / f"{frame:05}.png", result)

    def save(self, name: str, record: Record) -> None:
        """Keep the record of a sequence that is done, whole or not at all."""
        if self._out is None:
            return
        for path, points in self._points.items():
            keypoints.write(path, points)
        self._points = {}
        _write_json(self._score_file(name), record)

    def _score_file(self, name: str) -> Path:
        assert self._out is not None
        return self._out / "scores" / f"{name}.json"


def _refuse_others(out: Path, settings: Mapping[str, Any]) -> None:
    """Nothing, when the folder is new, empty or of the same evaluation."""
    try:
        is_new = not out.exists() or not any(out.iterdir())
    except OSError as error:
        raise UserError(f"output folder {out}: {error.strerror}") from error
    if is_new:
        return
    found, wanted = _found(out), _comparable(settings)
    if found is None:
        raise UserError(
            f"output folder {out} holds something else than an evaluation",
            fix="choose another, or give --overwrite",
        )
    differing = [name for name in wanted if found.get(name) != wanted[name]]
    if differing:
        names = ["weights" if name == "fingerprint" else name for name in differing]
        raise UserError(
            f"output folder {out} holds an evaluation with other {', '.join(names)}",
            fix="choose another, or give --overwrite",
        )


def _found(out: Path) -> dict[str, Any] | None:
    """The settings of the evaluation in a folder, but for those that do not matter."""
    path = out / EVALUATION
    if not path.is_file():
        return None
    found = files.read_json(path, fix="delete it")
    return _comparable(found) if isinstance(found, dict) else None


def _comparable(settings: Mapping[str, Any]) -> dict[str, Any]:
    named = ("weights", "calibrate")  # what they come to is in the fingerprint
    return {name: value for name, value in settings.items() if name not in named}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with atomic.replacing(path) as temporary:
        temporary.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")
