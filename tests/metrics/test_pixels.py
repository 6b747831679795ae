import math

import pytest
import torch
from skimage.metrics import structural_similarity

from scalable_binding.errors import UserError
from scalable_binding.metrics.pixels import mean_squared_error, psnr, ssim


def pictures(seed, count=3, side=20):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 2, side, side + 3), generator=generator).byte()


def test_the_error_is_the_mean_square_of_pixels_in_the_unit_interval():
    black, white = torch.zeros(2, 1, 4, 4).byte(), torch.full((2, 1, 4, 4), 255).byte()
    assert torch.equal(mean_squared_error(black, white), torch.ones(2).double())
    assert torch.equal(mean_squared_error(black, black), torch.zeros(2).double())
    half = black.clone()
    half[:, :, :2] = 51
    assert mean_squared_error(half, black).tolist() == pytest.approx([0.02, 0.02])


def test_psnr_is_in_decibels():
    assert psnr(1.0) == 0 and psnr(0.01) == pytest.approx(20) and math.isinf(psnr(0.0))


def test_ssim_is_that_of_scikit_image():
    truths = pictures(0)
    noisy = ((truths.float() + pictures(1).float()) / 2).byte()
    for prediction, truth, found in zip(noisy, truths, ssim(noisy, truths), strict=True):
        expected = structural_similarity(
            prediction.numpy(),
            truth.numpy(),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
            channel_axis=0,
        )
        # Both leave out windows that reach over the border.
        assert float(found) == pytest.approx(expected, abs=1e-6)
    assert ssim(truths, truths).tolist() == pytest.approx([1, 1, 1])
    with pytest.raises(UserError, match="at least 11 x 11 pixels, got 8 x 11"):
        ssim(pictures(0, side=8), pictures(0, side=8))
