"""The reader: whatever it reads, every cell is a unit vector, and the stride is the model's."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from scalable_binding.crw.backbone import Backbone
from scalable_binding.crw.inference import propagate
from scalable_binding.crw.model import Encoder, draw
from scalable_binding.crw.presets import PropagationConfig
from scalable_binding.crw.reader import Reader
from scalable_binding.errors import UserError


def noise(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def encoder(backbone: dict[str, Any] | None = None, **reader: Any) -> Encoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Backbone(**({"widths": (12, 12, 16), "width": 6} | (backbone or {})))
    found = Encoder(network, Reader(network.channels, **reader)).eval()
    found.calibrate(noise(4, 3, 64, 64) / 255)
    return found


@pytest.mark.parametrize(
    ("backbone", "reader", "stride"),
    [
        ({}, {}, 8),
        ({}, {"stages": (0, 1, 2, 3), "components": 6, "windows": (1, 5)}, 8),
        ({}, {"stages": (0, 1, 2, 3), "stride": 4, "scale": 0.5, "components": 5}, 8),
        ({"padding_mode": "reflect"}, {"stages": (3, 1), "stride": 4, "scale": 0.5}, 8),
        ({}, {"stages": (3,), "stride": 4}, 4),
        ({}, {"stages": (3,), "stride": 4, "dilate": False}, 4),
        ({}, {"stages": (1,)}, 4),
        ({}, {"stages": (0, 4), "weights": (1.0, 3.0)}, 8),
        ({"strides": (1, 2, 2)}, {}, 16),
        ({"strides": (1, 2, 2), "padding_mode": "reflect"}, {"stages": (0, 1, 3)}, 16),
        ({"strides": (1, 2, 2)}, {"stages": (2, 3), "stride": 8}, 8),
        ({"strides": (2, 2, 2)}, {"stages": (1, 3), "scale": 2.0}, 16),
    ],
)
@pytest.mark.parametrize("size", [(64, 96), (53, 77)])
def test_a_still_video_keeps_its_mask_whatever_the_stride(
    backbone: dict[str, Any], reader: dict[str, Any], stride: int, size: tuple[int, int]
) -> None:
    model = encoder(backbone, **reader)
    frame = noise(3, *size)
    found = model.features(frame)
    assert model.stride == stride
    assert found.shape[1:] == tuple(math.ceil(side / stride) for side in size)
    torch.testing.assert_close(found.norm(dim=0), torch.ones(found.shape[1:]))
    mask = torch.zeros(size, dtype=torch.uint8)
    mask[: 2 * stride, : 2 * stride] = 7
    config = PropagationConfig(context=2, neighbors=1, edges=False)
    masks = [p.labels for p in propagate([frame] * 3, mask, model, config)]
    for later in masks[1:]:
        assert torch.equal(later, masks[0])
    assert (masks[0] == mask).float().mean() > 0.9


def test_a_stride_taken_out_leaves_what_every_cell_sees() -> None:
    """Cells between those of before appear; those of before stay, but near the border."""
    network = Backbone((4, 8, 16), None, strides=(1, 2, 2)).eval()
    image = torch.rand(1, 3, 192, 192, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        coarse = network.maps(image, 3)
        fine = network.maps(image, 3, 4)
        plain = network.maps(image, 3, 4, dilate=False)
    assert [maps.shape[-1] for maps in coarse] == [48, 24, 12]
    assert [maps.shape[-1] for maps in fine] == [48, 48, 48]
    torch.testing.assert_close(fine[1][..., ::2, ::2][..., 4:-4, 4:-4], coarse[1][..., 4:-4, 4:-4])
    inner = (..., slice(4, -4), slice(4, -4))
    torch.testing.assert_close(fine[2][..., ::4, ::4][inner], coarse[2][inner])
    assert not torch.allclose(plain[2][..., ::4, ::4][inner], coarse[2][inner], atol=1e-3)


def test_weights_share_a_similarity_among_the_parts() -> None:
    first, second = (encoder(stages=(stage,)) for stage in (2, 3))
    both = encoder(stages=(2, 3), weights=(1.0, 3.0))
    frame = noise(3, 40, 56)
    a, b, found = (model.features(frame).flatten(1) for model in (first, second, both))
    torch.testing.assert_close(found.T @ found, 0.25 * a.T @ a + 0.75 * b.T @ b)


def test_the_head_is_the_stage_after_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalable_binding.crw.model.has_fast_bfloat16", lambda _: False)
    model = encoder(stages=(4,))
    image = noise(1, 3, 40, 56)
    nodes = model.backbone(image / 255, pool=False)[0]
    found = model.features(image[0]).flatten(1).T
    torch.testing.assert_close(found, nodes)


@pytest.mark.parametrize("windows", [(1,), (1, 9)])
@pytest.mark.parametrize("components", [None, 6])
def test_nodes_of_a_walk_through_the_reader_have_length_one(
    components: int | None, windows: tuple[int, ...]
) -> None:
    model = encoder({"width": None}, stages=(0, 1, 3), windows=windows, components=components)
    images = noise(2, 3, 48, 64) / 255
    nodes = model(images, pool=False)
    torch.testing.assert_close(nodes.norm(dim=-1), torch.ones(2, 48))
    torch.testing.assert_close(model(images).norm(dim=-1), torch.ones(2, 1))
    assert nodes.requires_grad


def test_whitening_that_was_never_fitted_is_refused() -> None:
    model = draw(0, widths=(4, 8, 16), components=4).eval()
    with pytest.raises(UserError, match="'sbind crw calibrate'"):
        model.features(noise(3, 16, 16))


def test_calibration_may_leave_batch_norms_as_training_left_them() -> None:
    model = draw(0, widths=(4, 8, 16), components=4).eval()
    before = model.resnet.bn1.running_mean.clone()
    model.calibrate(noise(4, 3, 32, 32) / 255, norms=False)
    assert torch.equal(model.resnet.bn1.running_mean, before) and model.reader.is_fitted
    model.calibrate(noise(4, 3, 32, 32) / 255)
    assert not torch.equal(model.resnet.bn1.running_mean, before)


@pytest.mark.parametrize(
    ("reader", "line"),
    [
        ({"stages": (0,)}, r"reader\.stages: expected stages from 0 to 4, not 0 alone"),
        ({"stages": (5,)}, r"reader\.stages"),
        ({"windows": (2,)}, r"reader\.windows: expected odd numbers"),
        ({"windows": ()}, r"reader\.windows"),
        ({"weights": (1.0, 2.0)}, r"reader\.weights: expected 1 numbers above 0"),
        ({"weights": (-1.0,)}, r"reader\.weights"),
        ({"components": 0}, r"reader\.components"),
        ({"contrast": 0.0}, r"reader\.contrast"),
        ({"scale": 0.0}, r"reader\.scale"),
        ({"scale": 0.3}, r"reader\.scale: expected one that makes cells of a whole number"),
        ({"stride": 6}, r"reader\.stride: expected a multiple of 4, got 6"),
    ],
)
def test_readers_that_cannot_be_are_one_line(reader: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=line):
        encoder(**reader)


def test_features_of_another_grid_than_the_stride_tells_are_refused() -> None:
    model = encoder()
    model.stride = 16
    frame = noise(3, 64, 64)
    mask = torch.ones(64, 64, dtype=torch.uint8)
    with pytest.raises(UserError, match="expected 4 x 4 cells, one every 16 pixels, got 8 x 8"):
        list(propagate([frame, frame], mask, model))
