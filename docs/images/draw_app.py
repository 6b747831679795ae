"""Draws app.webp: the labeling page in Chromium, with the bundled clip while labels propagate.

python docs/images/draw_app.py

Needs playwright and Debian's chromium. Takes a minute on one CPU core.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from scalable_binding.app.session import Session
from scalable_binding.app.workspace import project_name
from scalable_binding.data.labels import masks
from scalable_binding.demo.crw.video import CLIP

HERE = Path(__file__).parent
VIDEO = CLIP / "juggling.mp4"
SHOWN_AFTER = 18
"""Labeled frames when the picture is taken."""


def label_first(projects: Path) -> None:
    """A project whose first frame has the painted mask, with names."""
    ids = masks.read(CLIP / "juggling.png").numpy()
    session = Session(VIDEO, projects / project_name(VIDEO), model="raw")
    for number, name in enumerate(("man", "ball"), start=1):
        session.add_object(name)
        session.set_mask(0, number, ids == number)
    session.close()


def main() -> None:
    """Start the server, propagate, and take the picture."""
    with tempfile.TemporaryDirectory() as folder:
        projects = Path(folder)
        label_first(projects)
        command = [sys.executable, "-m", "scalable_binding", "app", str(VIDEO), "--no-browser"]
        command += ["--projects", str(projects)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            address = re.search(r"http://\S+", server.stdout.readline())
            assert address is not None
            picture = photograph(address[0])
            server.terminate()
    picture.save(HERE / "app.webp", quality=82, method=6)


def photograph(address: str) -> Image.Image:
    """The page after some frames have been labeled."""
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800}, bypass_csp=True)
        page.set_default_timeout(120_000)
        page.goto(address)
        page.wait_for_function("window.sbind?.labelsOf(0).length === 2")
        page.click("#forward")
        page.wait_for_function(f"window.sbind.labelsOf({SHOWN_AFTER}).length === 2")
        page.wait_for_timeout(500)
        found = page.screenshot()
        browser.close()
    return Image.open(io.BytesIO(found)).convert("RGB")


if __name__ == "__main__":
    main()
