"""Features of pixels: sizes, details of DeepCluster, and whether they come to see what matters."""

import pytest
import torch

from scalable_binding.carml import deep_clusters, presets
from scalable_binding.carml.config import (
    DeepClusterConfig,
    MixtureConfig,
    ScaffoldConfig,
)
from scalable_binding.carml.deep_clusters import PixelEncoder
from scalable_binding.carml.scaffold import MixtureScaffold
from scalable_binding.carml.task_sources import Curriculum
from scalable_binding.engine.distributed import DistributedContext
from scalable_binding.envs import registry

SMALL = DeepClusterConfig(encoder="small", width=16, batch_size=64, lr=0.05, shift=1)


def colored(num=48, length=6, size=16, seed=0):
    """Trajectories in one of four quarters of the picture: a bright square walks about in it."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.arange(num) % 4
    images = torch.randint(0, 60, (num, length, 3, size, size), generator=generator)
    half = size // 2
    for i in range(num):
        for t in range(length):
            y, x = torch.randint(0, half - 3, (2,), generator=generator).tolist()
            top, left = y + half * int(kinds[i] // 2), x + half * int(kinds[i] % 2)
            images[i, t, :, top : top + 4, left : left + 4] = 255
    return images.to(torch.uint8), kinds


def test_thesis_encoder_has_64_filters_everywhere():
    encoder = PixelEncoder(DeepClusterConfig())
    assert sum(p.numel() for p in encoder.parameters()) == 313_536
    widths = {m.out_channels for m in encoder.modules() if isinstance(m, torch.nn.Conv2d)}
    assert widths == {64}
    assert encoder(torch.zeros(2, 3, 84, 84, dtype=torch.uint8)).shape == (2, 64)


def test_global_randomness_stays_as_it_is():
    before = torch.random.get_rng_state()
    PixelEncoder(SMALL)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_whitened_components_are_uncorrelated_and_of_length_1():
    mixing = torch.tensor([[2.0, 1, 0, 0], [0, 1, 3, 0], [0, 0, 1, 1], [1, 0, 0, 2]])
    features = torch.randn(500, 4, generator=torch.Generator().manual_seed(0)) @ mixing
    found = deep_clusters.whiten(features, 4)
    assert torch.allclose(found.norm(dim=-1), torch.ones(500, dtype=torch.float64))
    centered = features.double() - features.double().mean(0)
    inverse = torch.linalg.inv(centered.mT @ centered / 500)
    length = (centered @ inverse * centered).sum(-1).sqrt()  # whitening makes it Mahalanobis'
    assert torch.allclose(
        (found * length[:, None]).var(0, correction=0), torch.ones(4).double(), atol=0.05
    )


def test_every_cluster_has_the_same_share_of_a_batch():
    labels = torch.tensor([0] * 90 + [1] * 9 + [2])
    chosen = deep_clusters.sample_evenly(labels, 6000, torch.Generator().manual_seed(0))
    shares = torch.bincount(labels[chosen]) / 6000
    assert torch.allclose(shares, torch.full((3,), 1 / 3), atol=0.03)


def test_shift_moves_each_image_and_repeats_its_border():
    images = torch.arange(25).view(1, 1, 5, 5).repeat(40, 1, 1, 1).to(torch.uint8)
    moved = deep_clusters.shift(images, 1, torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(images[:1].float(), (1, 1, 1, 1), mode="replicate")
    windows = {
        tuple(padded[0, 0, y : y + 5, x : x + 5].flatten().tolist())
        for y in range(3)
        for x in range(3)
    }
    found = {tuple(each.flatten().float().tolist()) for each in moved}
    assert found <= windows
    assert len(found) == 9


def test_states_are_spread_over_the_trajectory():
    trajectories = torch.arange(10)[None, :, None]
    assert deep_clusters.spread(trajectories, 5)[0, :, 0].tolist() == [1, 3, 5, 7, 9]
    assert deep_clusters.spread(trajectories, 3)[0, -1, 0] == 9
    assert torch.equal(deep_clusters.spread(trajectories, None), trajectories)


@pytest.mark.slow
def test_clusters_come_to_be_where_the_square_is():
    """Purity of the scaffold's tasks against what the pictures are made of; 0.25 is blind."""
    images, _ = colored()
    config = ScaffoldConfig(
        mixture=MixtureConfig(components=4, prior_variance=1e-2), deep_clusters=SMALL
    )
    scaffold = MixtureScaffold((3, 16, 16), config)
    figures = scaffold.fit(images, torch.Generator().manual_seed(1))
    fresh, truth = colored(seed=1)
    labels = scaffold.label(fresh)
    table = torch.zeros(4, 4)
    table.index_put_((labels, truth), torch.ones(len(truth)), accumulate=True)
    assert table.max(1).values.sum() / len(truth) > 0.9
    assert figures["clusters_accuracy"] > 0.5


def test_fit_of_pixels_is_reproducible_and_its_state_complete():
    images, _ = colored(20, 3)
    config = ScaffoldConfig(
        mixture=MixtureConfig(components=3),
        deep_clusters=DeepClusterConfig(
            encoder="small", width=8, rounds=1, max_batches=2, states=2
        ),
    )
    first, second, third = (MixtureScaffold((3, 16, 16), config) for _ in range(3))
    for scaffold in (first, second):
        scaffold.fit(images, torch.Generator().manual_seed(2))
    third.load_state_dict(first.state_dict())
    marginals = [s.marginal(s.encode(images[0])) for s in (first, second, third)]
    assert torch.equal(marginals[0], marginals[1])
    assert torch.equal(marginals[0], marginals[2])


def test_images_go_to_the_device_of_the_encoder_and_features_come_back(monkeypatch):
    """A device that is not the CPU: the meta device, whose network is replaced."""
    encoder = PixelEncoder(DeepClusterConfig(encoder="small", width=8)).to("meta")
    seen = []

    def forward(self, images):
        seen.append(images.device.type)
        return torch.zeros(len(images), 8)

    monkeypatch.setattr(PixelEncoder, "forward", forward)
    images = torch.zeros(5, 3, 24, 24, dtype=torch.uint8)
    assert deep_clusters.encode(encoder, images, 2).device.type == "cpu"
    assert seen == ["meta"] * 3


def test_a_curriculum_has_its_encoder_where_the_run_is():
    config = presets.room()
    env = registry.make("room", 2, 0, **config.environment.arguments())
    ranks = DistributedContext(0, 1, torch.device("meta"))
    assert Curriculum(config, env, ranks).scaffold.encoder.device.type == "meta"
