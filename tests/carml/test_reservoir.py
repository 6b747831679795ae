"""A uniform sample of everything that was offered."""

import torch

from scalable_binding.carml.rollout import Reservoir


def test_everything_is_kept_until_it_is_full():
    reservoir = Reservoir(5, 2, (3,), torch.float32)
    offered = torch.randn(4, 2, 3)
    reservoir.add(offered, torch.Generator())
    assert len(reservoir) == 4
    assert torch.equal(reservoir.trajectories, offered)


def test_each_offer_is_as_likely_to_be_inside():
    """400 samples of 10 out of 50: a share of 0.2 for each, deviation 0.02."""
    counts, generator = torch.zeros(50), torch.Generator().manual_seed(0)
    for _ in range(400):
        reservoir = Reservoir(10, 1, (1,), torch.float32)
        for part in torch.arange(50.0).view(50, 1, 1).split(7):
            reservoir.add(part, generator)
        counts[reservoir.trajectories.flatten().long()] += 1
    shares = counts / 400
    assert shares.sum() == 10
    assert (shares - 0.2).abs().max() < 0.08
    assert abs(float(shares[:25].mean() - shares[25:].mean())) < 0.03


def test_goes_on_to_the_same_bits():
    first, second = (Reservoir(6, 1, (2,), torch.uint8) for _ in range(2))
    data = torch.randint(0, 255, (40, 1, 2), dtype=torch.uint8)
    first.add(data[:20], torch.Generator().manual_seed(0))
    second.load_state_dict({name: t.clone() for name, t in first.state_dict().items()})
    for reservoir in (first, second):
        reservoir.add(data[20:], torch.Generator().manual_seed(1))
    assert torch.equal(first.trajectories, second.trajectories)
    assert first.offered == second.offered == 40
    shapes = {name: t.shape for name, t in first.state_dict().items()}
    assert shapes == {
        n: t.shape for n, t in Reservoir(6, 1, (2,), torch.uint8).state_dict().items()
    }
