"""Draws the pictures of the page: app.webp and app-*.webp, in Chromium.

python docs/images/draw_app.py

Needs playwright and Debian's chromium, and the models that ship. Takes a minute on an idle core.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from scalable_binding.app.session import Session
from scalable_binding.app.workspace import project_name
from scalable_binding.data.labels import masks
from scalable_binding.demo.clips import CLIP

HERE = Path(__file__).parent
VIDEO = CLIP / "juggling.mp4"
SHOWN_AFTER = 18
"""Labeled frames when the first picture is taken."""


def label_first(projects: Path) -> None:
    """A project whose first frame has the painted mask, with names."""
    ids = masks.read(CLIP / "juggling.png").numpy()
    session = Session(VIDEO, projects / project_name(VIDEO), model="raw")
    for number, name in enumerate(("man", "ball"), start=1):
        session.add_object(name)
        session.set_mask(0, number, ids == number)
    session.close()


def main() -> None:
    """Start the server, and take the pictures."""
    with tempfile.TemporaryDirectory() as folder:
        projects = Path(folder)
        label_first(projects)
        command = [sys.executable, "-m", "scalable_binding", "app", str(VIDEO), "--no-browser"]
        command += ["--projects", str(projects)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            address = re.search(r"http://\S+", server.stdout.readline())
            assert address is not None
            try:
                with sync_playwright() as playwright:
                    photograph(playwright, address[0])
            finally:
                server.terminate()


def photograph(playwright: Any, address: str) -> None:
    """Propagate, correct, export, sample and try, and keep a picture of each."""
    browser = playwright.chromium.launch(
        executable_path=shutil.which("chromium"), args=["--no-sandbox"]
    )
    page = browser.new_page(viewport={"width": 1280, "height": 800}, bypass_csp=True)
    page.set_default_timeout(240_000)
    page.goto(address)
    page.wait_for_function("window.sbind?.labelsOf(0).length === 2")
    page.click("#forward")
    page.wait_for_function(f"window.sbind.labelsOf({SHOWN_AFTER}).length === 2")
    keep(page, "app")
    page.click("#job-stop")
    page.wait_for_function("window.sbind.store.jobs.length === 0")
    click_in_the_middle(page)
    page.wait_for_selector("#refresh:not([hidden])")
    keep(page, "app-correct")
    page.click("#export")
    keep(page, "app-export")
    page.keyboard.press("Escape")
    page.click("[data-view=rin]")
    page.wait_for_function("document.querySelector('#rin-class').options.length === 11")
    page.click("#rin-sample")
    page.wait_for_function("window.sbind.shownProcess().step === 49")
    page.locator("#rin-step").fill("36")
    page.wait_for_function("window.sbind.shownProcess().step === 36")
    box = page.locator("#rin-canvas").bounding_box()
    page.mouse.move(box["x"] + 0.52 * box["width"], box["y"] + 0.2 * box["height"])
    page.wait_for_function("window.sbind.shownProcess().readings > 0")
    keep(page, "app-rin")
    page.click("[data-view=carml]")
    page.wait_for_function("window.sbind.shownTrial().world")
    page.select_option("#carml-agent", "room")
    page.wait_for_function("window.sbind.shownTrial().world.agent === 'room'")
    box = page.locator("#carml-map").bounding_box()
    page.mouse.click(box["x"] + 0.47 * box["width"], box["y"] + 0.52 * box["height"])
    page.wait_for_function("window.sbind.shownTrial().moment === 15")
    keep(page, "app-carml")
    browser.close()


def click_in_the_middle(page: Any) -> None:
    """A labeled frame, with a click on the leg that is missing."""
    page.keyboard.press("Home")
    for _ in range(9):
        page.keyboard.press("ArrowRight")
    page.click("#objects li >> nth=0")
    box = page.locator("#stage").bounding_box()
    page.mouse.click(box["x"] + 0.622 * box["width"], box["y"] + 0.69 * box["height"])


def keep(page: Any, name: str) -> None:
    """A picture of the page as it is."""
    page.wait_for_timeout(1500)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.save(HERE / f"{name}.webp", quality=80, method=6)


if __name__ == "__main__":
    main()
