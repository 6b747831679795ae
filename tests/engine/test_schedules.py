import math

import pytest

from scalable_binding.engine.fit_config import ScheduleConfig
from scalable_binding.engine.schedules import lr_multiplier
from scalable_binding.errors import UserError


def test_warm_up_rises_linearly_to_one() -> None:
    config = ScheduleConfig(warm_up=4)
    assert [lr_multiplier(step, config, 10) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]


def test_cosine_is_half_a_period_after_the_warm_up() -> None:
    config = ScheduleConfig(warm_up=10, curve="cosine")
    assert lr_multiplier(10, config, 110) == 1
    assert lr_multiplier(60, config, 110) == pytest.approx(0.5)
    assert lr_multiplier(110, config, 110) == pytest.approx(0)
    assert lr_multiplier(200, config, 110) == pytest.approx(0)


def test_cosine_at_r_runs_through_a_part_of_it() -> None:
    config = ScheduleConfig(curve="cosine@.7")
    assert lr_multiplier(100, config, 100) == pytest.approx((1 + math.cos(0.7 * math.pi)) / 2)
    # The part of a longer cosine, as in the authors' code: steps / r.
    longer = ScheduleConfig(curve="cosine")
    assert lr_multiplier(35, config, 70) == pytest.approx(lr_multiplier(35, longer, 100))


@pytest.mark.parametrize("curve", ["cosin", "cosine@", "cosine@0", "cosine@1.5", "linear", ""])
def test_unknown_curves_are_refused(curve: str) -> None:
    with pytest.raises(UserError, match=r"schedule\.curve"):
        ScheduleConfig(curve=curve)
