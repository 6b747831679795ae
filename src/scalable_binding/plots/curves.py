"""Line plots and tables of scores and losses, for training and for ablations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from scalable_binding import atomic
from scalable_binding.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

_INKS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#333333", "#8C6D31")
"""Okabe & Ito's colors, which the color-blind can tell apart."""

_FORMATS = (".png", ".svg", ".pdf")

Number = int | float


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Points joined by a line; names instead of numbers as `x` are spaced evenly."""

    label: str
    x: Sequence[Number] | Sequence[str]
    y: Sequence[Number]
    spread: Sequence[Number] | None = None
    """Half the height of a band around the line, a standard deviation say."""

    def __post_init__(self) -> None:
        lengths = {len(self.x), len(self.y), len(self.y if self.spread is None else self.spread)}
        if len(lengths) > 1:
            raise UserError(
                f"curve {self.label!r}",
                expected="as many x as y",
                got=f"{len(self.x)} and {len(self.y)}",
            )


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One pair of axes with its curves; `levels` are named horizontal lines, baselines say."""

    curves: Sequence[Curve]
    x_label: str = ""
    y_label: str = ""
    title: str = ""
    levels: Mapping[str, Number] | None = None
    log_x: bool = False
    log_y: bool = False


def draw(panels: Sequence[Panel], *, title: str = "", dpi: int = 150) -> UInt8[Tensor, "3 h w"]:
    """The panels side by side, at most three in a row, as a picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = _figure(panels, title)
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.array(canvas.buffer_rgba())[..., :3]
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def save(path: Path, panels: Sequence[Panel], *, title: str = "", dpi: int = 150) -> None:
    """Write the panels as PNG, SVG or PDF, as the suffix says, whole or not at all.

    Raises:
        UserError: another suffix, no panel, or a file that cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise UserError(f"plot {path}", expected=f"a name that ends in {', '.join(_FORMATS)}")
    figure = _figure(panels, title)
    with atomic.replacing(path) as temporary:
        figure.savefig(temporary, dpi=dpi, format=suffix[1:])


def collect(
    records: Sequence[Mapping[str, object]], *, x: str = "step", smoothing: float = 0.0
) -> dict[str, Curve]:
    """A curve for every quantity in a training log, by name, with `x` along.

    Records need not all hold every quantity, and what is no number is passed over. With
    `smoothing` s > 0 each point is s times the smoothed one before and 1 - s times itself.
    """
    names = dict.fromkeys(name for record in records for name in record if name != x)
    curves = {}
    for name in names:
        points = [(record[x], record[name]) for record in records if x in record and name in record]
        points = [point for point in points if all(_is_number(value) for value in point)]
        if points:
            places, values = zip(*points, strict=True)
            curves[name] = Curve(label=name, x=places, y=_smooth(values, smoothing))
    return curves


def table(rows: Sequence[Mapping[str, object]], *, digits: int = 3) -> str:
    """The rows as an aligned Markdown table; numbers with a fraction get `digits` of it.

    Columns come in the order in which they first occur; what a row lacks stays empty.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    columns = [_column(name, [row.get(name) for row in rows], digits) for name in names]
    return "".join(f"| {' | '.join(line)} |\n" for line in zip(*columns, strict=True))


def _column(name: str, values: Sequence[object], digits: int) -> list[str]:
    """Heading, rule and cells of one column, equally wide; numbers stand to the right."""
    is_numeric = all(value is None or isinstance(value, int | float) for value in values)
    cells = [name, *(_cell(value, digits) for value in values)]
    width = max(3, *(len(cell) for cell in cells))
    cells = [cell.rjust(width) if is_numeric else cell.ljust(width) for cell in cells]
    rule = "-" * (width - 1) + (":" if is_numeric else "-")
    return [cells[0], rule, *cells[1:]]


def _cell(value: object, digits: int) -> str:
    if value is None:
        return ""
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _smooth(values: Sequence[float], smoothing: float) -> list[float]:
    """Exponential moving average that starts at the first value."""
    smoothed = [values[0]]
    for value in values[1:]:
        smoothed.append(smoothing * smoothed[-1] + (1 - smoothing) * value)
    return smoothed


def _figure(panels: Sequence[Panel], title: str) -> Figure:
    if not panels:
        raise UserError("a plot", expected="at least one panel", got="none")
    from matplotlib.figure import Figure

    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(
        figsize=(4.4 * columns, 3.2 * rows + (0.3 if title else 0)), layout="constrained"
    )
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, panel in zip(axes, panels, strict=False):
        _draw_panel(axis, panel)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    if title:
        figure.suptitle(title, fontsize=12, fontweight="bold")
    return figure


def _label_decades(axis: Axis) -> None:
    """Put numbers at 1, 2 and 5 of each decade alone, so that none lies upon another."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(EngFormatter())
    axis.set_minor_formatter(NullFormatter())


def _draw_panel(axis: Axes, panel: Panel) -> None:
    for index, curve in enumerate(panel.curves):
        ink = _INKS[index % len(_INKS)]
        marker = "o" if len(curve.x) <= 20 else ""
        axis.plot(
            curve.x, curve.y, color=ink, label=curve.label, marker=marker, markersize=4, lw=1.8
        )
        if curve.spread is not None:
            y, spread = np.asarray(curve.y), np.asarray(curve.spread)
            axis.fill_between(curve.x, y - spread, y + spread, color=ink, alpha=0.18, lw=0)
    for index, (name, level) in enumerate((panel.levels or {}).items()):
        style = ("--", ":", "-.")[index % 3]
        axis.axhline(level, color="#777777", ls=style, lw=1.2, label=name)
    if panel.log_x:
        axis.set_xscale("log")
        _label_decades(axis.xaxis)
    if panel.log_y:
        axis.set_yscale("log")
        _label_decades(axis.yaxis)
    axis.set_xlabel(panel.x_label)
    axis.set_ylabel(panel.y_label)
    axis.set_title(panel.title, loc="left", fontsize=10, fontweight="bold")
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(color="#dddddd", lw=0.6)
    axis.set_axisbelow(True)
    if len(panel.curves) + len(panel.levels or {}) > 1:
        axis.legend(fontsize=8, framealpha=0.85, edgecolor="none")
