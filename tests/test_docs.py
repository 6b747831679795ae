"""The documentation is true: links lead somewhere, commands parse, Python runs."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from cli import clip
from scalable_binding.cli import commands
from scalable_binding.crw import model
from scalable_binding.demo.crw import video as how_to

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

MAX_IMAGES = 1_500_000
"""Bytes of all pictures under docs/images together."""


def fenced(text: str, language: str) -> list[str]:
    """The contents of the code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def spelled_commands(text: str) -> list[str]:
    """Lines that start with sbind, those that a backslash continues put together."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line.partition("#")[0] for line in lines if line.startswith("sbind ")]


COMMANDS = sorted(
    {
        *(
            line
            for page in PAGES
            for block in fenced(page.read_text(encoding="utf-8"), "")
            for line in spelled_commands(block)
        ),
        *spelled_commands(how_to._COMMANDS),
    }
)


def anchor(heading: str) -> str:
    """The name by which a heading is linked to."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"https?://", target):
            continue
        name, _, place = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        if place:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert place in map(anchor, headings), target


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_parse(line: str) -> None:
    tokens = shlex.split(line)[1:]
    if {"train", "show"} & set(tokens):
        tokens = commands.spell_settings(tokens)
    commands.build().parse_args(tokens, print_error=False, exit_on_error=False)


@pytest.mark.parametrize("where", ["README.md", "docs/crw.md", "docs/environments.md", "demo"])
def test_python_runs(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip.write(tmp_path)
    (tmp_path / "walk.mp4").write_bytes((tmp_path / "video.mp4").read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(model, "load", lambda weights: model.RawPatches())
    blocks = [how_to._PYTHON]
    if where != "demo":
        blocks = fenced((ROOT / where).read_text(encoding="utf-8"), "python")
    assert blocks
    for block in blocks:
        exec(compile(block, where, "exec"), {})


def test_pictures_are_small() -> None:
    pictures = [path for path in (ROOT / "docs" / "images").iterdir() if path.suffix != ".py"]
    assert sum(path.stat().st_size for path in pictures) < MAX_IMAGES


API = [
    pytest.param(name, id=name)
    for page in sorted((ROOT / "docs" / "api").glob("*.md"))
    for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
]


@pytest.mark.parametrize("name", API)
def test_api_pages_name_modules_that_exist(name: str) -> None:
    assert importlib.util.find_spec(name) is not None


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("**/*.md"):
        assert f": {page.relative_to(ROOT / 'docs').as_posix()}\n" in site, page
