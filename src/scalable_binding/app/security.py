"""Who may ask the page's server for what: the token, hosts, origins, sizes, and paths."""

from __future__ import annotations

import hmac
from collections.abc import Collection
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scalable_binding.data.frames import containers, images
from scalable_binding.errors import UserError

MAX_BODY = 4 * 2**20
"""Bytes of a request that is no upload."""

_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; "
        "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class Guard:
    """Lets requests through whose path begins with the token and that come from the page itself.

    Args:
        app: what to guard; it sees the path without the token.
        token: the first part of every path.
        hosts: names and ports that the server is called by; None for any. Another name is another
            site that had itself resolved to this machine (DNS rebinding).
        max_upload: bytes of a request below ``/api/upload``.
    """

    def __init__(
        self, app: ASGIApp, token: str, hosts: Collection[str] | None, max_upload: int
    ) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = hosts
        self._max_upload = max_upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it in one line."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope) if scope["type"] == "http" else (403, "no such service")
        if refusal is not None:
            status, line = refusal
            await PlainTextResponse(line, status, _HEADERS)(scope, receive, send)
            return
        prefix = f"/{self._token.decode()}"
        path = scope["path"].removeprefix(prefix)
        inner = {**scope, "path": path or "/", "raw_path": (path or "/").encode(), "root_path": ""}
        limit = self._max_upload if path.startswith("/api/upload") else MAX_BODY
        await self._app(inner, _limited(receive, limit), _with_headers(send))

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._hosts is not None and host not in self._hosts:
            return 403, "this server does not go by that name"
        first = scope["path"].split("/")[1] if scope["path"].count("/") else ""
        if not hmac.compare_digest(first.encode(), self._token):
            return 403, "the address lacks its token: open the one that sbind printed"
        origin = headers.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return 403, "another site may not ask this server for anything"
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return 403, "another site may not ask this server for anything"
        length = headers.get("content-length", "0")
        is_upload = scope["path"].split("/")[2:4] == ["api", "upload"]
        limit = self._max_upload if is_upload else MAX_BODY
        if not length.isdecimal() or int(length) > limit:
            return 413, f"too large: expected at most {limit} bytes"
        return None


class TooLarge(Exception):
    """A body without a stated length went on for too long."""


def _limited(receive: Receive, limit: int) -> Receive:
    taken = 0

    async def take() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise TooLarge(f"too large: expected at most {limit} bytes")
        return message

    return take


def _with_headers(send: Send) -> Send:
    async def give(message: Message) -> None:
        if message["type"] == "http.response.start":
            known = {name.lower() for name, _ in message["headers"]}
            added = [
                (name.encode(), value.encode())
                for name, value in _HEADERS.items()
                if name.encode() not in known
            ]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return give


def confine(root: Path, path: str) -> Path:
    """The file or folder that ``path`` names below ``root``, links followed.

    Raises:
        UserError: it lies elsewhere, or nothing is there.
    """
    try:
        found = (root / path).resolve()
        inside = found.is_relative_to(root.resolve())
        exists = inside and found.exists()
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError("path", expected="a name below the root folder") from error
    if not inside:
        raise UserError(f"{path} is not below the root folder", fix="start sbind app with --root")
    if not exists:
        raise UserError(f"no such file: {path}")
    return found


def check_video(root: Path, video: Path) -> None:
    """Nothing, when a path is a video file or a folder whose images all lie below ``root``.

    Raises:
        UserError: it is something else.
    """
    if video.is_file():
        if video.suffix.lower() not in containers.SUFFIXES:
            expected = "a video such as .mp4, or a folder of frames"
            raise UserError(video.name, expected=expected, got=video.suffix or "no suffix")
        return
    inside = root.resolve()
    for frame in images.list_frames(video):
        if frame.is_symlink() and not frame.resolve().is_relative_to(inside):
            raise UserError(f"{frame.name} leads out of the root folder")


def list_folder(root: Path, folder: Path) -> dict[str, object]:
    """What the page may open in a folder: sub-folders, videos, and whether it holds frames."""
    folders, found = [], []
    frames = 0
    inside = root.resolve()
    for each in sorted(folder.iterdir(), key=lambda path: images.natural_order(path.name)):
        if each.name.startswith(".") or not each.resolve().is_relative_to(inside):
            continue
        if each.is_dir():
            folders.append(each.name)
        elif each.suffix.lower() in containers.SUFFIXES:
            found.append(each.name)
        elif each.suffix.lower() in images.SUFFIXES:
            frames += 1
    here = folder.resolve().relative_to(inside).as_posix()
    return {
        "path": "" if here == "." else here,
        "folders": folders,
        "videos": found,
        "frames": frames,
    }
