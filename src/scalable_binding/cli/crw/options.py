"""Options that the commands of ``sbind crw`` share."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from scalable_binding.cli.settings import (
    pairs,
)
from scalable_binding.crw.presets import AdaptationConfig
from scalable_binding.crw.reader_config import PUBLIC_NAMES, ReadingConfig
from scalable_binding.engine.config import override
from scalable_binding.engine.config import settings as settings_of
from scalable_binding.errors import UserError

Flag = Parameter(negative="")


WeightsOption = Annotated[
    str,
    Parameter(
        help="'shipped', 'untrained' or 'untrained:SEED' (the shipped architecture with fresh "
        "weights; needs --calibrate), 'random' (a fresh ResNet-18), 'raw' (colors of patches, no "
        "encoder), a run's folder, a file: ours, torchvision's ResNet-18 or the authors' "
        "checkpoint; or a public backbone: "
        + ", ".join(PUBLIC_NAMES)
        + ", hf:OWNER/NAME, a folder that transformers wrote, or timm:NAME."
    ),
]

ReadingOption = Annotated[ReadingConfig | None, Parameter(name="*")]

ProtocolOption = Annotated[
    Literal["crw", "dino"],
    Parameter(
        help="Defaults of context, neighbors, radius, temperature and fill: the thesis', or those "
        "of DINO's evaluation (7 frames, 5 neighbors, temperature .1)."
    ),
]

CalibrateOption = Annotated[
    tuple[Path, ...],
    Parameter(
        name="--calibrate",
        negative="",
        show_default=False,
        help="Folder of videos; the encoder's reader (statistics of batch norms, whitening) is "
        "fitted on frames of them first.",
    ),
]


AdaptOption = Annotated[
    bool,
    Parameter(
        negative="",
        help="Train on a sliding window of the video before labels go to a frame; slow on a CPU.",
    ),
]


AdaptationOption = Annotated[
    tuple[str, ...],
    Parameter(
        name="--adaptation",
        negative="",
        show_default=False,
        help="One setting of --adapt, NAME=VALUE, such as "
        + ", ".join(
            f"{leaf.path}={leaf.value}" for leaf in islice(settings_of(AdaptationConfig()), 4)
        )
        + ".",
    ),
]


def _adaptation(adapt: bool, settings: tuple[str, ...]) -> AdaptationConfig | None:
    if settings and not adapt:
        raise UserError(f"--adaptation {settings[0]} has no effect without --adapt")
    return override(AdaptationConfig(), pairs(settings)) if adapt else None
