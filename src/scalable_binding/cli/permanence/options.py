"""Options that the commands of ``sbind permanence`` share."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

Flag = Parameter(negative="")


WeightsOption = Annotated[str, Parameter(help="'shipped', or a run's folder.")]
