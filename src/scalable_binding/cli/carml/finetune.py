"""``sbind carml finetune``: train an agent further on given tasks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from scalable_binding.cli.carml.options import Asked, TrustOption, _at_least
from scalable_binding.cli.outputs import keeping
from scalable_binding.cli.settings import SettingsOption, pairs
from scalable_binding.errors import UserError


def finetune(
    run: Path,
    /,
    *,
    out: Path,
    task: Annotated[str | None, Asked] = None,
    distribution: Annotated[bool, Parameter(negative="")] = False,
    part: Literal["policy", "encoder"] = "policy",
    updates: int | None = None,
    trust: TrustOption = False,
    settings: SettingsOption = (),
) -> None:
    """Train an agent further, on one task or on the environment's distribution of tasks.

    Parameters
    ----------
    run
        Folder of the agent to start from.
    out
        Folder of the new run; one that was stopped goes on where it was.
    distribution
        Supervised meta-learning of the environment's training tasks, in place of --task.
    part
        Start from the whole policy, or from its encoder only.
    updates
        Of the agent; by default as many as the first run had.
    """
    if (task is not None) == distribution:
        got = "both" if distribution else "neither"
        raise UserError("what to train on", expected="--task or --distribution", got=got)
    if updates is not None:
        _at_least("updates", updates, 1)
    with keeping(f"the last checkpoint is in {out}; the same command goes on from there"):
        from scalable_binding.carml import train as training

        training.finetune(
            run,
            out,
            task=task,
            part=part,
            updates=updates,
            changes=dict(pairs(settings)),
            trust=trust,
        )
    if os.environ.get("RANK", "0") == "0":
        print(f"agent: {out}")
