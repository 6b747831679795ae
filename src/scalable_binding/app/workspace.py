"""What the page's server holds: the root folder, the open session, and the jobs."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scalable_binding.app import exports, label_files, security
from scalable_binding.app.jobs import Broadcaster, Event, Job, Jobs
from scalable_binding.app.project import FILE
from scalable_binding.app.propagation import Direction, Step
from scalable_binding.app.session import Session
from scalable_binding.atomic import sync
from scalable_binding.crw.inference import FeatureModel
from scalable_binding.crw.presets import PropagationConfig
from scalable_binding.data.frames import containers, videos
from scalable_binding.errors import UserError

PROJECTS = "sbind-projects"
"""The folder below the root that projects, uploads and exports are kept in."""

_UPLOADS = "uploads"
_SAFE = re.compile(r"[^A-Za-z0-9._-]+")


class Workspace:
    """One root folder, at most one open session, and its jobs.

    Args:
        root: the folder below which videos may be opened.
        projects: where projects are kept; by default ``sbind-projects`` in the root.
        model: gives the features of frames, or its name.
        config: how labels are propagated.

    Raises:
        UserError: the root is no folder.
    """

    def __init__(
        self,
        root: Path,
        projects: Path | None = None,
        *,
        model: str | FeatureModel = "shipped",
        config: PropagationConfig | None = None,
    ) -> None:
        if not root.is_dir():
            raise UserError(f"root {root}", expected="a folder")
        self.root = root.resolve()
        self.projects = (projects or self.root / PROJECTS).absolute()
        self._model = model
        self._config = config
        self._session: Session | None = None
        self._lock = threading.RLock()
        self.broadcaster = Broadcaster()
        self.jobs = Jobs(self.broadcaster)

    @property
    def session(self) -> Session:
        """The open session.

        Raises:
            UserError: none is open.
        """
        if self._session is None:
            raise UserError("no video is open", fix="open one first")
        return self._session

    def has_session(self) -> bool:
        """Whether a session is open."""
        return self._session is not None

    def open(self, video: Path) -> Session:
        """Open a video, with the project that belongs to it, in place of the one before.

        Raises:
            UserError: it cannot be read.
        """
        with self._lock:
            folder = self.projects / project_name(video)
            opened = Session(video, folder, model=self._model, config=self._config)
            before, self._session = self._session, None
            if before is not None:
                self.jobs.stop_all()
                before.close()
            self._session = opened
        self.broadcaster.publish({"type": "reload"})
        return opened

    def open_below_root(self, path: str) -> Session:
        """Open a video by its path below the root, or below the uploads.

        Raises:
            UserError: nothing is there, or it lies elsewhere.
        """
        uploads = self.projects / _UPLOADS
        name = path.removeprefix("uploads:")
        base = uploads if name != path else self.root
        video = security.confine(base, name)
        security.check_video(base, video)
        return self.open(video)

    def browse(self, path: str) -> dict[str, object]:
        """What may be opened in a folder below the root.

        Raises:
            UserError: no such folder below the root.
        """
        folder = security.confine(self.root, path)
        if not folder.is_dir():
            raise UserError(f"{path} is no folder")
        found = security.list_folder(self.root, folder)
        uploads = self.projects / _UPLOADS
        known = sorted(each.name for each in uploads.glob("*") if not each.name.startswith("."))
        return {**found, "root": self.root.name, "uploads": known}

    def upload_path(self, name: str) -> Path:
        """Where an uploaded video is written while it comes.

        Raises:
            UserError: a name that is no video's.
        """
        clean = _SAFE.sub("-", Path(name.replace("\\", "/")).name).lstrip(".-")[-100:]
        if Path(clean).suffix.lower() not in containers.SUFFIXES:
            raise UserError(f"upload {clean or 'without a name'}", expected="a video such as .mp4")
        folder = self.projects / _UPLOADS
        folder.mkdir(parents=True, exist_ok=True)
        return folder / clean

    def take_upload(self, partial: Path, target: Path) -> str:
        """Keep an upload if its content is a video; the path to open it by.

        Raises:
            UserError: it is none.
        """
        try:
            videos.probe(partial)
        except UserError as error:
            raise UserError(
                f"{target.name} is no video that can be read", fix="convert it to .mp4"
            ) from error
        number = 1
        free = target
        while free.exists():
            number += 1
            free = target.with_stem(f"{target.stem}-{number}")
        sync(partial)
        os.replace(partial, free)
        return f"uploads:{free.name}"

    # Jobs

    def propagate(
        self, direction: Direction, objects: list[int] | None, frames: range | None
    ) -> Job:
        """Queue a propagation."""
        session = self.session
        steps = session.propagate(direction, objects=objects, frames=frames)
        return self.jobs.add(f"propagate {direction}", lambda: _events(steps))

    def refresh(self) -> Job:
        """Queue that what is stale is made again."""
        session = self.session
        return self.jobs.add("update", lambda: _events(session.refresh()))

    def export(self, kind: str) -> Job:
        """Queue an export; its result is the name of a file to fetch."""
        session = self.session
        if kind not in exports.FORMATS:
            raise UserError("export format", expected=", ".join(exports.FORMATS), got=kind[:40])

        def run() -> Iterator[Event]:
            folder = session.folder / "exports"
            name = ""
            for done, total, target in exports.export_archive(session.labels, kind, folder):
                name = target.name
                yield {"type": "progress", "done": done, "total": total}
            yield {"type": "exported", "result": name}

        return self.jobs.add(f"export {kind}", run)

    def import_labels(self, file: Path, frame: int, object_id: int | None) -> Job:
        """Queue that labels of an uploaded file are taken; the file is removed afterwards."""
        session = self.session

        def run() -> Iterator[Event]:
            try:
                yield {"type": "progress", "done": 0, "total": 1}
                count = session.import_labels(file, frame=frame, object_id=object_id)
                yield {"type": "reload", "done": 1, "total": 1, "labels": count}
            finally:
                file.unlink(missing_ok=True)
                file.parent.rmdir()

        return self.jobs.add(f"import {file.name}", run)

    def import_path(self, name: str) -> Path:
        """Where an uploaded label file is written, alone in its folder.

        Raises:
            UserError: no video is open, or the name is that of no label file.
        """
        clean = _SAFE.sub("-", Path(name.replace("\\", "/")).name).lstrip(".-")[-100:]
        if Path(clean).suffix.lower() not in label_files.SUFFIXES:
            expected = f"one of {', '.join(label_files.SUFFIXES)}"
            raise UserError(f"label file {clean or 'without a name'}", expected=expected)
        return Path(tempfile.mkdtemp(prefix="import-", dir=self.session.folder)) / clean

    def close(self) -> None:
        """End the jobs and close the session."""
        self.jobs.close()
        if self._session is not None:
            self._session.close()
            self._session = None


def project_name(video: Path) -> str:
    """The name of a video's project: its own, and a digest of its whole path."""
    whole = str(video.resolve()).encode()
    digest = hashlib.blake2b(whole, digest_size=4).hexdigest()
    return f"{_SAFE.sub('-', video.stem)[:60]}-{digest}"


def has_project(folder: Path) -> bool:
    """Whether a folder holds a project."""
    return (folder / FILE).is_file()


def _events(steps: Iterator[Step]) -> Iterator[Event]:
    for step in steps:
        yield {
            "type": "frame",
            "frame": step.frame,
            "objects": list(step.objects),
            "confidence": [round(each, 3) for each in step.confidence],
            "done": step.done,
            "total": step.total,
            "seconds_left": round(step.seconds_left, 1),
        }


def describe(workspace: Workspace) -> dict[str, Any]:
    """All that the page shows of the workspace, but for pictures."""
    jobs = [job.describe() for job in workspace.jobs.all()]
    if not workspace.has_session():
        return {"video": None, "jobs": jobs}
    session = workspace.session
    frames = session.frames
    labels: dict[int, dict[str, list[Any]]] = {
        each.id: {"frames": [], "kinds": [], "confidence": []} for each in session.objects
    }
    for status in session.statuses():
        if status.object not in labels:
            continue  # removed meanwhile
        row = labels[status.object]
        row["frames"].append(status.frame)
        row["kinds"].append("g" if status.given else "s" if status.stale else "m")
        row["confidence"].append(round(100 * status.confidence))
    undo, redo = session.history()
    return {
        "video": {
            "name": frames.path.name,
            "key": session.folder.name,
            "num_frames": frames.num_frames,
            "fps": frames.fps,
            "width": frames.width,
            "height": frames.height,
        },
        "objects": [
            {"id": each.id, "name": each.name, "color": each.color, "kind": each.kind}
            for each in session.objects
        ],
        "labels": {key: {**row, "kinds": "".join(row["kinds"])} for key, row in labels.items()},
        "locked": sorted(session.locked),
        "undo": undo,
        "redo": redo,
        "formats": [{"name": k, "title": form.title} for k, form in exports.FORMATS.items()],
        "jobs": jobs,
    }
