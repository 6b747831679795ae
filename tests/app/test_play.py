"""The tabs RIN and CARML behind the page: sampling step by step, trials, and what they refuse."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra 'app'")
pytest.importorskip("httpx", reason="needs httpx")

from fastapi.testclient import TestClient
from PIL import Image

from app import scenes
from scalable_binding import weights
from scalable_binding.app import server
from scalable_binding.app.workspace import Workspace
from scalable_binding.crw.model import RawPatches

HOST = "127.0.0.1:8000"
TOKEN = "secret-token"

needs_networks = pytest.mark.skipif(
    weights.names("rin") != ["digits", "moving-digits"], reason="needs the networks that ship"
)
needs_agents = pytest.mark.skipif(
    weights.names("carml") != ["maze", "room"], reason="needs the agents that ship"
)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    scenes.write(tmp_path / "root")
    workspace = Workspace(tmp_path / "root", model=RawPatches(), config=scenes.SHARP)
    api = server.build(workspace, TOKEN, hosts={HOST})
    with TestClient(api, base_url=f"http://{HOST}/{TOKEN}/") as opened:
        yield opened


def sample(client: TestClient, **wanted: Any) -> dict[str, Any]:
    """The first process, once it has ended."""
    answer = client.post("api/rin/sample", json=wanted)
    assert answer.status_code == 200, answer.text
    for _ in range(600):
        if not client.get("api/state").json()["jobs"]:
            found: dict[str, Any] = client.get("api/rin/1").json()
            return found
        time.sleep(0.05)
    raise AssertionError("the job did not end")


@needs_networks
def test_a_reverse_process_is_kept_step_by_step(client: TestClient) -> None:
    process = sample(client, network="digits", num=3, steps=4)
    assert (process["samples"], process["frames"], len(process["times"])) == (3, 1, 4)
    last = np.asarray(Image.open(io.BytesIO(client.get("api/rin/1/steps/3.png").content)))
    first = np.asarray(Image.open(io.BytesIO(client.get("api/rin/1/steps/0.png").content)))
    assert last.shape == (3 * process["height"], process["width"])
    assert (first != last).any()
    shares = np.frombuffer(client.get("api/rin/1/reading/3/2").content, np.float32)
    shares = shares.reshape(process["latents"], -1)
    assert shares.shape[1] == np.prod(process["grid"])
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=0.01)


@needs_networks
@pytest.mark.parametrize("given", ["digits", "video"])
def test_a_video_is_predicted_from_its_first_frames(client: TestClient, given: str) -> None:
    assert client.post("api/open", json={"path": "clip"}).status_code == 200
    wanted = {"network": "moving-digits", "num": 2, "steps": 2, "given": given, "frame": 3}
    process = sample(client, **wanted)
    assert (process["samples"], process["frames"], process["context"]) == (2, 12, 4)
    sheet = np.asarray(Image.open(io.BytesIO(client.get("api/rin/1/steps/1.png").content)))
    rows = sheet.reshape(2, 32, 12, 32)
    assert (rows[0, :, :4] == rows[1, :, :4]).all(), "both futures begin with the given frames"
    assert (rows[0, :, 4:] != rows[1, :, 4:]).any()


@needs_agents
@pytest.mark.parametrize(("agent", "length"), [("maze", 20), ("room", 16)])
def test_an_agent_tries_a_goal_in_four_episodes(
    client: TestClient, agent: str, length: int
) -> None:
    world = client.get("api/carml/world", params={"name": agent}).json()
    assert world["low"] == [0, 0] and world["high"] == [500, 500]
    found = client.post("api/carml/trial", json={"agent": agent, "x": 400, "y": 345}).json()
    assert np.shape(found["positions"]) == (4, length, 2)
    places = np.array(found["positions"])
    near = np.linalg.norm(places - np.array(found["goal"]), axis=-1) <= found["radius"]
    assert [each is not None for each in found["reached"]] == near.any(axis=1).tolist()
    if agent == "room":
        assert found["goal"] == world["places"][1] == [405, 350], "the object near the click"
        assert found["views"].startswith("data:image/png;base64,")
    else:
        assert found["goal"] == [400, 345] and found["views"] is None


@pytest.mark.parametrize(
    ("method", "path", "body", "line"),
    [
        ("post", "rin/sample", {"network": "../outside", "num": 1}, "not below the root"),
        ("post", "rin/sample", {"network": "clip", "num": 1}, "expected a config.json"),
        ("post", "rin/sample", {"network": "digits", "num": 99}, "body.num"),
        ("post", "rin/sample", {"network": "digits", "num": 1, "steps": 0}, "body.steps"),
        ("get", "rin/7", None, "no longer kept"),
        ("get", "rin/7/steps/0.png", None, "no longer kept"),
        ("get", "carml/world?name=clip", None, "config.json"),
        ("get", "carml/world?name=nothing", None, "no such file"),
        ("post", "carml/trial", {"agent": "maze", "x": -3, "y": 3}, "0 to 500"),
        ("post", "carml/trial", {"agent": "maze", "x": "a", "y": 3}, "body.x"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    client: TestClient, method: str, path: str, body: object, line: str
) -> None:
    answer = client.request(method, f"api/{path}", json=body)
    assert answer.status_code in (400, 422)
    assert line in answer.text
    assert "\n" not in answer.text
