"""The encoder and the raw patches: unit vectors of the right shape, by the stage asked for."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from scalable_binding.crw.backbone import CHANNEL_MEAN, CHANNEL_STD, Backbone
from scalable_binding.crw.model import Encoder, RawPatches, draw
from scalable_binding.crw.reader import CONTRAST, Reader, cell_colors


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return draw(0, widths=(4, 8, 16, 32), width=12).eval()


def noise(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def test_the_default_is_table_3_4() -> None:
    backbone = Backbone()
    parts = {name: sum(p.numel() for p in m.parameters()) for name, m in backbone.named_children()}
    assert parts == {"resnet": 11_176_512, "head": 512 * 128 + 128}
    assert backbone(torch.rand(2, 3, 64, 64)).shape == (2, 1, 128)


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
    encoder = draw(0, widths=(4, 8, 16, 32), readout=readout).eval()
    assert encoder.features(noise(3, 32, 32)).shape[0] == width


@pytest.mark.parametrize("size", [(32, 40), (37, 51)])
def test_stages_side_by_side_compare_by_their_mean_similarity(size: tuple[int, int]) -> None:
    together = draw(0, widths=(4, 8, 16), readout=(1, 2, 3, 0)).eval()
    backbone, frame = together.backbone, noise(3, *size)
    alone = []
    for stage in (1, 2, 3):
        encoder = Encoder(backbone, Reader(backbone.channels, stage, stride=8)).eval()
        alone.append(encoder.features(frame).flatten(1))
    alone.append(functional.normalize(cell_colors(frame[None] / 255, 8)[0], dim=0).flatten(1))
    found = together.features(frame).flatten(1)
    assert len(found) == 4 + 8 + 16 + 12
    torch.testing.assert_close(found.norm(dim=0), torch.ones(found.shape[1]))
    expected = sum(part.T @ part for part in alone) / 4
    torch.testing.assert_close(found.T @ found, expected)


def test_a_window_tells_the_mean_of_the_cells_around_each() -> None:
    encoder = draw(0, widths=(4, 8, 16), width=None, readout=(0, 3), windows=(1, 3)).eval()
    frame = noise(3, 40, 48)
    with torch.no_grad():
        deep = encoder.resnet(encoder.backbone.normalize(frame[None] / 255))[0]
    colors = cell_colors(frame[None] / 255, 8)[0]
    found = encoder.features(frame)
    for y, x, rows, columns in ((2, 3, (1, 4), (2, 5)), (0, 5, (0, 2), (4, 6))):
        parts = []
        for maps in (colors, deep):
            around = maps[:, slice(*rows), slice(*columns)].mean(dim=(1, 2))
            parts += [
                functional.normalize(maps[:, y, x], dim=0),
                functional.normalize(around, dim=0),
            ]
        expected = torch.cat(parts) / 2
        torch.testing.assert_close(found[:, y, x], expected, atol=0.02, rtol=0)  # may be bfloat16


def test_training_does_not_look_through_windows() -> None:
    encoder = draw(0, widths=(4, 8, 16), width=None, readout=(0, 3), windows=(1, 3)).eval()
    assert encoder(noise(1, 3, 24, 40) / 255, pool=False).shape == (1, 15, 12 + 16)


def test_calibration_gives_every_norm_the_statistics_of_the_images() -> None:
    encoder = draw(0, widths=(4, 8, 16), batch_statistics=False)
    images = noise(6, 3, 48, 64) / 255
    encoder.calibrate(images)
    encoder.eval()
    seen: list[torch.Tensor] = []
    for block in (encoder.resnet.bn1, encoder.resnet.layer2[0].bn2, encoder.resnet.layer3[1].bn1):
        block.register_forward_hook(lambda _, __, out: seen.append(out.clone()))
    with torch.no_grad():
        encoder(images, pool=False)
    for maps in seen:
        mean, deviation = maps.mean(dim=(0, 2, 3)), maps.std(dim=(0, 2, 3))
        torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-2, rtol=0)
        torch.testing.assert_close(deviation, torch.ones_like(deviation), atol=2e-2, rtol=0)
    assert len(seen) == 3


def test_calibration_whitens_each_stage_at_each_window_by_what_the_images_show(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("scalable_binding.crw.model.has_fast_bfloat16", lambda _: False)
    encoder = draw(
        0, widths=(4, 8, 16), width=None, readout=(0, 3), windows=(1, 3), components=14
    ).eval()
    images = noise(6, 3, 48, 64) / 255
    encoder.calibrate(images)
    assert encoder.reader.whitenings is not None
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in encoder.reader.whitenings}
    for name, whitening in encoder.reader.whitenings.items():
        whitening.register_forward_hook(lambda _, __, out, name=name: seen[name].append(out))
    for image in images:
        encoder.features((255 * image).round().byte())
    components = []
    for maps in seen.values():
        cells = torch.cat([each.flatten(2)[0] for each in maps], dim=1)
        torch.testing.assert_close(cells.mean(dim=1), torch.zeros(len(cells)), atol=1e-3, rtol=0)
        covariance = cells.cov()
        torch.testing.assert_close(covariance, covariance.diag().diag(), atol=1e-2, rtol=0)
        assert covariance.diag().min() > 0.01 and covariance.diag().max() < 1
        components.append(len(cells))
    assert components == [12, 12, 14, 14]
    features = encoder.features(noise(3, 48, 64))
    assert features.shape == (52 + 1, 6, 8)
    torch.testing.assert_close(features.norm(dim=0), torch.ones(6, 8))
    torch.testing.assert_close(features[-1].square(), torch.full((6, 8), 1 - CONTRAST))


def test_without_batch_statistics_training_keeps_those_it_began_with() -> None:
    for keeps in (False, True):
        encoder = draw(0, widths=(4, 8, 16), batch_statistics=not keeps)
        encoder.calibrate(noise(6, 3, 48, 64) / 255)
        before = encoder.resnet.bn1.running_mean.clone()
        encoder.train()
        encoder(noise(2, 3, 24, 24) / 255, pool=False)
        assert torch.equal(encoder.resnet.bn1.running_mean, before) is keeps
        assert encoder.resnet.layer1.training


def test_colors_of_a_cell_are_those_of_its_quarters() -> None:
    image = torch.rand(1, 3, 13, 17, generator=torch.Generator().manual_seed(0))
    found = cell_colors(image, 8)
    assert found.shape == (1, 12, 2, 3)
    for cell_y, cell_x, quarter in ((0, 1, 2), (0, 0, 1), (1, 2, 3)):
        row, column = 8 * cell_y + 4 * (quarter // 2), 8 * cell_x + 4 * (quarter % 2)
        for color in range(3):
            pixels = [
                image[0, color, min(row + y, 12), min(column + x, 16)]
                for y in range(4)
                for x in range(4)
            ]
            expected = 2 * torch.stack(pixels).mean() - 1
            value = found[0, 4 * color + quarter, cell_y, cell_x]
            torch.testing.assert_close(value, expected)


def test_without_a_head_the_walk_compares_what_labels_are_carried_by() -> None:
    encoder = draw(0, widths=(4, 8, 16), width=None, readout=(0, 2, 3)).eval()
    assert not any(name.startswith("head") for name in encoder.state_dict())
    frame = noise(3, 24, 40)
    nodes = encoder(frame[None] / 255, pool=False)[0]
    with torch.no_grad():
        expected = encoder.features(frame).flatten(1).T
    assert nodes.shape == (15, 12 + 8 + 16) and nodes.requires_grad
    torch.testing.assert_close(nodes, expected, atol=0.02, rtol=0)  # features may be bfloat16
    torch.testing.assert_close(nodes.norm(dim=-1), torch.ones(15))


def test_raw_features_are_the_colors_of_each_patch() -> None:
    frame = noise(3, 16, 24)
    features = RawPatches().features(frame)
    patch = frame[:, 8:16, 16:24].flatten() / 127.5 - 1
    torch.testing.assert_close(features[:, 1, 2], patch / patch.norm())


def test_features_take_no_gradient_and_change_nothing(encoder: Encoder) -> None:
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    assert not encoder.features(noise(3, 32, 32)).requires_grad
    after = encoder.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
