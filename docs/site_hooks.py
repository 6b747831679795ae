"""Hooks of the documentation site: benchmark pages and examples become pages of the site too.

Pages under ``docs/`` link to files elsewhere in the repository, as people who read them there
expect. On the site, benchmark pages keep these links, an example is shown as a page with its code,
and a link to any other file becomes plain text.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]

ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):<code")

LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the benchmark pages with their pictures, and the examples."""
    for path in sorted(ROOT.glob("benchmarks/**/*")):
        if path.suffix == ".md":
            files.append(File.generated(config, _place(path), content=path.read_text("utf-8")))
        elif path.suffix in {".png", ".webp"}:
            files.append(File.generated(config, _place(path), content=path.read_bytes()))
    for path in sorted(ROOT.glob("examples/*.py")):
        page = f"# {path.name}\n\n```python\n{path.read_text('utf-8')}```\n"
        files.append(File.generated(config, f"{_place(path)}.md", content=page))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Rewrite links between files of the repository as links between pages of the site."""
    uri = PurePosixPath(page.file.src_uri)
    source = ROOT / uri
    if not uri.is_relative_to("benchmarks") and not uri.is_relative_to("examples"):
        source = ROOT / "docs" / uri

    def on_site(match: re.Match[str]) -> str:
        target, _, anchor = match["target"].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return match[0]
        place = _place(Path(os.path.normpath(source.parent / target)))
        found = next((name for name in _names(place) if files.get_file_from_path(name)), None)
        if found is None:
            return match["text"]
        link = os.path.relpath(found, uri.parent) + (f"#{anchor}" if anchor else "")
        return f"{match['image']}[{match['text']}]({link})"

    return LINK.sub(on_site, markdown)


def on_page_content(html: str, page: Any, config: Any, files: Files) -> str:
    """Leave out the roles that docstrings put before names, as ``:class:``."""
    return ROLE.sub("<code", html)


def _place(path: Path) -> str:
    """Where a file of the repository lies on the site: ``docs`` is its root."""
    place = path.relative_to(ROOT)
    return (place.relative_to("docs") if place.is_relative_to("docs") else place).as_posix()


def _names(place: str) -> list[str]:
    """The names that a link to a place may mean: a file, an example's page, a folder's README."""
    return [place, f"{place}.md", f"{place}/README.md"]
