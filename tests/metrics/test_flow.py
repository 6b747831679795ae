import pytest
import torch

from scalable_binding.metrics import flow as metrics


def maps(*errors, speed=20.0):
    """True flow to the right, and one found that is off by the given pixels downwards."""
    truth = torch.zeros(2, 1, len(errors))
    truth[0] = speed
    found = truth.clone()
    found[1, 0] = torch.tensor(errors)
    return found, truth


def test_errors_by_kind_of_pixel():
    found, truth = maps(1.0, 2.0, 3.0, 4.0)
    known = torch.tensor([[True, True, True, False]])
    visible = torch.tensor([[True, False, True, True]])
    scores = metrics.pooled([metrics.tally(found, truth, known, visible)])
    assert scores == pytest.approx(
        {"epe": 2.0, "epe_matched": 2.0, "epe_occluded": 2.0, "epe_10-40": 2.0, "f1": 0.0}
    )


@pytest.mark.parametrize(
    ("error", "speed", "outlier"), [(2.9, 1.0, 0), (3.1, 1.0, 1), (3.1, 70.0, 0), (4.0, 70.0, 1)]
)
def test_an_outlier_is_off_by_three_pixels_and_five_percent(error, speed, outlier):
    assert metrics.tally(*maps(error, speed=speed))["f1"].mean == outlier


def test_speeds_are_those_of_the_truth():
    _, truth = maps(1.0, 1.0, 1.0, 1.0)
    truth[0, 0] = torch.tensor([9.9, 10.0, 39.9, 40.0])
    tallies = metrics.tally(truth + 1, truth)
    assert {name: one.num_pixels for name, one in tallies.items() if name.startswith("epe_")} == {
        "epe_0-10": 1,
        "epe_10-40": 2,
        "epe_40+": 1,
    }


def test_sintel_pools_pixels_and_kitti_takes_the_mean_of_images():
    large, small = metrics.tally(*maps(0.0, 0.0, 0.0)), metrics.tally(*maps(4.0))
    assert metrics.pooled([large, small])["epe"] == pytest.approx(1.0)
    assert metrics.kitti([large, small])["epe"] == pytest.approx(2.0)
    assert metrics.kitti([large, small])["f1"] == pytest.approx(0.25)


def test_unknown_truth_does_not_matter():
    found, truth = maps(1.0, 5.0)
    truth[:, 0, 1] = torch.nan
    assert metrics.tally(found, truth)["epe"].mean == pytest.approx(1.0)
