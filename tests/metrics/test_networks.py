"""Feature networks: any size in, one vector out, told apart by their fingerprints."""

import pytest
import torch

from scalable_binding.metrics.networks import ImageClassifier, MotionClassifier, fingerprint


@pytest.mark.parametrize("size", [(8, 8), (5, 31), (40, 40)])
def test_images_of_any_size_have_features_and_logits(size):
    network = ImageClassifier(3, 7, widths=(4, 8), width=6).eval()
    images = torch.randint(0, 256, (4, 3, *size)).byte()
    features, logits = network(images)
    assert features.shape == (4, 6) and logits.shape == (4, 7)
    assert torch.allclose(network(images[2:3]).features, features[2:3], atol=1e-5)


@pytest.mark.parametrize("size", [(12, 32, 32), (2, 16, 20), (5, 8, 8)])
def test_videos_of_any_size_have_features(size):
    network = MotionClassifier(width=6).eval()
    features, logits = network(torch.randint(0, 256, (3, 1, *size)).byte())
    assert features.shape == (3, 6) and logits is None
    presence, speed = network.describe(features)
    assert presence.shape == (3, 10) and speed.shape == (3, 10, 2)


def test_fingerprints_tell_weights_and_kinds_apart():
    network = ImageClassifier(1, 3)
    before = fingerprint(network)
    assert fingerprint(network) == before
    with torch.no_grad():
        network.classes.bias[0] += 1e-3
    assert fingerprint(network) != before
