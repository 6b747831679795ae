"""Public backbones, as tiny models with random weights: our features are the library's own."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from scalable_binding.crw import inference, public
from scalable_binding.crw.model import Encoder, load
from scalable_binding.crw.presets import PropagationConfig
from scalable_binding.crw.reader_config import ReadingConfig
from scalable_binding.errors import UserError

transformers = pytest.importorskip("transformers")

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 48,
}
CONFIGS = {
    "dino": ("ViTConfig", {"patch_size": 8, "image_size": 32}),
    "dino16": ("ViTConfig", {"patch_size": 16, "image_size": 64}),
    "dinov2": ("Dinov2Config", {"patch_size": 14, "image_size": 28}),
    "registers": (
        "Dinov2WithRegistersConfig",
        {"patch_size": 14, "image_size": 28, "num_register_tokens": 4},
    ),
    "dinov3": (
        "DINOv3ViTConfig",
        {"patch_size": 16, "image_size": 32, "num_register_tokens": 4},
    ),
}


@pytest.fixture(autouse=True)
def _float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalable_binding.crw.model.has_fast_bfloat16", lambda _: False)


@pytest.fixture(params=CONFIGS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return saved(request.param, tmp_path)


def saved(kind: str, tmp_path: Path) -> Path:
    name, settings = CONFIGS[kind]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = getattr(transformers, name)(**SIZES, **settings)
        transformers.AutoModel.from_config(config).save_pretrained(tmp_path / kind)
    return tmp_path / kind


def noise(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def loaded(folder: Path, **reading: Any) -> Encoder:
    found = load(folder, reading=ReadingConfig(**reading))
    assert isinstance(found, Encoder) and isinstance(found.backbone, public.VisionTransformer)
    return found


def test_features_are_the_librarys_own_tokens(folder: Path) -> None:
    encoder = loaded(folder)
    patch = encoder.stride
    frame = noise(3, 3 * patch, 5 * patch)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    assert patch == model.config.patch_size
    pixels = (frame[None] / 255 - encoder.backbone.mean) / encoder.backbone.std
    options = {"interpolate_pos_encoding": True} if model.config.model_type == "vit" else {}
    with torch.no_grad():
        tokens = model(pixels, **options).last_hidden_state[0, -15:]
    found = encoder.features(frame)
    assert found.shape == (32, 3, 5)
    expected = functional.normalize(tokens, dim=-1)
    torch.testing.assert_close(found.flatten(1).T, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("layer", [1, 3])
def test_keys_are_those_of_the_layers_attention(folder: Path, layer: int) -> None:
    encoder = loaded(folder, layer=layer, facet="keys")
    patch = encoder.stride
    frame = noise(3, 2 * patch, 4 * patch)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    pixels = (frame[None] / 255 - encoder.backbone.mean) / encoder.backbone.std
    options = {"interpolate_pos_encoding": True} if model.config.model_type == "vit" else {}
    blocks = [m for n, m in model.named_modules() if n.endswith(f".{layer - 1}.attention")]
    blocks += [m for n, m in model.named_modules() if n == f"layers.{layer - 1}.attention"]
    seen: list[torch.Tensor] = []
    blocks[0].k_proj.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        model(pixels, **options)
        keys = blocks[0].k_proj(seen[0])[0, -8:]
    expected = functional.normalize(keys, dim=-1)
    found = encoder.features(frame).flatten(1).T
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [(64, 96), (53, 77)])
def test_a_still_video_keeps_its_mask(folder: Path, size: tuple[int, int]) -> None:
    encoder = loaded(folder)
    frame, stride = noise(3, *size), encoder.stride
    found = encoder.features(frame)
    assert found.shape[1:] == tuple(math.ceil(side / stride) for side in size)
    mask = torch.zeros(size, dtype=torch.uint8)
    mask[: 2 * stride, : 2 * stride] = 7
    config = PropagationConfig(context=2, neighbors=1)
    masks = [p.labels for p in inference.propagate([frame] * 3, mask, encoder, config)]
    assert torch.equal(masks[2], masks[0])


@pytest.mark.parametrize(("kind", "stride"), [("dino", 4), ("dino16", 8), ("dinov3", 4)])
def test_shifted_passes_center_a_patch_on_every_cell(
    kind: str, stride: int, tmp_path: Path
) -> None:
    encoder = loaded(saved(kind, tmp_path), stride=stride)
    network = encoder.backbone
    assert isinstance(network, public.VisionTransformer) and encoder.stride == stride
    frame = noise(3, 53, 77)
    found = encoder.features(frame)
    assert found.shape[1:] == (math.ceil(53 / stride), math.ceil(77 / stride))
    torch.testing.assert_close(found.norm(dim=0), torch.ones(found.shape[1:]))
    # A cell's token is that of the pass whose patches lie so that one is centered on it.
    patch = network.stride
    shifts, before = patch // stride, (patch - stride) // 2
    rows, columns = (-(-cells // shifts) * patch + patch for cells in found.shape[1:])
    padded = functional.pad(frame[None] / 255, (before, columns, before, rows), mode="replicate")
    y, x = 1, shifts - 1
    tall, wide = (-(-cells // shifts) * patch for cells in found.shape[1:])
    part = padded[..., y * stride : y * stride + tall, x * stride : x * stride + wide]
    with torch.no_grad():
        tokens = functional.normalize(network.maps(part, 3)[-1][0], dim=0)
    expected = tokens[:, : found[:, y::shifts, x::shifts].shape[1]]
    expected = expected[..., : found[:, y::shifts, x::shifts].shape[2]]
    torch.testing.assert_close(found[:, y::shifts, x::shifts], expected, atol=1e-5, rtol=1e-4)


def test_whitening_is_fitted_on_frames_for_public_backbones_too(tmp_path: Path) -> None:
    frames = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    encoder = load(saved("dino", tmp_path), frames=frames)
    assert isinstance(encoder, Encoder) and encoder.reader.is_fitted


@pytest.mark.parametrize(
    ("reading", "line"),
    [
        ({"layer": 4}, r"reader\.stages: expected stages from 0 to 3"),
        ({"stride": 3}, r"reader\.stride: expected a divisor of the patch size 8"),
    ],
)
def test_what_a_transformer_does_not_have_is_one_line(
    reading: dict[str, Any], line: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=line):
        loaded(saved("dino", tmp_path), **reading)


def test_damaged_and_unsafe_folders_are_one_line(tmp_path: Path) -> None:
    folder = saved("dino", tmp_path)
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match="cannot be loaded"):
        load(folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="cannot be loaded"):
        load(folder)


def test_a_layer_of_our_own_encoder_is_read_by_itself() -> None:
    encoder = load("shipped", reading=ReadingConfig(layer=2))
    assert isinstance(encoder, Encoder)
    assert encoder.reader.stages == (2,) and encoder.features(noise(3, 32, 48)).shape[1:] == (4, 6)
    with pytest.raises(UserError, match="facet: expected tokens for a ResNet"):
        load("shipped", reading=ReadingConfig(facet="keys"))
