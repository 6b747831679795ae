"""The page's server: the routes by which the browser drives a session."""

from __future__ import annotations

import asyncio
import json
import secrets
import zlib
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from scalable_binding.app.play_routes import add_play
from scalable_binding.app.security import Guard, TooLarge, confine
from scalable_binding.app.workspace import Workspace, describe
from scalable_binding.errors import UserError

STATIC = Path(__file__).parent / "static"

MAX_UPLOAD = 8 * 2**30
"""Bytes of an uploaded video."""

_HEARTBEAT = 10.0  # seconds between signs of life on the stream of events
_FOREVER = {"cache-control": "private, max-age=86400, immutable"}
_NEVER = {"cache-control": "no-store"}


class Opening(BaseModel):
    """A video to open, by its path below the root."""

    path: str = Field(max_length=4096)


class NewObject(BaseModel):
    """An object to add, or what is to change of one."""

    name: str | None = Field(None, max_length=200)
    color: str | None = Field(None, max_length=20)
    kind: Literal["mask", "point"] = "mask"


class ClickAt(BaseModel):
    """A click on a frame."""

    x: float
    y: float
    positive: bool = True


class Shape(BaseModel):
    """A stroke, polygon, box or point, in pixels of the size shown."""

    tool: Literal["stroke", "polygon", "box", "point"]
    points: list[tuple[float, float]] = Field(min_length=1, max_length=20_000)
    radius: float = 1.0
    erase: bool = False


class Lock(BaseModel):
    """Whether a frame is to be locked."""

    locked: bool


class Propagation(BaseModel):
    """What to propagate."""

    direction: Literal["forward", "backward", "both"] = "forward"
    objects: list[int] | None = None
    start: int | None = None
    stop: int | None = None


class Export(BaseModel):
    """A format to export to."""

    format: str = Field(max_length=40)


class JobControl(BaseModel):
    """What to do with a job."""

    id: int
    action: Literal["pause", "resume", "stop"]


def new_token() -> str:
    """A random token, the first part of every address of a server."""
    return secrets.token_urlsafe(24)


def build(
    workspace: Workspace,
    token: str,
    *,
    hosts: Collection[str] | None,
    max_upload: int = MAX_UPLOAD,
) -> ASGIApp:
    """The server of a workspace, guarded by a token.

    Args:
        workspace: what it serves.
        token: the first part of every path.
        hosts: names with ports that it may be called by; None for any.
        max_upload: bytes of an uploaded video.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(workspace.close)

    api = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    _add_errors(api)
    _add_opening(api, workspace, max_upload)
    _add_pictures(api, workspace)
    _add_edits(api, workspace)
    _add_jobs(api, workspace)
    add_play(api, workspace)
    api.mount("/static", StaticFiles(directory=STATIC))
    return Guard(api, token, hosts, max_upload)


def _add_errors(api: FastAPI) -> None:
    async def refuse(_: Request, error: Exception) -> Response:
        return PlainTextResponse(str(error), 400, _NEVER)

    async def too_large(_: Request, error: Exception) -> Response:
        return PlainTextResponse(str(error), 413, _NEVER)

    async def malformed(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return PlainTextResponse(f"{where}: {first['msg']}", 422, _NEVER)

    api.add_exception_handler(UserError, refuse)
    api.add_exception_handler(TooLarge, too_large)
    api.add_exception_handler(RequestValidationError, malformed)


def _add_opening(api: FastAPI, workspace: Workspace, max_upload: int) -> None:
    @api.get("/")
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers=_NEVER)

    @api.get("/api/state")
    def state() -> Response:
        return _state(workspace)

    @api.get("/api/browse")
    def browse(path: str = "") -> dict[str, object]:
        return workspace.browse(path)

    @api.post("/api/open")
    def open_video(opening: Opening) -> Response:
        workspace.open_below_root(opening.path)
        return _state(workspace)

    @api.put("/api/upload")
    async def upload(request: Request, name: str) -> dict[str, str]:
        target = await run_in_threadpool(workspace.upload_path, name)
        partial = target.with_name(f".{secrets.token_hex(8)}.partial{target.suffix}")
        try:
            with partial.open("wb") as file:
                async for chunk in request.stream():
                    await run_in_threadpool(file.write, chunk)
            return {"path": await run_in_threadpool(workspace.take_upload, partial, target)}
        finally:
            partial.unlink(missing_ok=True)

    @api.put("/api/upload/labels")
    async def upload_labels(
        request: Request, name: str, frame: int = 0, object_id: int | None = None
    ) -> Response:
        """Take labels of a file, as a job."""
        target = await run_in_threadpool(workspace.import_path, name)
        with target.open("wb") as file:
            async for chunk in request.stream():
                await run_in_threadpool(file.write, chunk)
        workspace.import_labels(target, frame, object_id)
        return _state(workspace)


def _add_pictures(api: FastAPI, workspace: Workspace) -> None:
    @api.get("/api/frames/{number}.jpg")
    def frame(number: int) -> Response:
        return Response(workspace.session.frames.jpeg(number), 200, _FOREVER, "image/jpeg")

    @api.get("/api/thumbnails/{number}.jpg")
    def thumbnail(number: int) -> Response:
        return Response(workspace.session.frames.thumbnail(number), 200, _FOREVER, "image/jpeg")

    @api.get("/api/masks/{number}")
    def ids(number: int) -> Response:
        """The ids of all pixels, row by row, a byte each, compressed by zlib."""
        found = zlib.compress(workspace.session.ids(number).tobytes(), 1)
        return Response(found, 200, _NEVER, "application/octet-stream")

    @api.get("/api/labels/{number}")
    def labels(number: int) -> Response:
        """The points and the clicks of a frame, by object."""
        session = workspace.session
        points = {key: list(place) for key, place in session.points(number).items()}
        return JSONResponse(
            {"points": points, "clicks": session.labels.clicks(number)}, headers=_NEVER
        )

    @api.post("/api/prepare/{number}")
    def prepare(number: int) -> dict[str, bool]:
        """Compute a frame's features, so that a click on it is answered fast."""
        session = workspace.session
        session.labels.features.features(session.frames.read_carried(number))
        return {"ready": True}


def _add_edits(api: FastAPI, workspace: Workspace) -> None:
    @api.post("/api/objects")
    def add(new: NewObject) -> Response:
        workspace.session.add_object(new.name, new.color, new.kind)
        return _state(workspace)

    @api.patch("/api/objects/{object_id}")
    def change(object_id: int, new: NewObject) -> Response:
        workspace.session.change_object(object_id, name=new.name, color=new.color)
        return _state(workspace)

    @api.delete("/api/objects/{object_id}")
    def remove(object_id: int) -> Response:
        workspace.session.remove_object(object_id)
        return _state(workspace)

    @api.post("/api/clicks/{number}/{object_id}")
    def click(number: int, object_id: int, at: ClickAt) -> Response:
        workspace.session.click(number, object_id, at.x, at.y, positive=at.positive)
        return _state(workspace)

    @api.post("/api/shapes/{number}/{object_id}")
    def draw(number: int, object_id: int, shape: Shape) -> Response:
        session = workspace.session
        if shape.tool == "stroke":
            session.paint(number, object_id, shape.points, shape.radius, erase=shape.erase)
        elif shape.tool == "polygon":
            session.fill_polygon(number, object_id, shape.points, erase=shape.erase)
        elif shape.tool == "box":
            first, last = shape.points[0], shape.points[-1]
            session.fill_box(number, object_id, first, last, erase=shape.erase)
        else:
            session.set_point(number, object_id, *shape.points[-1])
        return _state(workspace)

    @api.post("/api/clear/{number}/{object_id}")
    def clear(number: int, object_id: int) -> Response:
        workspace.session.clear(number, object_id)
        return _state(workspace)

    @api.post("/api/lock/{number}")
    def lock(number: int, lock: Lock) -> Response:
        workspace.session.lock(number, lock.locked)
        return _state(workspace)

    @api.post("/api/undo")
    def undo() -> Response:
        return _state(workspace, undone=workspace.session.undo())

    @api.post("/api/redo")
    def redo() -> Response:
        return _state(workspace, redone=workspace.session.redo())


def _add_jobs(api: FastAPI, workspace: Workspace) -> None:
    @api.post("/api/propagate")
    def propagate(wanted: Propagation) -> Response:
        frames = None
        if wanted.start is not None or wanted.stop is not None:
            count = workspace.session.frames.num_frames
            frames = range(wanted.start or 0, count if wanted.stop is None else wanted.stop)
        workspace.propagate(wanted.direction, wanted.objects, frames)
        return _state(workspace)

    @api.post("/api/refresh")
    def refresh() -> Response:
        workspace.refresh()
        return _state(workspace)

    @api.post("/api/export")
    def export(wanted: Export) -> Response:
        workspace.export(wanted.format)
        return _state(workspace)

    @api.get("/api/exports/{name}")
    def exported(name: str) -> FileResponse:
        file = confine(workspace.session.folder / "exports", name)
        return FileResponse(file, filename=name, headers=_NEVER)

    @api.post("/api/jobs")
    def control(wanted: JobControl) -> Response:
        if wanted.action == "stop":
            workspace.jobs.stop(wanted.id)
        else:
            workspace.jobs.pause(wanted.id, paused=wanted.action == "pause")
        return _state(workspace)

    @api.get("/api/events")
    async def events(request: Request) -> StreamingResponse:
        stream = _events(workspace, request)
        return StreamingResponse(stream, media_type="text/event-stream", headers=_NEVER)


async def _events(workspace: Workspace, request: Request) -> AsyncIterator[str]:
    """Server-sent events, until the page goes."""
    queue = await workspace.broadcaster.listen()
    try:
        yield "retry: 1000\n\n"
        while not await request.is_disconnected():
            try:
                event = await asyncio.wait_for(queue.get(), _HEARTBEAT)
            except TimeoutError:
                yield ": still here\n\n"
                continue
            yield f"data: {json.dumps(event)}\n\n"
    finally:
        workspace.broadcaster.leave(queue)


def _state(workspace: Workspace, **more: Any) -> Response:
    return JSONResponse({**describe(workspace), **more}, headers=_NEVER)
