"""Distances between sets: against plain loops, scipy and torchmetrics, and their properties."""

import warnings

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from reference import features as reference
from scalable_binding.errors import UserError
from scalable_binding.metrics.features import FeatureStatistics, gather
from scalable_binding.metrics.frechet import (
    FewSamplesWarning,
    frechet_distance,
    gaussian_distance,
)
from scalable_binding.metrics.inception import InceptionScore
from scalable_binding.metrics.kernel import kernel_distance, mmd
from scalable_binding.metrics.manifold import precision_recall


def draw(count, width, seed=0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=generator)
    return torch.randn(count, width, generator=generator) @ mixing + shift


def statistics(rows, **options):
    found = FeatureStatistics(rows.shape[1], **options)
    for batch in rows.split(37):
        found.update(batch)
    return found


class Pass(torch.nn.Module):
    """A feature network of torchmetrics whose features are given as an image of one row."""

    num_features = 6

    def forward(self, images):
        return images.flatten(1)


def test_moments_are_those_of_the_whole_set():
    rows = draw(500, 7) + 100
    found = statistics(rows, keep=60)
    assert found.count == 500 and torch.equal(found.vectors, rows[:60])
    np.testing.assert_allclose(found.mean, rows.double().mean(dim=0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(rows.double().T), rtol=1e-8)


@pytest.mark.parametrize("width", [1, 5, 40])
def test_the_frechet_distance_is_that_of_scipys_matrix_root(width):
    first, second = draw(300, width), draw(400, width, seed=1, shift=0.5)
    distance = frechet_distance(statistics(first), statistics(second))
    expected = reference.frechet_distance(first.double().numpy(), second.double().numpy())
    assert distance == pytest.approx(float(expected), rel=1e-5)
    assert frechet_distance(statistics(second), statistics(first)) == pytest.approx(distance)


def test_gaussians_of_known_distance():
    zero, one = torch.zeros(3).double(), torch.ones(3).double()
    eye = torch.eye(3).double()
    assert gaussian_distance(zero, eye, zero, eye) == pytest.approx(0, abs=1e-12)
    assert gaussian_distance(zero, eye, 2 * one, eye) == pytest.approx(12)
    assert gaussian_distance(zero, eye, zero, 9 * eye) == pytest.approx(3 * (3 - 1) ** 2)
    singular = torch.diag(torch.tensor([4.0, 0, 0]).double())
    assert gaussian_distance(zero, singular, zero, singular) == pytest.approx(0, abs=1e-9)


def test_few_samples_are_told():
    enough = statistics(draw(100, 8))
    for count in (0, 1):
        with pytest.raises(UserError, match=f"covariance.*at least 2 samples, got {count}"):
            frechet_distance(statistics(draw(count, 8)), enough)
    with pytest.warns(FewSamplesWarning, match="8 samples are too few for the covariance of 8"):
        frechet_distance(statistics(draw(8, 8)), enough)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frechet_distance(statistics(draw(9, 8)), enough)
    with pytest.raises(UserError, match="8 numbers each, got 5"):
        frechet_distance(enough, statistics(draw(50, 5)))
    with pytest.raises(UserError, match="finite"):
        enough.update(torch.full((2, 8), torch.nan))


def test_the_kernel_distance_is_that_of_plain_loops():
    first, second = draw(9, 4).double(), draw(11, 4, seed=1).double()
    expected = reference.mmd(first.tolist(), second.tolist())
    assert float(mmd(first, second)) == pytest.approx(expected)


def test_the_kernel_distance_is_zero_on_average_for_one_distribution_and_grows_apart():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(2000, 8, generator=generator)
    same = kernel_distance(rows[:1000], rows[1000:], generator, subset_size=100)
    near = kernel_distance(rows[:1000], rows[1000:] + 0.3, generator, subset_size=100)
    far = kernel_distance(rows[:1000], rows[1000:] + 1.0, generator, subset_size=100)
    assert abs(same.mean) < same.deviation < near.mean < far.mean
    assert same.subset_size == 100
    assert kernel_distance(rows[:50], rows, generator).subset_size == 25
    with pytest.raises(UserError, match="at least 4"):
        kernel_distance(rows[:3], rows, generator)


@pytest.mark.parametrize("shift", [0.0, 1.0, 50.0])
def test_precision_and_recall_are_those_of_plain_loops(shift):
    real, generated = draw(40, 3), draw(30, 3) * 0.6 + shift
    found = precision_recall(real, generated, rows=16)
    expected = reference.precision_recall(real.tolist(), generated.tolist(), k=3)
    scores = (found.precision, found.recall, found.density, found.coverage)
    assert scores == pytest.approx(expected)


def test_precision_sees_quality_and_recall_coverage():
    real = draw(300, 4)
    assert precision_recall(real, real) == precision_recall(real, real, rows=7)
    same = precision_recall(real, real)
    assert same.precision == same.recall == same.coverage == 1
    center = precision_recall(real, 0.05 * draw(300, 4, seed=1))
    assert center.precision > 0.95 > 0.3 > center.recall
    spread = precision_recall(real, 30 * draw(300, 4, seed=1))
    assert spread.precision < 0.2 and spread.density < 0.2 and spread.coverage < 0.2
    outlier = torch.cat([real, torch.full((1, 4), 1000.0)])
    astray = precision_recall(outlier, 300 + real)
    assert astray.precision == 1 and astray.density < 0.4 and astray.coverage < 0.01
    with pytest.raises(UserError, match="more than 3 samples, got 3"):
        precision_recall(real, real[:3])


def test_the_inception_score_is_that_of_plain_loops():
    logits = 3 * draw(50, 6)
    score = InceptionScore(6)
    for batch in logits.split(13):
        score.update(batch)
    shares = logits.double().softmax(dim=1).numpy()
    assert score.compute() == pytest.approx(reference.inception_score(shares))


def test_the_inception_score_lies_between_one_and_the_number_of_classes():
    perfect, vague, single = (InceptionScore(5) for _ in range(3))
    perfect.update(1000 * torch.eye(5))
    vague.update(torch.zeros(9, 5))
    single.update(1000 * torch.eye(5)[:1])
    scores = [score.compute() for score in (perfect, vague, single)]
    assert scores == pytest.approx([5, 1, 1])
    with pytest.raises(UserError, match="at least one sample"):
        InceptionScore(5).compute()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_torchmetrics_agrees():
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.inception import InceptionScore as TheirInceptionScore
    from torchmetrics.image.kid import KernelInceptionDistance

    first, second = draw(200, 6), draw(150, 6, seed=1)
    shaped = [rows.reshape(-1, 3, 1, 2) for rows in (first, second)]
    fid = FrechetInceptionDistance(feature=Pass(), input_img_size=(3, 1, 2))
    fid.set_dtype(torch.float64)
    kid = KernelInceptionDistance(feature=Pass(), subsets=1, subset_size=150)
    fid.update(shaped[0].double(), real=True)
    fid.update(shaped[1].double(), real=False)
    assert frechet_distance(statistics(first), statistics(second)) == pytest.approx(
        float(fid.compute()), rel=1e-4
    )
    kid.update(shaped[0][:150], real=True)
    kid.update(shaped[1], real=False)
    assert float(mmd(first[:150].double(), second.double())) == pytest.approx(
        float(kid.compute()[0]), rel=1e-3
    )
    theirs = TheirInceptionScore(feature=Pass(), splits=1)
    theirs.update(shaped[0])
    ours = InceptionScore(6)
    ours.update(first)
    assert ours.compute() == pytest.approx(float(theirs.compute()[0]), rel=1e-5)


def reduce_in_rank(rank, meeting, rows, logits):
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    try:
        shares = (slice(0, 70), slice(70, 100))
        found, score = statistics(rows[shares[rank]], keep=90), InceptionScore(4)
        score.update(logits[shares[rank]])
        found.all_reduce()
        score.all_reduce()
        whole = statistics(rows, keep=90)
        assert found.count == 100
        assert torch.allclose(found.mean, whole.mean, rtol=1e-12)
        assert torch.allclose(found.covariance, whole.covariance, rtol=1e-9)
        assert torch.equal(found.vectors, whole.vectors)
        alone = InceptionScore(4)
        alone.update(logits)
        assert abs(score.compute() - alone.compute()) < 1e-9
        assert torch.equal(gather(rows[shares[rank]]), rows)
    finally:
        dist.destroy_process_group()


def test_statistics_add_up_over_processes(tmp_path):
    arguments = (tmp_path / "meeting", draw(100, 5), draw(100, 4))
    mp.start_processes(reduce_in_rank, arguments, nprocs=2, start_method="fork")


def test_without_processes_nothing_is_reduced():
    rows = draw(20, 3)
    found = statistics(rows)
    found.all_reduce()
    assert found.count == 20 and torch.equal(gather(rows), rows)
