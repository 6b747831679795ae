"""``sbind demo``: the main jobs on what ships with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from scalable_binding.cli.outputs import JsonOption, keeping, prepare_folder, write_json


def demo(
    *,
    out: Annotated[Path, Parameter(help="Folder for the report, pictures and videos.")] = Path(
        "demo"
    ),
    video: Path | None = None,
    labels: Path | None = None,
    weights: Annotated[
        str | None,
        Parameter(
            help="The encoder to show, as in 'sbind crw propagate'; by default the shipped one, or "
            "random features (the report says so) where this installation holds none."
        ),
    ] = None,
    seed: int = 12,
    json: JsonOption = None,
    overwrite: Annotated[
        bool, Parameter(negative="", help="Write into a folder that has something in it.")
    ] = False,
) -> None:
    """Run the main jobs on small scenes and write one HTML report; its path is printed last.

    Parameters
    ----------
    video
        A video of yours to show as well, with --labels.
    labels
        Mask (PNG) of its first frame.
    seed
        Of the scene; the same seed gives the same scene and scores.
    """
    prepare_folder(out, overwrite=overwrite)
    with keeping(f"what was drawn so far is in {out}"):
        from scalable_binding import demo as demonstration

        crw = demonstration.CRWSettings(weights=weights, video=video, labels=labels)
        results = demonstration.run(out, demonstration.DemoConfig(seed=seed, crw=crw))
    write_json(json, results)
    print(results["report"])
