"""What training does when an environment fails for good."""

import warnings

import pytest

from carml import runs
from scalable_binding.engine import checkpoint
from scalable_binding.errors import UserError

STEPS_OF_TRIALS = 24 // 8 * 2 * 5
"""Of each environment before the first update."""

STEPS_OF_AN_UPDATE = 2 * 5


def test_a_run_is_saved_when_its_environments_fail_for_good(tmp_path):
    lifetime = STEPS_OF_TRIALS + 2 * STEPS_OF_AN_UPDATE + 3
    options = ["restarts=0", f"lifetime={lifetime}"]
    worlds = {"environment__name": "envs.strange:Wearing-v0", "environment__options": options}
    with pytest.raises(UserError, match=r"environment 0\) failed again: RuntimeError: worn out"):
        runs.make(tmp_path / "run", **worlds)
    assert checkpoint.latest_step(tmp_path / "run") == 2
    assert (tmp_path / "run" / checkpoint.WEIGHTS).is_file()
    longer = {**worlds, "environment__options": ["restarts=0", "lifetime=1000"]}
    with pytest.raises(UserError, match="choose another folder"):
        runs.make(tmp_path / "run", **longer)
    patient = {**worlds, "environment__options": ["restarts=99", f"lifetime={lifetime}"]}
    with warnings.catch_warnings(action="ignore"):
        runs.make(tmp_path / "run", **patient)
    assert checkpoint.latest_step(tmp_path / "run") == 3
