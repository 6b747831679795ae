"""Options of where and how precisely networks run."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

DeviceOption = Annotated[
    str,
    Parameter(
        help="Where networks run: 'cpu', 'cuda', 'cuda:1', 'mps', or 'auto', a CUDA card if there "
        "is one. Frames and results stay in the memory of the host."
    ),
]

BFloat16Option = Annotated[
    bool | None,
    Parameter(
        name="--bfloat16",
        show_default=False,
        help="Matrix products in bfloat16; by default where the device is fast at it.",
    ),
]
