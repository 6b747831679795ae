import pytest
import torch

from scalable_binding.data.synthetic import frames
from scalable_binding.data.synthetic.clips import scene_seed
from scalable_binding.data.synthetic.stills import SyntheticImages, stills
from scalable_binding.errors import UserError


def test_items_are_pure_in_seed_and_index_and_passes_repeat_the_scenes():
    dataset = SyntheticImages(stills(size=24), num_images=6, seed=3)
    items = [dataset[index] for index in range(12)]
    assert items[4]["image"].shape == (3, 24, 24) and items[4]["image"].dtype == torch.uint8
    again = SyntheticImages(stills(size=24), num_images=6, seed=3)
    for index in (11, 0, 5):
        assert all(torch.equal(again[index][name], items[index][name]) for name in items[index])
    first, second = (
        {tuple(i["image"].flatten().tolist()) for i in items[s : s + 6]} for s in (0, 6)
    )
    assert first == second and len(first) == 6
    assert dataset.num_classes == 3 and {int(item["label"]) for item in items} <= {0, 1, 2}


def test_an_image_is_the_first_frame_of_its_scene():
    dataset = SyntheticImages(stills(size=16), num_images=1, seed=5)
    assert torch.equal(dataset[7]["image"], frames(dataset.config, scene_seed(5, 0))[0])


def test_the_label_counts_objects():
    for count in (1, 2):
        dataset = SyntheticImages(stills(size=48, num_objects=(count, count)), num_images=1)
        assert dataset.num_classes == 1 and dataset[0]["label"] == 0
    labels = SyntheticImages(stills(size=8, num_objects=(0, 4)), num_images=30)
    assert len({int(labels[index]["label"]) for index in range(30)}) == 5


def test_what_cannot_be_is_told():
    with pytest.raises(UserError, match="at least one"):
        SyntheticImages(num_images=0)
    with pytest.raises(IndexError):
        SyntheticImages(num_images=2)[-1]
