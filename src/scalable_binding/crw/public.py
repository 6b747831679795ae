"""Public backbones: vision transformers of ``transformers`` and feature pyramids of ``timm``.

Weights come from a folder or from the hub, as safetensors only, and none of a repository's code
runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from scalable_binding import files
from scalable_binding.crw.backbone import CHANNEL_MEAN, CHANNEL_STD, Maps
from scalable_binding.crw.reader_config import PUBLIC_NAMES
from scalable_binding.errors import UserError

Facet = Literal["tokens", "keys"]

KINDS = ("vit", "dinov2", "dinov2_with_registers", "dinov3_vit")
"""Model types of ``transformers`` that are read."""


class VisionTransformer(nn.Module):
    """A vision transformer of ``transformers`` whose layers are the stages that a reader reads.

    A stage is a layer, counted from 1: the tokens of its patches after the model's last norm, as
    DINO's evaluation has them, or the keys of its attention (Amir et al., 2022). The class token
    and registers are dropped. With a stride below the patch size the image is read in shifted
    passes, whose cells interleave.

    Args:
        model: ``ViTModel``, ``Dinov2Model``, ``Dinov2WithRegistersModel`` or ``DINOv3ViTModel``.
        facet: "tokens" or "keys".
        mean: of the colors that the model was trained on, red, green, blue.
        std: their standard deviations.
    """

    head = None
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: nn.Module,
        facet: Facet = "tokens",
        mean: tuple[float, ...] = CHANNEL_MEAN,
        std: tuple[float, ...] = CHANNEL_STD,
    ) -> None:
        super().__init__()
        self.model = model.eval()
        self.config = cast(Any, model.config)
        self.facet = facet
        self.stride: int = self.config.patch_size
        self._keys = [
            module
            for name, module in model.named_modules()
            if name.endswith((".k_proj", "attention.key"))
        ]
        assert len(self._keys) == self.config.num_hidden_layers
        norm = getattr(model, "layernorm", None) or getattr(model, "norm", None)
        assert isinstance(norm, nn.Module)
        self._norm = [norm]  # in a list: it belongs to the model already
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @property
    def num_stages(self) -> int:
        """Layers."""
        return int(self.config.num_hidden_layers)

    @property
    def channels(self) -> tuple[int, ...]:
        """Of every layer."""
        return (self.config.hidden_size,) * self.num_stages

    @property
    def arguments(self) -> dict[str, Any]:
        """What it is, in plain values."""
        kind = {"model_type": self.config.model_type, "facet": self.facet}
        return kind | {"patch_size": self.stride, "layers": self.num_stages}

    def norms(self) -> dict[str, nn.BatchNorm2d]:
        """None: layer norms have no statistics of images."""
        return {}

    def map_strides(self, stages: int, stride: int | None = None) -> list[int]:
        """The stride of each layer's map.

        Raises:
            UserError: a stride that does not divide the patch size.
        """
        if stride is not None and stride < self.stride:
            if self.stride % stride or (self.stride - stride) % 2:
                expected = f"a divisor of the patch size {self.stride}, even as that is"
                raise UserError("reader.stride", expected=expected, got=str(stride))
            return [stride] * stages
        return [self.stride] * stages

    def maps(
        self,
        images: Float[Tensor, "b 3 h w"],
        stages: int,
        stride: int | None = None,
        *,
        dilate: bool = True,
    ) -> Maps:
        """The map of layer ``stages``, as the last of so many; the others are not worked out.

        Args:
            images: colors in [0, 1]; the border is repeated to whole cells.
            stages: the layer.
            stride: of the cells; below the patch size in ``(patch / stride)^2`` shifted passes.
            dilate: has no meaning here.
        """
        step = min(stride or self.stride, self.stride)
        shifts = self.stride // step
        rows, columns = (-(-side // step) for side in images.shape[-2:])
        tall, wide = (-(-cells // shifts) for cells in (rows, columns))
        # A cell's patch is centered on it, so half of what it is wider by lies before the image.
        before = (self.stride - step) // 2
        whole = [cells * self.stride + self.stride - step for cells in (tall, wide)]
        right, below = whole[1] - before - images.shape[-1], whole[0] - before - images.shape[-2]
        padded = functional.pad(images, (before, right, before, below), mode="replicate")
        found = images.new_empty(len(images), self.channels[-1], tall * shifts, wide * shifts)
        for y in range(shifts):
            for x in range(shifts):
                part = padded[..., y * step :, x * step :]
                part = part[..., : tall * self.stride, : wide * self.stride]
                found[..., y::shifts, x::shifts] = self._layer(part, stages)
        found = found[..., :rows, :columns]
        return [found] * stages

    def _layer(self, images: Tensor, layer: int) -> Float[Tensor, "b c h w"]:
        """The facet of one layer, of images of whole patches."""
        taken: list[Tensor] = []
        hook = self._keys[layer - 1].register_forward_hook(lambda _, __, out: taken.append(out))
        options = {"interpolate_pos_encoding": True} if self.config.model_type == "vit" else {}
        try:
            out = self.model((images - self.mean) / self.std, output_hidden_states=True, **options)
        finally:
            hook.remove()
        tokens = taken[0] if self.facet == "keys" else self._norm[0](out.hidden_states[layer])
        first = 1 + int(getattr(self.config, "num_register_tokens", 0) or 0)
        height = images.shape[-2] // self.stride
        return rearrange(tokens[:, first:], "b (h w) c -> b c h w", h=height)


class Pyramid(nn.Module):
    """Any ``timm`` model with a feature map; a stage is one of its maps, from 1.

    Args:
        model: from ``timm.create_model(..., features_only=True)``.
        name: of the model.
        mean: of the colors that the model was trained on.
        std: their standard deviations.
    """

    head = None
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: nn.Module,
        name: str,
        mean: tuple[float, ...] = CHANNEL_MEAN,
        std: tuple[float, ...] = CHANNEL_STD,
    ) -> None:
        super().__init__()
        self.model, self.name = model.eval(), name
        info: Any = model.feature_info
        self.channels: tuple[int, ...] = tuple(info.channels())
        self._strides: list[int] = list(info.reduction())
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @property
    def stride(self) -> int:
        """Of the coarsest map."""
        return self._strides[-1]

    @property
    def num_stages(self) -> int:
        """Maps."""
        return len(self.channels)

    @property
    def arguments(self) -> dict[str, Any]:
        """What it is, in plain values."""
        return {"timm": self.name}

    def norms(self) -> dict[str, nn.BatchNorm2d]:
        """The batch norms by name."""
        named = self.named_modules()
        return {name: module for name, module in named if isinstance(module, nn.BatchNorm2d)}

    def map_strides(self, stages: int, stride: int | None = None) -> list[int]:
        """The stride of each map; none can be taken out."""
        return self._strides[:stages]

    def maps(
        self,
        images: Float[Tensor, "b 3 h w"],
        stages: int,
        stride: int | None = None,
        *,
        dilate: bool = True,
    ) -> Maps:
        """The first ``stages`` maps; the image's border is repeated to whole cells."""
        coarsest = max(self._strides)
        height, width = images.shape[-2:]
        margins = (0, -width % coarsest, 0, -height % coarsest)
        padded = functional.pad((images - self.mean) / self.std, margins, mode="replicate")
        found = self.model(padded)[:stages]
        return [
            maps[..., : -(-height // step), : -(-width // step)]
            for maps, step in zip(found, self._strides, strict=False)
        ]


PublicBackbone = VisionTransformer | Pyramid


def find(weights: str, facet: Facet = "tokens") -> PublicBackbone | None:
    """The public backbone that ``--weights`` names, or None if it names none.

    Args:
        weights: a short name (``PUBLIC_NAMES``), "hf:OWNER/NAME" on the hub, "timm:NAME", or a
            folder that ``transformers`` wrote.
        facet: of a vision transformer.

    Raises:
        UserError: the extra is not installed, there are no such weights, or they are of a kind that
            is not read.
    """
    if weights.startswith("timm:"):
        return _from_timm(weights.removeprefix("timm:"), facet)
    if weights in PUBLIC_NAMES or weights.startswith("hf:"):
        return _from_transformers(PUBLIC_NAMES.get(weights, weights.removeprefix("hf:")), facet)
    folder = Path(weights)
    if folder.is_dir() and _read_json(folder / "config.json").get("model_type") in KINDS:
        return _from_transformers(weights, facet)
    return None


def _from_transformers(name: str, facet: Facet) -> VisionTransformer:
    try:
        from transformers import AutoConfig, AutoModel
    except ImportError as error:
        fix = "pip install 'scalable-binding[transformers]'"
        raise UserError(f"--weights {name} needs transformers", fix=fix) from error
    offline = Path(name).is_dir()
    options: dict[str, Any] = {"trust_remote_code": False, "local_files_only": offline}
    try:
        kind = AutoConfig.from_pretrained(name, **options).model_type
        if kind not in KINDS:
            raise UserError(f"--weights {name}", expected=f"one of {', '.join(KINDS)}", got=kind)
        model = AutoModel.from_pretrained(name, use_safetensors=True, **options)
    except UserError:
        raise
    except Exception as error:
        # Whatever a foreign folder or the network makes the library raise.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"--weights {name} cannot be loaded ({reason})") from error
    found = _read_json(Path(name) / "preprocessor_config.json") if offline else {}
    mean, std = (
        tuple(found.get(key, value))
        for key, value in (("image_mean", CHANNEL_MEAN), ("image_std", CHANNEL_STD))
    )
    return VisionTransformer(model, facet, mean, std)


def _from_timm(name: str, facet: Facet) -> Pyramid:
    if facet != "tokens":
        raise UserError("facet", expected="tokens for a timm model", got=facet)
    try:
        import timm
    except ImportError as error:
        fix = "pip install 'scalable-binding[timm]'"
        raise UserError(f"--weights timm:{name} needs timm", fix=fix) from error
    try:
        model = timm.create_model(name, pretrained=True, features_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"--weights timm:{name} cannot be loaded ({reason})") from error
    given: Mapping[str, Any] = getattr(model, "pretrained_cfg", None) or {}
    mean, std = given.get("mean", CHANNEL_MEAN), given.get("std", CHANNEL_STD)
    return Pyramid(model, name, tuple(mean), tuple(std))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = files.read_json(path)
    except UserError:
        return {}
    return found if isinstance(found, dict) else {}
