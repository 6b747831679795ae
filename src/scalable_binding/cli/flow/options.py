"""Options that the commands of ``sbind flow`` share."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

Flag = Parameter(negative="")


WeightsOption = Annotated[
    str, Parameter(help="'shipped', 'random', a run's folder, or its model.safetensors.")
]


SizeOption = Annotated[
    int | None,
    Parameter(
        help="Larger videos are shrunk to this many pixels on the short side; results are at the "
        "video's own size all the same."
    ),
]
