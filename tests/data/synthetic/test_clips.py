import pytest
import torch

from scalable_binding.data.synthetic import SyntheticClips, WorldConfig

CONFIG = WorldConfig(height=32, width=40, num_frames=2, num_objects=(0, 3))


@pytest.mark.parametrize("truth", [False, True])
def test_items_are_pure_in_seed_and_index(truth):
    clips = SyntheticClips(CONFIG, seed=4, truth=truth)
    first = clips[7]
    clips[123456789012]
    again = SyntheticClips(CONFIG, seed=4, truth=truth)[7]
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert first["index"] == 7
    assert not torch.equal(first["frames"], clips[8]["frames"])
    assert not torch.equal(first["frames"], SyntheticClips(CONFIG, seed=5)[7]["frames"])


def test_truth_adds_to_the_same_frames():
    assert torch.equal(
        SyntheticClips(CONFIG)[3]["frames"], SyntheticClips(CONFIG, truth=True)[3]["frames"]
    )


def test_scenes_of_different_content_stack():
    clips = SyntheticClips(CONFIG, truth=True)
    batch = torch.utils.data.default_collate([clips[i] for i in range(6)])
    assert batch["frames"].shape == (6, 2, 3, 32, 40)
    assert batch["boxes"].shape == (6, 2, 3, 4)
    real = batch["keypoint_object"] > 0
    assert real.any() and not real.all()
    assert not (batch["visible"] & ~real[:, None]).any()


def test_worker_processes_give_the_same_items():
    loader = torch.utils.data.DataLoader(
        SyntheticClips(CONFIG), sampler=range(4), batch_size=2, num_workers=2
    )
    for start, batch in zip((0, 2), loader, strict=True):
        assert torch.equal(batch["frames"][1], SyntheticClips(CONFIG)[start + 1]["frames"])
