"""Whether the run in a folder is the one that is to go on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from scalable_binding import files
from scalable_binding.carml.config import CARMLConfig, EnvironmentConfig
from scalable_binding.engine import checkpoint
from scalable_binding.engine.checkpoint import CONFIG
from scalable_binding.engine.config import to_mapping
from scalable_binding.errors import UserError

STEPPING = ("vector=", "num_workers=", "timeout=", "restarts=")
"""Options that say how environments are stepped, which a resumed run may change."""


def check_run(config: CARMLConfig, run: Path) -> None:
    """Compare a folder's run with the configuration that is to go on with it.

    Raises:
        UserError: it is the run of another environment or number of processes.
    """
    if checkpoint.latest_step(run) is None:
        return
    try:
        record = dict(files.read_json(run / CONFIG))
    except (UserError, ValueError, TypeError):
        return  # write_config warns of it
    wanted = to_mapping(config.environment)
    found = record.get("environment")
    if _world(found) != _world(wanted):
        fix = "choose another folder, or go on with the settings in its config.json"
        got, expected = f"a run in {found}", f"a run in {wanted}"
        raise UserError(f"{run}", expected=expected, got=got, fix=fix)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if record.get("processes") != processes:
        fix = "resume with as many, since each has environments and a reservoir of its own"
        got = f"one of {record.get('processes')}"
        raise UserError(f"{run}", expected=f"a run of {processes} processes", got=got, fix=fix)


def _world(environment: Any) -> Any:
    """An environment without options that only say how it is stepped; older runs lack settings."""
    if not isinstance(environment, dict):
        return environment
    whole = to_mapping(EnvironmentConfig()) | environment
    options = [o for o in whole["options"] if not o.startswith(STEPPING)]
    return {**whole, "options": options}
