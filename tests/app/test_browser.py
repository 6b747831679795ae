"""The page in a real browser: click, propagate, correct, undo, export, reload, kill and go on."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import scenes
from scalable_binding import weights

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytest.importorskip("fastapi", reason="needs the extra 'app'")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]

PATIENCE = 60_000  # milliseconds
LAST = scenes.COUNT - 1

LABELED = "[...Array(60).keys()].filter((frame) => window.sbind.labelsOf(frame).length)"


@contextmanager
def serving(clip: Path, projects: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of a server of its own, and its process."""
    command = [sys.executable, "-m", "scalable_binding", "app", str(clip), "--no-browser"]
    command += ["--projects", str(projects), "--weights", "raw"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            found = re.search(r"http://\S+", line)
            assert found, line
            yield found[0], process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


def opened(browser: Any, address: str) -> Any:
    """A page that shows the first frame."""
    page = browser.new_page(viewport={"width": 1280, "height": 800}, bypass_csp=True)
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    page.wait_for_function("window.sbind?.store.video")
    page.wait_for_timeout(500)
    return page


def place(page: Any, x: float, y: float) -> tuple[float, float]:
    """Where a pixel of the frame is on the page, while the frame fits the window."""
    page.click("#zoom-fit")
    box = page.locator("#stage").bounding_box()
    drawn = page.evaluate(
        "() => { const found = document.querySelector('#stage').getContext('2d').getTransform();"
        " return [found.a, found.e, found.f].map((each) => each / window.devicePixelRatio); }"
    )
    scale, left, top = drawn
    return box["x"] + left + (x + 0.5) * scale, box["y"] + top + (y + 0.5) * scale


def color_at(page: Any, spot: tuple[float, float]) -> list[int]:
    """The color that the canvas shows at a place of the page."""
    found: list[int] = page.evaluate(
        """([x, y]) => {
            const canvas = document.querySelector("#stage"), box = canvas.getBoundingClientRect();
            const ratio = canvas.width / box.width;
            const at = [(x - box.left) * ratio, (y - box.top) * ratio];
            return [...canvas.getContext("2d").getImageData(...at, 1, 1).data];
        }""",
        list(spot),
    )
    return found


def ids(page: Any, address: str, frame: int) -> np.ndarray:
    """The ids of a frame, as the server gives them to the page."""
    answer = page.request.get(f"{address}api/masks/{frame}")
    assert answer.ok
    found = np.frombuffer(zlib.decompress(answer.body()), dtype=np.uint8)
    return found.reshape(scenes.HEIGHT, scenes.WIDTH)


def wait_for_jobs(page: Any, count: int = 0) -> None:
    page.wait_for_function(f"window.sbind.store.jobs.length === {count}")


def click_object(page: Any, number: int) -> None:
    """A click on a square of the scene in the frame on show."""
    page.mouse.click(*place(page, *scenes.CENTERS[number]))
    page.wait_for_function(f"window.sbind.labelsOf(0).length >= {number}")


def download_path(folder: Path, download: Any) -> Path:
    """A downloaded file under its own name."""
    target = folder / download.value.suggested_filename
    download.value.save_as(target)
    return target


def test_label_propagate_correct_undo_export_and_reload(browser: Any, tmp_path: Path) -> None:
    truth = scenes.scene()[1].numpy()
    with serving(scenes.write(tmp_path), tmp_path / "projects") as (address, _):
        page = opened(browser, address)
        spot = place(page, *scenes.CENTERS[1])
        before = color_at(page, spot)
        click_object(page, 1)
        for _ in range(50):
            if color_at(page, spot) != before:
                break
            page.wait_for_timeout(200)
        assert color_at(page, spot) != before, "the mask shows"
        assert scenes.overlap(ids(page, address, 0) == 1, truth[0] == 1) > 0.6

        page.click("#forward")
        page.wait_for_function(f"window.sbind?.labelsOf({LAST}).length")
        wait_for_jobs(page)
        assert scenes.overlap(ids(page, address, LAST) == 1, truth[LAST] == 1) > 0.6

        page.keyboard.press("End")
        page.wait_for_function(f"window.sbind.store.frame === {LAST}")
        page.click("#clear")
        page.wait_for_function(f"!window.sbind.labelsOf({LAST}).length")
        page.click("#undo")
        page.wait_for_function(f"window.sbind?.labelsOf({LAST}).length")
        assert (ids(page, address, LAST) == 1).any()

        page.click("#export")
        with page.expect_download() as download:
            page.click("#export-menu button[data-format=png]")
        assert zipfile.is_zipfile(download.value.path())

        page.reload()
        page.wait_for_function(f"window.sbind?.labelsOf({LAST}).length")

        kept = ids(page, address, LAST)
        page.click("#objects li >> nth=0")
        page.hover("#objects li >> nth=0")
        page.click("#objects li button[aria-label^=Remove]")
        page.wait_for_function(f"!window.sbind.labelsOf({LAST}).length")
        page.set_input_files("#import-file", download_path(tmp_path, download))
        page.wait_for_function(f"window.sbind?.labelsOf({LAST}).length")
        assert ((ids(page, address, LAST) > 0) == (kept > 0)).all(), "what was exported comes back"
        page.close()


def test_a_killed_server_goes_on_where_it_was(browser: Any, tmp_path: Path) -> None:
    clip, projects = scenes.write(tmp_path, count=60), tmp_path / "projects"
    with serving(clip, projects) as (address, process):
        page = opened(browser, address)
        click_object(page, 1)
        page.click("#forward")
        page.wait_for_function("window.sbind?.labelsOf(5).length")
        shown = [int(each) for each in page.evaluate(LABELED)]
        kept = ids(page, address, 3)
        process.send_signal(signal.SIGKILL)
        process.wait()
        page.close()
    with serving(clip, projects) as (address, _):
        page = opened(browser, address)
        found = {int(each) for each in page.evaluate(LABELED)}
        assert set(shown) <= found, "nothing that was shown is lost"
        assert (ids(page, address, 3) == kept).all()
        page.click("#forward")
        page.wait_for_function("window.sbind?.labelsOf(59).length")
        page.close()


def test_errors_and_shortcuts_are_shown(browser: Any, tmp_path: Path) -> None:
    with serving(scenes.write(tmp_path), tmp_path / "projects") as (address, _):
        page = opened(browser, address)
        page.click("#forward")
        page.wait_for_selector("#message:not([hidden])")
        assert "nothing is labeled yet" in page.inner_text("#message")
        page.keyboard.press("?")
        page.wait_for_selector("#help-dialog[open]")
        assert "Undo" in page.inner_text("#help-dialog")
        page.close()


@pytest.mark.skipif("digits" not in weights.names("rin"), reason="needs the network that ships")
def test_a_reverse_process_is_watched_and_its_reading_seen(browser: Any, tmp_path: Path) -> None:
    with serving(scenes.write(tmp_path), tmp_path / "projects") as (address, _):
        page = opened(browser, address)
        page.click("[role=tab][data-view=rin]")
        page.wait_for_function("document.querySelector('#rin-network').options.length >= 2")
        page.wait_for_function("document.querySelector('#rin-class').options.length === 11")
        page.fill("#rin-steps", "8")
        page.click("#rin-sample")
        page.wait_for_function("window.sbind.shownProcess().step === 7")
        last = page.evaluate("document.querySelector('#rin-canvas').toDataURL()")
        page.locator("#rin-step").fill("0")
        page.wait_for_function("window.sbind.shownProcess().step === 0")
        assert page.evaluate("document.querySelector('#rin-canvas').toDataURL()") != last
        assert "step 1 of 8" in page.inner_text("#rin-time")

        box = page.locator("#rin-canvas").bounding_box()
        spot = [box["width"] * 0.9, box["height"] * 0.3]  # a patch of the fifth sample
        before = page.evaluate("document.querySelector('#rin-canvas').toDataURL()")
        page.mouse.move(box["x"] + spot[0], box["y"] + spot[1])
        page.wait_for_function("window.sbind.shownProcess().readings === 1")
        assert page.evaluate("window.sbind.shownProcess().pointed.sample") == 4
        page.wait_for_function(
            "document.querySelector('#rin-reading').textContent.includes('reads this patch most')"
        )
        assert page.evaluate("document.querySelector('#rin-canvas').toDataURL()") != before
        page.close()


@pytest.mark.skipif("room" not in weights.names("carml"), reason="needs the agents that ship")
def test_a_goal_is_clicked_and_four_episodes_are_watched(browser: Any, tmp_path: Path) -> None:
    with serving(scenes.write(tmp_path), tmp_path / "projects") as (address, _):
        page = opened(browser, address)
        page.click("[role=tab][data-view=carml]")
        for agent, length in (("maze", 20), ("room", 16)):
            page.select_option("#carml-agent", agent)
            name = "window.sbind.shownTrial().world?.agent"
            page.wait_for_function(f"{name} === '{agent}' && !window.sbind.shownTrial().trial")
            box = page.locator("#carml-map").bounding_box()
            page.mouse.click(box["x"] + box["width"] * 0.8, box["y"] + box["height"] * 0.3)
            page.wait_for_function("document.querySelectorAll('#carml-episodes figure').length > 3")
            page.wait_for_function(f"window.sbind.shownTrial().moment === {length - 1}")
            goal = page.evaluate("window.sbind.shownTrial().trial.goal")
            expected = [405, 350] if agent == "room" else [400, 350]
            assert goal == pytest.approx(expected, abs=4)
            captions = page.locator("#carml-episodes figcaption").all_inner_texts()
            assert [each.startswith(f"Episode {n}") for n, each in enumerate(captions, 1)] == [
                True
            ] * 4
            views = page.locator("#carml-episodes .view:visible").count()
            assert views == (4 if agent == "room" else 0)
        page.close()


def test_errors_of_the_tabs_are_one_line(browser: Any, tmp_path: Path) -> None:
    with serving(scenes.write(tmp_path), tmp_path / "projects") as (address, _):
        page = opened(browser, f"{address}#rin")
        page.wait_for_selector("#view-rin:not([hidden])")
        page.fill("#rin-steps", "9999")
        page.click("#rin-sample")
        page.wait_for_selector("#message:not([hidden])")
        assert "body.steps" in page.inner_text("#message")
        page.close()
