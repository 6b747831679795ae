"""One HTML file with everything in it: pictures and videos too, nothing to load from elsewhere."""

from __future__ import annotations

import base64
import mimetypes
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any, Literal

import torch

from scalable_binding import atomic
from scalable_binding.plots import colors


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a chapter: its heading, what stands under it (HTML), and scores for the JSON."""

    name: str
    title: str
    blocks: Sequence[str]
    scores: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """Sections that belong together, under a headline and a sentence."""

    name: str
    title: str
    lead: str
    sections: Sequence[Section]


def write(path: Path, chapters: Sequence[Chapter], *, footer: str) -> None:
    """Write the report, whole or not at all.

    Raises:
        UserError: it cannot be written.
    """
    page = Template(resources.files(__package__).joinpath("page.html").read_text("utf-8"))
    body = "".join(map(_chapter, chapters))
    text = page.substitute(body=body, footer=_with_marks(footer))
    with atomic.replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _chapter(chapter: Chapter) -> str:
    places = {f"{chapter.name}-{part.name}": part for part in chapter.sections}
    links = "".join(f'<a href="#{id}">{escape(part.title)}</a>' for id, part in places.items())
    cards = "".join(
        f'<section id="{id}"><h2>{escape(part.title)}</h2>{"".join(part.blocks)}</section>'
        for id, part in places.items()
    )
    head = f"<h1>{escape(chapter.title)}</h1><p class='lead'>{_with_marks(chapter.lead)}</p>"
    return f"<article><header>{head}<nav>{links}</nav></header>{cards}</article>"


def paragraph(text: str) -> str:
    """A paragraph; `code` and *emphasis* are marked as here."""
    return f"<p>{_with_marks(text)}</p>"


def note(text: str) -> str:
    """A paragraph that must not be overlooked."""
    return f'<p class="note">{_with_marks(text)}</p>'


def code(text: str) -> str:
    """Lines to copy."""
    return f"<pre><code>{escape(text.strip())}</code></pre>"


def pictures(items: Sequence[tuple[Path, str]], *, wide: bool = False) -> str:
    """Pictures with captions, side by side as far as they fit; wide ones scroll on a phone."""
    figures = "".join(_figure(_image(path, caption), caption) for path, caption in items)
    return f'<div class="{"wide" if wide else "grid"}">{figures}</div>'


def video(path: Path, caption: str) -> str:
    """A video that plays by itself, without sound, again and again."""
    player = f'<video src="{_embed(path)}" autoplay loop muted playsinline controls></video>'
    return _figure(player, caption)


def columns(blocks: Sequence[str]) -> str:
    """Blocks side by side as far as they fit."""
    return f'<div class="columns">{"".join(blocks)}</div>'


def table(
    heading: Sequence[str],
    rows: Sequence[tuple[str, Sequence[float]]],
    note: str,
    *,
    best_of: Literal["row", "column"] = "row",
) -> str:
    """Scores in columns, higher being better: the best of each row or column is set in bold.

    ``heading`` names the first column and then the others.
    """
    cells = [[f"{value:.3f}" for value in values] for _, values in rows]
    across = cells if best_of == "row" else list(zip(*cells, strict=True))
    best = [max(line) for line in across]
    head = "".join(f"<th>{_with_marks(name)}</th>" for name in heading)
    body = ""
    for i, (name, _) in enumerate(rows):
        marked = (
            f"<td><b>{text}</b></td>"
            if text == best[i if best_of == "row" else j]
            else f"<td>{text}</td>"
            for j, text in enumerate(cells[i])
        )
        body += f"<tr><th>{_with_marks(name)}</th>{''.join(marked)}</tr>"
    caption = f"<caption>{_with_marks(note)}</caption>"
    return (
        f'<div class="scroll"><table>{caption}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def swatch(label: int) -> str:
    """The mark, for names of rows, of the color in which a label is drawn."""
    red, green, blue = colors.bright(torch.tensor([label]))[0].round().int().tolist()
    return f"[#{red:02x}{green:02x}{blue:02x}]"


def _with_marks(text: str) -> str:
    text = re.sub(
        r"\[(#[0-9a-f]{6})\]", r'<i class="swatch" style="background:\1"></i>', escape(text)
    )
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    return re.sub(r"\*([^*]+)\*", r"<em>\1</em>", text)


def _figure(content: str, caption: str) -> str:
    return f"<figure>{content}<figcaption>{_with_marks(caption)}</figcaption></figure>"


def _image(path: Path, caption: str) -> str:
    alternative = escape(re.sub(r"[`*]", "", caption))
    return f'<img src="{_embed(path)}" alt="{alternative}">'


def _embed(path: Path) -> str:
    """The file's content as an address."""
    kind, _ = mimetypes.guess_type(path.name)
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
