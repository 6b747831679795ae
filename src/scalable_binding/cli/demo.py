"""``sbind demo``: the main job on what ships with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from scalable_binding.cli.outputs import keeping, prepare_folder


def demo(
    *,
    out: Annotated[Path, Parameter(help="Folder for the report, pictures and videos.")] = Path(
        "demo"
    ),
    overwrite: Annotated[
        bool, Parameter(negative="", help="Write into a folder that has something in it.")
    ] = False,
) -> None:
    """Run the main job on a small scene and write one HTML report; its path is printed last."""
    prepare_folder(out, overwrite=overwrite)
    with keeping(f"what was drawn so far is in {out}"):
        from scalable_binding import demo as demonstration

        print(demonstration.run(out))
