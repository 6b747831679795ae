"""Scores of sets of digits: the data against themselves, against noise, and class by class."""

import pytest
import torch

from scalable_binding.data.datasets import digits
from scalable_binding.errors import UserError
from scalable_binding.metrics.frechet import FewSamplesWarning
from scalable_binding.rin import features
from scalable_binding.rin.scoring import SampleScores, describe


@pytest.fixture(scope="module")
def network():
    return features.load("digits")


@pytest.fixture(scope="module")
def reference(network):
    return describe(network, digits.load("held_out")[0].split(100))


def score(network, reference, images, labels=None):
    scores = SampleScores(network, judges_classes=True)
    for first in range(0, len(images), 64):
        part = None if labels is None else labels[first : first + 64]
        scores.update(images[first : first + 64], part)
    scores.all_reduce()
    return scores.compute(reference)


def test_real_digits_score_well_and_noise_badly(network, reference):
    images, labels = digits.load("train")
    real = score(network, reference, images[:400], labels[:400])
    noise = torch.randint(0, 256, (400, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    bad = score(network, reference, noise.byte())
    assert real["class_accuracy"] > 0.98 and "class_accuracy" not in bad
    assert real["frechet"] < 0.05 * bad["frechet"]
    assert abs(real["kernel"]) < 0.05 * bad["kernel"]
    assert real["precision"] > 0.8 > bad["precision"]
    assert real["density"] > 0.8 > 0.5 > bad["density"]
    assert real["recall"] > 0.7 > 0.3 > bad["recall"]
    assert real["coverage"] > 0.7 > 0.3 > bad["coverage"]
    assert real["inception_score"] > 8 > 7 > bad["inception_score"]


def test_one_class_alone_is_precise_without_recall(network, reference):
    images, labels = digits.load("train")
    found = score(network, reference, images[labels == 3])
    assert found["precision"] > 0.7 and found["recall"] < 0.4
    assert found["inception_score"] < 2


def test_wrong_and_missing_classes(network, reference):
    images, labels = digits.load("train")
    some = labels[:100].clone()
    some[:50] = -1
    some[50:60] = (some[50:60] + 1) % 10
    found = score(network, reference, images[:100], some)
    assert found["class_accuracy"] == pytest.approx(0.8, abs=0.021)


def test_too_few_samples_are_told(network, reference):
    images, _ = digits.load("train")
    with pytest.warns(FewSamplesWarning, match="20 samples are too few"):
        score(network, reference, images[:20])
    with pytest.raises(UserError, match="covariance of features: expected at least 2"):
        score(network, reference, images[:1])
