"""``sbind crw evaluate``: score an encoder on a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from scalable_binding.cli.crw.options import (
    AdaptationOption,
    AdaptOption,
    CalibrateOption,
    Flag,
    ProtocolOption,
    ReadingOption,
    WeightsOption,
    _adaptation,
)
from scalable_binding.cli.devices import BFloat16Option, DeviceOption
from scalable_binding.cli.outputs import (
    JsonOption,
    hold_folder,
    keeping,
    write_json,
)
from scalable_binding.crw.protocols import settings_of_protocol


def evaluate(
    benchmark: Literal["davis", "jhmdb", "vip", "synthetic"],
    root: Path | None = None,
    /,
    *,
    weights: WeightsOption = "shipped",
    calibrate: CalibrateOption = (),
    reading: ReadingOption = None,
    protocol: ProtocolOption = "crw",
    context: int | None = None,
    neighbors: int | None = None,
    radius: float | None = None,
    temperature: float | None = None,
    axes: int | None = None,
    zoom: float | None = None,
    edges: bool | None = None,
    adapt: AdaptOption = False,
    adaptation: AdaptationOption = (),
    sequences: str | None = None,
    list_file: Annotated[Path | None, Parameter(name="--list")] = None,
    out: Path | None = None,
    overwrite: Annotated[bool, Flag] = False,
    device: DeviceOption = "cpu",
    bfloat16: BFloat16Option = None,
    json: JsonOption = None,
) -> None:
    """Evaluate an encoder by label propagation on a benchmark.

    Parameters
    ----------
    benchmark
        Data and protocol.
    root
        Folder in the benchmark's official layout; 'synthetic' needs none.
    context
        Instead of the protocol's own; likewise neighbors, radius, temperature, axes, zoom.
    edges
        Masks follow the edges of the frames (guided filter), or those of feature cells.
    sequences
        Names of those to score, with commas between them, instead of all.
    list_file
        File that names the sequences, a line each, instead of the benchmark's own list.
    out
        Folder for predictions and scores per sequence; a stopped evaluation goes on from there.
    overwrite
        Discard another evaluation's results in that folder.
    """
    changes = {
        "context": context,
        "neighbors": neighbors,
        "radius": radius,
        "temperature": temperature,
        "axes": axes,
        "zoom": zoom,
        "edges": edges,
    }
    adapting = _adaptation(adapt, adaptation)
    kept = "nothing was kept, since --out was not given"
    if out is not None:
        hold_folder(out)
    with keeping(kept if out is None else f"the sequences scored so far are in {out}"):
        from scalable_binding.crw import evaluate as evaluation
        from scalable_binding.nn import precision

        with precision.bfloat16(bfloat16):
            scores = evaluation.evaluate(
                benchmark,
                root,
                weights=weights,
                calibrate=calibrate,
                reading=reading,
                changes=settings_of_protocol(protocol)
                | {name: value for name, value in changes.items() if value is not None},
                adaptation=adapting,
                sequences=None if sequences is None else sequences.split(","),
                listed=list_file,
                out=out,
                overwrite=overwrite,
                device=device,
            )
    for name, value in scores["overall"].items():
        print(f"{name:24} {value:.3f}")
    write_json(json, scores)
