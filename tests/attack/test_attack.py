"""A minute of ``make attack``: nothing lost, no hang, no traceback, no silent difference."""

from pathlib import Path

import pytest

from attack.plan import SUBSET, run, scaled


@pytest.mark.slow
def test_a_minute_of_the_attack_finds_nothing(tmp_path: Path) -> None:
    counts = scaled(SUBSET, 0.3)
    tally = run(tmp_path, counts, seed=1, systems=False)
    assert not tally.failures, str(tally)
    assert len(tally.counts) >= 17
