"""The encoder and the raw patches: unit vectors of the right shape, by the stage asked for."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from scalable_binding.crw.model import CHANNEL_MEAN, CHANNEL_STD, Encoder, RawPatches


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Encoder((4, 8, 16, 32), width=12).eval()


def noise(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def test_the_default_is_table_3_4() -> None:
    encoder = Encoder()
    parts = {name: sum(p.numel() for p in m.parameters()) for name, m in encoder.named_children()}
    assert parts == {"resnet": 11_176_512, "head": 512 * 128 + 128}
    assert encoder(torch.rand(2, 3, 64, 64)).shape == (2, 1, 128)


@pytest.mark.parametrize("size", [(64, 64), (37, 51), (9, 130)])
def test_features_are_unit_vectors_at_an_eighth_rounded_up(
    encoder: Encoder, size: tuple[int, int]
) -> None:
    cells = tuple(math.ceil(side / 8) for side in size)
    for model, width in ((encoder, 16), (RawPatches(), 192)):
        found = model.features(noise(3, *size))
        assert found.shape == (width, *cells) and found.dtype == torch.float32
        torch.testing.assert_close(found.norm(dim=0), torch.ones(cells))


def test_a_batch_of_patches_is_a_batch_of_nodes(encoder: Encoder) -> None:
    patches = noise(5, 3, 64, 64) / 255
    nodes = encoder(patches)
    assert nodes.shape == (5, 1, 12)
    torch.testing.assert_close(nodes.norm(dim=-1), torch.ones(5, 1))
    mean = torch.tensor(CHANNEL_MEAN).view(3, 1, 1)
    maps = encoder.resnet((patches - mean) / torch.tensor(CHANNEL_STD).view(3, 1, 1))
    expected = functional.normalize(encoder.head(maps.mean(dim=(2, 3))), dim=-1)
    torch.testing.assert_close(nodes[:, 0], expected)


def test_cells_are_nodes_row_by_row(encoder: Encoder) -> None:
    image = noise(1, 3, 24, 40) / 255
    nodes = encoder(image, pool=False)
    assert nodes.shape == (1, 15, 12)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (CHANNEL_MEAN, CHANNEL_STD))
    maps = encoder.resnet((image - mean) / std)
    expected = functional.normalize(encoder.head(maps[0, :, 1, 3]), dim=0)
    torch.testing.assert_close(nodes[0, 1 * 5 + 3], expected)


@pytest.mark.parametrize(("readout", "width"), [(1, 4), (2, 8), (3, 16), (4, 32)])
def test_features_come_from_the_stage_that_is_read(readout: int, width: int) -> None:
    encoder = Encoder((4, 8, 16, 32), readout=readout).eval()
    assert encoder.features(noise(3, 32, 32)).shape[0] == width


def test_raw_features_are_the_colours_of_each_patch() -> None:
    frame = noise(3, 16, 24)
    features = RawPatches().features(frame)
    patch = frame[:, 8:16, 16:24].flatten() / 127.5 - 1
    torch.testing.assert_close(features[:, 1, 2], patch / patch.norm())


def test_features_take_no_gradient_and_change_nothing(encoder: Encoder) -> None:
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    assert not encoder.features(noise(3, 32, 32)).requires_grad
    after = encoder.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
