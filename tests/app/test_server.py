"""The page's server: what it refuses, and a label's way through it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra 'app'")
pytest.importorskip("httpx", reason="needs httpx")

from fastapi.testclient import TestClient

from app import scenes
from scalable_binding.app import server
from scalable_binding.app.workspace import Workspace
from scalable_binding.crw.model import RawPatches

HOST = "127.0.0.1:8000"
TOKEN = "secret-token"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    scenes.write(tmp_path / "root")
    (tmp_path / "outside").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "outside")
    workspace = Workspace(tmp_path / "root", model=RawPatches(), config=scenes.SHARP)
    api = server.build(workspace, TOKEN, hosts={HOST}, max_upload=1000)
    with TestClient(api, base_url=f"http://{HOST}/{TOKEN}/") as opened:
        yield opened


def wait(client: TestClient) -> dict[str, Any]:
    """The state once no job is left."""
    for _ in range(600):
        state: dict[str, Any] = client.get("api/state").json()
        if not state["jobs"]:
            return state
        time.sleep(0.05)
    raise AssertionError("a job did not end")


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/api/state", {}, 403),
        ("/wrong-token/api/state", {}, 403),
        (f"/{TOKEN}/api/state", {"host": "evil.example"}, 403),
        (f"/{TOKEN}/api/state", {"origin": "http://evil.example"}, 403),
        (f"/{TOKEN}/api/state", {"sec-fetch-site": "cross-site"}, 403),
        (f"/{TOKEN}/api/state", {}, 200),
        (f"/{TOKEN}/api/state", {"origin": f"http://{HOST}"}, 200),
    ],
)
def test_only_the_page_with_its_token_is_served(
    client: TestClient, path: str, headers: dict[str, str], status: int
) -> None:
    assert client.get(f"http://{HOST}{path}", headers=headers).status_code == status


@pytest.mark.parametrize("path", ["../outside", "/etc", "link", "nothing", "clip/\0"])
def test_paths_stay_below_the_root(client: TestClient, path: str) -> None:
    answer = client.post("api/open", json={"path": path})
    assert answer.status_code == 400
    assert "\n" not in answer.text


def test_uploads_are_bounded_and_checked_by_content(client: TestClient, tmp_path: Path) -> None:
    assert client.put("api/upload?name=a.mp4", content=b"0" * 1001).status_code == 413
    chunks = (b"0" * 400 for _ in range(4))
    assert client.put("api/upload?name=a.mp4", content=chunks).status_code == 413
    refused = client.put("api/upload?name=a.mp4", content=b"no video at all")
    assert refused.status_code == 400
    assert not [*tmp_path.rglob("*.partial*")]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("api/objects", {"name": "x" * 10_000}),
        ("api/shapes/0/1", {"tool": "rocket", "points": [[0, 0]]}),
        ("api/propagate", {"direction": "sideways"}),
        ("api/export", {"format": "exe"}),
    ],
)
def test_malformed_requests_are_one_line(client: TestClient, path: str, body: object) -> None:
    client.post("api/open", json={"path": "clip"})
    answer = client.post(path, json=body)
    assert answer.status_code in (400, 422)
    assert "\n" not in answer.text and "Traceback" not in answer.text


def test_a_label_goes_through_the_video_and_out(client: TestClient, tmp_path: Path) -> None:
    assert client.post("api/open", json={"path": "clip"}).status_code == 200
    client.post("api/objects", json={})
    box = {"tool": "box", "points": [[24, 16], [55, 47]]}
    assert client.post("api/shapes/0/1", json=box).status_code == 200
    assert client.post("api/propagate", json={"direction": "forward"}).status_code == 200
    wait(client)
    picture = client.get(f"api/labels/{scenes.COUNT - 1}")
    if picture.status_code == 404:
        picture = client.get(f"api/ids/{scenes.COUNT - 1}")
    assert picture.status_code == 200
    assert client.post("api/undo").status_code == 200
    assert client.post("api/redo").status_code == 200
    client.post("api/export", json={"format": "png"})
    wait(client)
    exports = [*(tmp_path / "root").rglob("exports/*.zip")]
    assert len(exports) == 1
    answer = client.get(f"api/exports/{exports[0].name}")
    assert answer.status_code == 200 and answer.content.startswith(b"PK")
    assert client.get("api/exports/..%2fproject.sqlite").status_code in (400, 404)


def test_labels_are_imported_as_a_job(client: TestClient, tmp_path: Path) -> None:
    client.post("api/open", json={"path": "clip"})
    mask = {"size": [scenes.HEIGHT, scenes.WIDTH], "counts": [96 * 20, 96, 96 * 139]}
    answer = client.put("api/upload/labels?name=../mask.json&frame=3", content=json.dumps(mask))
    assert answer.status_code == 200, answer.text
    state = wait(client)
    assert state["labels"]["1"]["frames"] == [3]
    assert not [*(tmp_path / "root").rglob("import-*")], "the file is gone"
    for name, line in (("mask.exe", "label file mask.exe"), ("", "without a name")):
        refused = client.put(f"api/upload/labels?name={name}", content=b"x")
        assert refused.status_code == 400
        assert line in refused.text
    large = client.put("api/upload/labels?name=a.json", content=b"x" * 1001)
    assert large.status_code == 413
