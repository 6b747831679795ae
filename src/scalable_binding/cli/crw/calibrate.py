"""``sbind crw calibrate``: fit how an encoder is read on unlabeled frames."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from scalable_binding.cli.crw.options import Flag
from scalable_binding.cli.outputs import prepare_folder
from scalable_binding.cli.settings import pairs
from scalable_binding.crw.reader_config import CalibrationConfig
from scalable_binding.errors import UserError


def calibrate(
    weights: str,
    *videos: Path,
    out: Path | None = None,
    settings: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set",
            negative="",
            show_default=False,
            help="One setting of the reader: --set stages=0,1,2,3, and likewise windows, weights, "
            "components, contrast, stride, dilate, scale.",
        ),
    ] = (),
    calibration: Annotated[CalibrationConfig | None, Parameter(name="*")] = None,
    overwrite: Annotated[bool, Flag] = False,
) -> None:
    """Fit how an encoder is read (statistics of batch norms, whitening) on unlabeled frames.

    Parameters
    ----------
    weights
        Folder of a run, or any other weights together with --out.
    videos
        Folders of videos or of folders of frames.
    out
        Folder for the encoder with its new reader; by default the reader is put into the run.
    overwrite
        Replace what is in the folder --out.
    """
    if not videos:
        raise UserError("calibration", expected="folders of videos", got="none")
    if out is not None:
        prepare_folder(out, overwrite=overwrite)
    from scalable_binding.crw import calibration as calibrating

    calibrating.calibrate(weights, videos, out, reader=pairs(settings), config=calibration)
    print(f"reader: {out or weights}")
