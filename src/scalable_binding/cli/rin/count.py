"""``sbind rin count``: parameters and FLOPs beside Table 2.4."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from scalable_binding.cli.outputs import JsonOption, write_json
from scalable_binding.cli.settings import ConfigOption, SettingsOption, configure

WIDTH = 88


def count(
    *,
    preset: Annotated[
        str | None, Parameter(help="Count the network of this preset, and not Table 2.4.")
    ] = None,
    config: ConfigOption = None,
    settings: SettingsOption = (),
    json: JsonOption = None,
) -> None:
    """Print parameters and cost of the thesis' networks beside its Table 2.4."""
    if preset is not None or config is not None or settings:
        chosen = configure("rin", preset or "digits", config, settings)
        from scalable_binding.rin import flops

        found = flops.count(chosen.model)
        print(f"parameters     {found.parameters:,}")
        print(f"multiply-adds  {found.multiply_adds:,} an example")
        write_json(json, asdict(found))
        return
    _count_table(json)


def _count_table(json: Path | None) -> None:
    from scalable_binding.rin import flops

    rows = flops.table()
    print(f"{'':18}{'parameters, M':^26}{'multiply-':>11}{'GFLOPs':^18}")
    print(
        f"{'task':18}{'here':>8}{'thesis':>8}{'less':>8}  {'adds, G':>11}{'here':>9}{'thesis':>8}"
    )
    for row in rows:
        thesis = "-" if row.thesis_gflops is None else f"{row.thesis_gflops:g}"
        print(
            f"{row.task:18}{row.parameters:8.2f}{row.thesis_parameters:8g}{row.difference:8.2f}  "
            f"{row.count.multiply_adds / 1e9:11.1f}{row.gflops:9.1f}{thesis:>8}"
        )
    for note in flops.NOTES:
        print("\n" + textwrap.fill(note, WIDTH))
    records = [{**asdict(row), "difference": row.difference, "gflops": row.gflops} for row in rows]
    write_json(json, {"rows": records, "notes": list(flops.NOTES)})
