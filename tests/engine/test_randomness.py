import torch

from scalable_binding.engine.randomness import derive, generator, isolated


def test_places_have_seeds_of_their_own() -> None:
    places = [(seed, step, index) for seed in range(3) for step in range(9) for index in range(9)]
    seeds = {derive(*place) for place in places}
    assert len(seeds) == len(places)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive(1, 2, 3) == derive(1, 2, 3)


def test_generators_repeat() -> None:
    first, again = (torch.rand(3, generator=generator(5, 1)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, torch.rand(3, generator=generator(5, 2)))


def test_isolation_repeats_and_leaves_global_state_alone() -> None:
    before = torch.get_rng_state()
    draws = []
    for _ in range(2):
        with isolated(7, torch.device("cpu")):
            draws.append(torch.rand(3))
    assert torch.equal(*draws)
    assert torch.equal(torch.get_rng_state(), before)
