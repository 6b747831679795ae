import pytest

from scalable_binding.data.synthetic import WorldConfig, evaluation, noiseless, training
from scalable_binding.errors import UserError


@pytest.mark.parametrize(
    "wrong",
    [
        {"height": 0},
        {"num_frames": 0},
        {"num_objects": (3, 2)},
        {"num_objects": (0, 29)},
        {"object_size": (0.0, 0.1)},
        {"limb_rate": 1.5},
        {"noise": -0.1},
    ],
)
def test_nonsense_is_refused_by_name(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        WorldConfig(**wrong)


def test_presets():
    assert training(size=64, num_frames=3).width == 64
    assert training().split == "train" and evaluation().split == "held_out"
    assert noiseless().noise == 0
