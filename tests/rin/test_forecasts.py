"""Forecasts: exact baselines, and scores that see which prediction is right."""

import pytest
import torch

from scalable_binding.rin import features
from scalable_binding.rin.forecasts import ForecastScores, copy_last, extrapolate


def ramp(num_frames, count=3):
    """Videos whose pixels grow by 10 a frame."""
    levels = (20 + 10 * torch.arange(num_frames)).byte()
    return levels.view(1, 1, -1, 1, 1).expand(count, 1, -1, 16, 16).contiguous()


def test_the_last_frame_is_copied():
    video = ramp(6)
    assert torch.equal(copy_last(video[:, :, :2], 4), video[:, :, 1:2].expand(-1, -1, 4, -1, -1))


def test_pixels_go_on_in_a_straight_line_within_bytes():
    video = ramp(30)
    found = extrapolate(video[:, :, :3], 27)
    assert torch.equal(found[:, :, :21], video[:, :, 3:24])
    assert (found[:, :, 22:] == 255).all() or (found[:, :, 22:] == video[:, :, 25:]).any()
    falling = video.flip(2)[:, :, 26:28]
    assert (extrapolate(falling, 9)[:, :, -1] == 0).all()
    single = video[:, :, :1]
    assert torch.equal(extrapolate(single, 3), copy_last(single, 3))


def test_a_perfect_prediction_beats_the_baselines():
    video = ramp(6)
    video[:, :, 4:] = 0
    scores = ForecastScores(None, 4)
    scores.update(video[:, :, :2], video[:, :, 2:], video[:, :, 2:])
    scores.update(video[:, :, :2], video[:, :, 2:], video[:, :, 2:])
    found = scores.compute()
    assert found["predicted"]["mse"] == 0 and found["predicted"]["psnr"] == float("inf")
    errors = found["copy_last"]["mse_by_frame"]
    assert errors == pytest.approx([(d / 255) ** 2 for d in (10, 20, 30, 30)])
    assert found["copy_last"]["mse"] == pytest.approx(sum(errors) / 4)
    assert found["extrapolate"]["mse_by_frame"][:2] == [0, 0]
    assert "frechet_video" not in found["predicted"]
    assert found["predicted"]["ssim"] == pytest.approx(1)
    # Flat pictures differ in brightness alone.
    same = [(60 * level + 6.5025) / (900 + level**2 + 6.5025) for level in (40, 50, 0, 0)]
    assert found["copy_last"]["ssim"] == pytest.approx(sum(same) / 4)


def test_frames_smaller_than_its_window_have_no_structural_similarity():
    video = ramp(6)[..., :8]
    scores = ForecastScores(None, 4)
    scores.update(video[:, :, :2], video[:, :, 2:], video[:, :, 2:])
    assert "ssim" not in scores.compute()["predicted"]


def test_the_frechet_distance_of_the_truth_is_zero():
    network = features.choose(None, (6, 16, 16), 1)
    generator = torch.Generator().manual_seed(0)
    videos = torch.randint(0, 256, (80, 1, 6, 16, 16), generator=generator).byte()
    scores = ForecastScores(network, 4)
    for part in videos.split(30):
        scores.update(part[:, :, :2], part[:, :, 2:], part[:, :, 2:])
    found = scores.compute()
    assert found["predicted"]["frechet_video"] == pytest.approx(0, abs=1e-6)
    assert found["copy_last"]["frechet_video"] > 0.01
