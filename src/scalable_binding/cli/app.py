"""``sbind app``: the page in the browser."""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path
from typing import Annotated

from scalable_binding.cli.crw.options import Flag, WeightsOption
from scalable_binding.errors import UserError

_WILDCARDS = ("0.0.0.0", "::")


def app(
    video: Path | None = None,
    /,
    *,
    root: Path | None = None,
    projects: Path | None = None,
    weights: WeightsOption = "shipped",
    port: int = 0,
    host: str = "127.0.0.1",
    allow_remote: Annotated[bool, Flag] = False,
    no_browser: Annotated[bool, Flag] = False,
) -> None:
    """Label objects in videos, on a page in the browser.

    Prints the address of the page, with a secret token, in its first line. Ctrl-C ends it; nothing
    has to be saved.

    Parameters
    ----------
    video
        Video file or folder of frames to open.
    root
        Folder below which the page may open videos; by default that of the video, or this one.
    projects
        Where labels, uploads and exports are kept; by default 'sbind-projects' in the root.
    port
        Of the server; 0 takes a free one.
    host
        Address that the server listens on. Other machines reach it only with --allow-remote.
    allow_remote
        Let other machines ask the server: whoever has the printed address may read videos below
        the root and change their labels. Nothing is encrypted.
    no_browser
        Only print the address.
    """
    if not _is_loopback(host) and not allow_remote:
        fix = "add --allow-remote if other machines shall reach it"
        raise UserError(f"--host {host} is open to other machines", fix=fix)
    if video is not None and not video.exists():
        raise UserError(f"no such file: {video}")
    root = root or (video.absolute().parent if video is not None else Path())
    try:
        import uvicorn

        from scalable_binding.app import server
    except ModuleNotFoundError as error:
        if error.name not in ("fastapi", "uvicorn", "starlette", "pydantic"):
            raise
        fix = "pip install 'scalable-binding[app]'"
        raise UserError("the page needs FastAPI and uvicorn", fix=fix) from error
    from scalable_binding.app.workspace import Workspace

    _leave_a_core()
    workspace = Workspace(root, projects, model=weights)
    if video is not None:
        workspace.open(video.resolve())
    listening = _listen(host, port)
    port = listening.getsockname()[1]
    token = server.new_token()
    name = "127.0.0.1" if host in _WILDCARDS else host
    address = f"http://{f'[{name}]' if ':' in name else name}:{port}/{token}/"
    print(address, flush=True)
    served = server.build(workspace, token, hosts=_names(host, port))
    config = uvicorn.Config(
        served, log_level="warning", access_log=False, timeout_graceful_shutdown=1, ws="none"
    )
    if not no_browser:
        _open_browser(address)
    uvicorn.Server(config).run(sockets=[listening])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _names(host: str, port: int) -> set[str] | None:
    """What the server may be called by; None for anything, where other machines ask it."""
    if not _is_loopback(host):
        return None
    return {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]", host)}


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise UserError("port", expected="0 to 65535", got=str(port))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        fix = "choose another with --port"
        raise UserError(f"cannot listen on {host}:{port} ({error.strerror})", fix=fix) from error
    listening.listen(128)
    return listening


def _leave_a_core() -> None:
    """Leave one core to requests while a propagation runs."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(max(1, min(torch.get_num_threads(), (cores or 2) - 1)))


def _open_browser(address: str) -> None:
    import threading
    import webbrowser

    threading.Timer(0.5, webbrowser.open, [address]).start()
