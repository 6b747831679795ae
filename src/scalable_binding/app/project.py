"""A labeling project on the disk: objects, labels of frames, locks and the history of edits.

One SQLite file in a folder, written ahead of what is shown: every call commits before it returns,
so that killing the program at any moment loses nothing that was seen.
"""

from __future__ import annotations

import base64
import json
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from scalable_binding.errors import UserError

FILE = "project.db"
VERSION = 1
MAX_ACTIONS = 500
"""Edits that can be undone."""

Kind = Literal["mask", "point"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS objects (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, color TEXT NOT NULL, kind TEXT NOT NULL,
    removed INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS locks (frame INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS labels (
    frame INTEGER, object INTEGER, given INTEGER NOT NULL, mask BLOB, soft BLOB, x REAL, y REAL,
    confidence REAL NOT NULL, anchor INTEGER, far INTEGER, direction INTEGER NOT NULL,
    stale INTEGER NOT NULL, edit INTEGER NOT NULL, clicks TEXT NOT NULL,
    PRIMARY KEY (frame, object)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS labels_of_object ON labels (object, frame);
CREATE TABLE IF NOT EXISTS actions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, undone INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS changes (
    action INTEGER NOT NULL, place INTEGER NOT NULL, what TEXT NOT NULL, before TEXT, after TEXT,
    PRIMARY KEY (action, place)) WITHOUT ROWID;
"""


@dataclass(frozen=True, kw_only=True)
class Object:
    """Something that is labeled: a region ("mask") or a "point"; ``color`` as "#rrggbb"."""

    id: int
    name: str
    color: str
    kind: Kind = "mask"
    removed: bool = False


@dataclass(frozen=True, kw_only=True)
class Label:
    """What is known of an object in a frame.

    A label that the user ``given`` holds the pixels ``mask`` or the place ``x``, ``y``; one that
    was propagated holds the ``soft`` map on feature cells, the ``anchor`` frame whose label it came
    from, the labeled frame at the ``far`` end, if any, and the ``direction``. It is ``stale`` when
    one of these has changed since. ``edit`` counts up with every change. ``clicks`` are those that
    made a mask.
    """

    frame: int
    object: int
    given: bool
    mask: bytes | None = None
    soft: bytes | None = None
    x: float | None = None
    y: float | None = None
    confidence: float = 1.0
    anchor: int | None = None
    far: int | None = None
    direction: int = 0
    stale: bool = False
    edit: int = 0
    clicks: str = "[]"


@dataclass(frozen=True)
class Status:
    """A label without its pixels, as the timeline shows it."""

    frame: int
    object: int
    given: bool
    confidence: float
    anchor: int | None
    far: int | None
    direction: int
    stale: bool
    edit: int


_COLUMNS = tuple(field.name for field in fields(Label))
_STATUS = tuple(field.name for field in fields(Status))
_PUT = (
    f"INSERT OR REPLACE INTO labels ({', '.join(_COLUMNS)}) "
    f"VALUES ({', '.join('?' * len(_COLUMNS))})"
)


class Project:
    """The labels of one video, in a folder.

    Raises:
        UserError: the folder cannot be made or written, or holds a damaged or newer project.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.RLock()
        self._action: tuple[int, int] | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(folder / FILE, check_same_thread=False, timeout=10)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            with self._db:
                self._db.executescript(_SCHEMA)
        except OSError as error:
            raise UserError(f"cannot write the project {folder}: {error.strerror}") from error
        except sqlite3.Error as error:
            raise UserError(f"cannot open the project {folder}: {error}") from error
        version = self.setting("version", VERSION)
        if version != VERSION:
            expected = f"version {VERSION}, of this release"
            raise UserError(f"project {folder}", expected=expected, got=f"version {version}")
        self.set_setting("version", VERSION)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        with self.lock:
            self._db.close()

    # Settings, objects, locks

    def setting(self, name: str, default: Any = None) -> Any:
        """A value kept with the project."""
        with self.lock:
            row = self._db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return default if row is None else json.loads(row[0])

    def set_setting(self, name: str, value: Any) -> None:
        """Keep a value with the project."""
        with self.lock, self._db:
            self._db.execute(
                "INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, json.dumps(value))
            )

    def objects(self, *, removed: bool = False) -> list[Object]:
        """The objects in the order of their ids, with those ``removed`` if asked for."""
        with self.lock:
            rows = self._db.execute("SELECT * FROM objects ORDER BY id").fetchall()
        found = [Object(id=i, name=n, color=c, kind=k, removed=bool(r)) for i, n, c, k, r in rows]
        return [each for each in found if removed or not each.removed]

    def locks(self) -> set[int]:
        """The locked frames."""
        with self.lock:
            return {frame for (frame,) in self._db.execute("SELECT frame FROM locks")}

    # Labels

    def label(self, frame: int, object_id: int) -> Label | None:
        """What is known of an object in a frame."""
        with self.lock:
            row = self._db.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM labels WHERE frame = ? AND object = ?",
                (frame, object_id),
            ).fetchone()
        return None if row is None else _label(row)

    def labels(self, frame: int) -> list[Label]:
        """What is known of the objects in a frame, but for removed ones."""
        with self.lock:
            rows = self._db.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM labels WHERE frame = ? AND object IN "
                "(SELECT id FROM objects WHERE removed = 0) ORDER BY object",
                (frame,),
            ).fetchall()
        return [_label(row) for row in rows]

    def statuses(self) -> list[Status]:
        """All labels without their pixels, by frame, but for those of removed objects."""
        with self.lock:
            rows = self._db.execute(
                f"SELECT {', '.join(_STATUS)} FROM labels WHERE object IN "
                "(SELECT id FROM objects WHERE removed = 0) ORDER BY frame, object"
            ).fetchall()
        return [
            Status(frame, object_id, bool(given), confidence, anchor, far, way, bool(stale), edit)
            for frame, object_id, given, confidence, anchor, far, way, stale, edit in rows
        ]

    def put_made(self, labels: Sequence[Label], anchor_edits: dict[int, int]) -> bool:
        """Store propagated labels of one frame; whether those they came from are still the same.

        Labels that the user gave and locked frames stay as they are. ``anchor_edits`` holds the
        edit of each object's anchor that the labels were made from; nothing is stored if one of
        them has changed since.
        """
        with self.lock, self._db:
            for label in labels:
                row = self._db.execute(
                    "SELECT edit FROM labels WHERE frame = ? AND object = ?",
                    (label.anchor, label.object),
                ).fetchone()
                if row is None or row[0] != anchor_edits[label.object]:
                    return False
            if self._db.execute(
                "SELECT 1 FROM locks WHERE frame = ?", (labels[0].frame,)
            ).fetchone():
                return True
            for label in labels:
                there = self._db.execute(
                    "SELECT given FROM labels WHERE frame = ? AND object = ?",
                    (label.frame, label.object),
                ).fetchone()
                if there is None or not there[0]:
                    self._put(replace(label, edit=self._next_edit()))
        return True

    # Edits, which can be undone

    @contextmanager
    def action(self, name: str) -> Iterator[None]:
        """A scope whose changes are one step of the history; it forgets what was undone."""
        with self.lock, self._db:
            assert self._action is None, "actions do not nest"
            self._db.execute(
                "DELETE FROM changes WHERE action IN (SELECT id FROM actions WHERE undone)"
            )
            self._db.execute("DELETE FROM actions WHERE undone")
            number = self._db.execute("INSERT INTO actions (name) VALUES (?)", (name,)).lastrowid
            assert number is not None
            oldest = number - MAX_ACTIONS
            self._db.execute("DELETE FROM changes WHERE action <= ?", (oldest,))
            self._db.execute("DELETE FROM actions WHERE id <= ?", (oldest,))
            self._action = number, 0
            try:
                yield
            finally:
                self._action = None

    def change_label(self, frame: int, object_id: int, label: Label | None) -> None:
        """Set or remove a label, within an action; what came from it becomes stale."""
        before = self.label(frame, object_id)
        if label is not None:
            label = replace(label, edit=self._next_edit())
        self._record("label", (frame, object_id), before, label)
        self._set_label(frame, object_id, label)

    def change_object(self, after: Object) -> None:
        """Add or change an object, within an action."""
        before = {each.id: each for each in self.objects(removed=True)}.get(after.id)
        self._record("object", (after.id,), before, after)
        self._set_object(after)

    def change_lock(self, frame: int, locked: bool) -> None:
        """Lock or unlock a frame, within an action."""
        self._record("lock", (frame,), frame in self.locks(), locked)
        self._set_lock(frame, locked)

    def undo(self) -> str | None:
        """Take the latest edit back; its name, or None when there is none."""
        return self._step(undone=False)

    def redo(self) -> str | None:
        """Make the edit again that was taken back last; its name, or None when there is none."""
        return self._step(undone=True)

    def history(self) -> tuple[str | None, str | None]:
        """The names of the edits that :meth:`undo` and :meth:`redo` would act on."""
        with self.lock:
            rows = [
                self._db.execute(f"SELECT name FROM actions WHERE {where} LIMIT 1").fetchone()
                for where in ("NOT undone ORDER BY id DESC", "undone ORDER BY id")
            ]
        undo, redo = (None if row is None else row[0] for row in rows)
        return undo, redo

    def _step(self, *, undone: bool) -> str | None:
        order = "id" if undone else "id DESC"
        with self.lock, self._db:
            row = self._db.execute(
                f"SELECT id, name FROM actions WHERE undone = ? ORDER BY {order} LIMIT 1", (undone,)
            ).fetchone()
            if row is None:
                return None
            changes = self._db.execute(
                "SELECT what, before, after FROM changes WHERE action = ? ORDER BY place "
                + ("" if undone else "DESC"),
                (row[0],),
            ).fetchall()
            for what, before, after in changes:
                self._apply(json.loads(what), _decode(after if undone else before))
            self._db.execute("UPDATE actions SET undone = ? WHERE id = ?", (not undone, row[0]))
            return str(row[1])

    def _apply(self, what: list[Any], value: Any) -> None:
        name, *key = what
        if name == "label":
            label = None if value is None else replace(_restored(value), edit=self._next_edit())
            self._set_label(key[0], key[1], label)
        elif name == "object" and value is None:
            self._db.execute("UPDATE objects SET removed = 1 WHERE id = ?", key)
        elif name == "object":
            self._set_object(Object(**value))
        else:
            self._set_lock(key[0], value)

    def _record(self, what: str, key: tuple[int, ...], before: Any, after: Any) -> None:
        assert self._action is not None, "changes belong to an action"
        number, place = self._action
        self._db.execute(
            "INSERT INTO changes VALUES (?, ?, ?, ?, ?)",
            (number, place, json.dumps([what, *key]), _encode(before), _encode(after)),
        )
        self._action = number, place + 1

    def _set_label(self, frame: int, object_id: int, label: Label | None) -> None:
        if label is None:
            self._db.execute(
                "DELETE FROM labels WHERE frame = ? AND object = ?", (frame, object_id)
            )
        else:
            self._put(label)
        before, after = self._anchors_around(frame, object_id)
        self._db.execute(
            "UPDATE labels SET stale = 1 WHERE object = ? AND NOT given AND frame > ? "
            "AND frame < ? AND (anchor = ? OR far = ? "
            "OR (direction > 0 AND anchor <= ? AND frame > ?) "
            "OR (direction < 0 AND anchor >= ? AND frame < ?))",
            (object_id, before, after, *([frame] * 6)),
        )

    def _anchors_around(self, frame: int, object_id: int) -> tuple[int, int]:
        """The nearest frames before and after where an object's label is given or locked."""
        anchored = "object = ? AND (given OR frame IN (SELECT frame FROM locks))"
        before, after = self._db.execute(
            f"SELECT (SELECT max(frame) FROM labels WHERE {anchored} AND frame < ?), "
            f"(SELECT min(frame) FROM labels WHERE {anchored} AND frame > ?)",
            (object_id, frame) * 2,
        ).fetchone()
        return -1 if before is None else before, 1 << 60 if after is None else after

    def _put(self, label: Label) -> None:
        self._db.execute(_PUT, [getattr(label, name) for name in _COLUMNS])

    def _set_object(self, after: Object) -> None:
        row = (after.id, after.name, after.color, after.kind, after.removed)
        self._db.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)", row)

    def _set_lock(self, frame: int, locked: bool) -> None:
        if locked:
            self._db.execute("INSERT OR IGNORE INTO locks VALUES (?)", (frame,))
        else:
            self._db.execute("DELETE FROM locks WHERE frame = ?", (frame,))

    def _next_edit(self) -> int:
        self._db.execute(
            "INSERT INTO settings VALUES ('edits', '1') "
            "ON CONFLICT (name) DO UPDATE SET value = value + 1"
        )
        return int(self.setting("edits"))


def pack_mask(mask: np.ndarray) -> bytes:
    """A boolean mask as compressed bits."""
    return zlib.compress(np.packbits(mask.reshape(-1)).tobytes(), 1)


def unpack_mask(packed: bytes, height: int, width: int) -> np.ndarray:
    """The boolean mask of compressed bits."""
    bits = np.frombuffer(zlib.decompress(packed), np.uint8)
    return np.unpackbits(bits, count=height * width).reshape(height, width).astype(bool)


def pack_soft(soft: np.ndarray) -> bytes:
    """A map of scores in [0, 1] as compressed 16-bit floats."""
    return zlib.compress(soft.astype(np.float16).tobytes(), 1)


def unpack_soft(packed: bytes, height: int, width: int) -> np.ndarray:
    """The float32 scores of a compressed map."""
    found = np.frombuffer(zlib.decompress(packed), np.float16)
    return found.reshape(height, width).astype(np.float32)


def _label(row: Sequence[Any]) -> Label:
    values = dict(zip(_COLUMNS, row, strict=True))
    return Label(**{**values, "given": bool(values["given"]), "stale": bool(values["stale"])})


def _restored(value: dict[str, Any]) -> Label:
    """A label of the history; those of earlier versions have columns that are no longer used."""
    return Label(**{name: each for name, each in value.items() if name in _COLUMNS})


def _encode(value: Object | Label | bool | None) -> str:
    """A value of the history as JSON, bytes in base 64."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return json.dumps(
        {
            name: {"base64": base64.b64encode(each).decode()} if isinstance(each, bytes) else each
            for name, each in asdict(value).items()
        }
    )


def _decode(text: str) -> Any:
    return json.loads(
        text, object_hook=lambda d: base64.b64decode(d["base64"]) if set(d) == {"base64"} else d
    )
