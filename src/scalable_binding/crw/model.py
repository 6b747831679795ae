"""Encoder: a backbone and the reader that turns a frame into the features labels are carried by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from huggingface_hub import PyTorchModelHubMixin, snapshot_download
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from scalable_binding import weights as registry
from scalable_binding.crw import foreign_weights
from scalable_binding.crw.backbone import Backbone
from scalable_binding.crw.public import PublicBackbone, find
from scalable_binding.crw.reader import ARGUMENTS as READER_ARGUMENTS
from scalable_binding.crw.reader import READOUT, Reader, cell_colors, pad_to_cells
from scalable_binding.crw.reader_config import ReadingConfig
from scalable_binding.crw.walk_config import STRIDE
from scalable_binding.engine.checkpoint import CONFIG, WEIGHTS, read_config, read_tensors, restore
from scalable_binding.errors import UserError
from scalable_binding.nn.precision import has_fast_bfloat16

READER_CONFIG, READER_WEIGHTS = "reader.json", "reader.safetensors"
"""A reader by itself, in a folder whose backbone it reads in place of the one saved with that."""

SHIPPED = registry.folder("crw")


class Encoder(nn.Module, PyTorchModelHubMixin, library_name="scalable-binding"):
    """A backbone, which learns, and a reader, which is fitted on frames afterwards.

    Training reads :meth:`forward`; label propagation reads :meth:`features`.
    """

    def __init__(self, backbone: Backbone | PublicBackbone, reader: Reader) -> None:
        super().__init__()
        self.backbone = backbone
        self.reader = reader
        self._strides = backbone.map_strides(max(reader.stages), reader.stride)
        self._grid = reader.stride or self._strides[-1]
        if self._grid < 2 or self._grid % self._strides[-1]:
            expected = f"a multiple of {self._strides[-1]}"
            raise UserError("reader.stride", expected=expected, got=str(reader.stride))
        cell = self._grid / reader.scale
        self.stride = round(cell)
        """Pixels of a frame between neighboring cells of its features."""
        if abs(cell - self.stride) > 1e-6:
            expected = "one that makes cells of a whole number of pixels"
            raise UserError("reader.scale", expected=expected, got=str(reader.scale))

    @property
    def resnet(self) -> nn.Module:
        """The backbone's network without the head."""
        assert isinstance(self.backbone, Backbone)
        return self.backbone.resnet

    @property
    def head(self) -> nn.Module | None:
        """The backbone's head."""
        return self.backbone.head

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.backbone.device

    @torch.no_grad()
    def calibrate(self, images: Float[Tensor, "b 3 h w"], *, norms: bool = True) -> None:
        """Fit the reader on images, colors in [0, 1]: the backbone's batch norms and whitening.

        Args:
            images: of one size, at the size that frames will have.
            norms: whether batch norms take the images' statistics, all images together, or keep
                those of training.
        """
        images = self._resize(images.to(self.device))
        if norms:
            found = self.backbone.norms().values()
            for norm in found:
                norm.reset_running_stats()
                norm.momentum = None  # the next batch counts whole
                norm.train()
            self._maps(images)
            for norm in found:
                norm.momentum = 0.1
                norm.eval()
        self.reader.fit(self._maps(image.unsqueeze(0)) for image in images)
        self.train(self.training)

    def forward(
        self, images: Float[Tensor, "b 3 h w"], pool: bool = True
    ) -> Float[Tensor, "b n d"]:
        """Unit vectors of images with colors in [0, 1]: one an image, or one a cell of its map.

        They are those of the backbone's head; without one, of what the reader reads.
        """
        if isinstance(self.backbone, Backbone) and self.backbone.head is not None:
            nodes: Tensor = self.backbone(images, pool)
            return nodes
        maps = self.reader.nodes(self._maps(images))
        if not pool:
            return rearrange(maps, "b c h w -> b (h w) c")
        nodes = rearrange(maps.mean(dim=(2, 3)), "b c -> b 1 c")
        return functional.normalize(nodes.float(), dim=-1)

    def last_map(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h2 w2"]:
        """The last stage's feature map of images with colors in [0, 1], before the head."""
        return self.backbone.maps(images, self.backbone.num_stages)[-1]

    @torch.no_grad()
    def features(self, frame: UInt8[Tensor, "3 h w"]) -> Float[Tensor, "d h2 w2"]:
        """The unit vector of each cell, one every ``stride`` pixels of the frame (rounded up)."""
        # A frame's axes may lie in any order in memory: one that is given channels last stays so.
        colors = frame.to(self.device).unsqueeze(0).float() / 255
        colors = self._resize(colors.to(memory_format=torch.channels_last))
        fast = has_fast_bfloat16(self.device.type)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=fast):
            return self.reader(self._maps(colors))[0]

    def _resize(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h2 w2"]:
        """Images at the scale at which the backbone reads them."""
        scale = self.reader.scale
        if scale == 1:
            return images
        padded = pad_to_cells(images, self.stride)
        size = [round(side * scale) for side in padded.shape[-2:]]
        return functional.interpolate(padded, size, mode="bilinear", antialias=scale < 1)

    def _maps(self, images: Float[Tensor, "b 3 h w"]) -> dict[int, Float[Tensor, "b _ h2 w2"]]:
        """The maps of the stages that the reader reads, on one grid of cells."""
        reader = self.reader
        found = self.backbone.maps(images, max(reader.stages), reader.stride, dilate=reader.dilate)
        maps: dict[int, Tensor] = {}
        for stage in reader.stages:
            if stage == 0:
                maps[stage] = cell_colors(images, self._grid)
                continue
            maps[stage] = found[stage - 1]
            finer = self._grid // self._strides[stage - 1]
            if finer > 1:
                maps[stage] = functional.avg_pool2d(maps[stage], finer, ceil_mode=True)
        return maps

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> str | None:
        """Write weights and settings into a folder; ``load`` and ``from_pretrained`` read it."""
        options["config"] = arguments(self)
        return super().save_pretrained(save_directory, **options)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **options: Any) -> Encoder:
        """What ``from_pretrained`` gives of a folder, or of a repository on the hub."""
        folder = Path(model_id)
        if not folder.is_dir():
            kept = ("revision", "cache_dir", "force_download", "local_files_only", "token")
            wanted = [CONFIG, WEIGHTS, READER_CONFIG, READER_WEIGHTS]
            chosen = {name: options[name] for name in kept if name in options}
            folder = Path(snapshot_download(model_id, allow_patterns=wanted, **chosen))
        found = load(folder)
        assert isinstance(found, Encoder)
        return found


class RawPatches(nn.Module):
    """The baseline without an encoder: the colors of each 8 x 8 patch as its feature."""

    stride = STRIDE

    @torch.no_grad()
    def features(self, frame: UInt8[Tensor, "3 h w"]) -> Float[Tensor, "d h8 w8"]:
        """Unit vectors of patches, colors in [-1, 1]; the border is repeated to full patches."""
        padded = pad_to_cells(frame.float().unsqueeze(0) / 127.5 - 1, STRIDE)
        return functional.normalize(functional.pixel_unshuffle(padded, STRIDE)[0], dim=0)


def load(
    weights: str | Path,
    *,
    seed: int = 0,
    frames: Float[Tensor, "b 3 h w"] | None = None,
    reading: ReadingConfig | None = None,
) -> Encoder | RawPatches:
    """The model that ``--weights`` names, in evaluation mode.

    Args:
        weights: "shipped" (the small encoder of this package), "untrained" or "untrained:SEED" (its
            architecture and reader with fresh weights), "random" (a fresh ResNet-18), "raw"
            (pixels), a run's folder, a file: ours, torchvision's ResNet-18 (safetensors or torch),
            or the authors' checkpoint, whose architecture is read off the tensors; or a public
            backbone (``crw.public.find``).
        seed: of "random".
        frames: colors in [0, 1] to fit the reader on; "untrained" needs them.
        reading: which layer of the backbone is read, and how.

    Raises:
        UserError: no such file, a corrupt or unsafe one, or another architecture; "untrained"
            without frames.
    """
    reading = reading or ReadingConfig()
    if weights == "raw":
        if frames is not None or reading != ReadingConfig():
            raise UserError("raw patches have no reader to fit on frames")
        return RawPatches()
    public = find(str(weights), reading.facet)
    if public is None:
        encoder = _read_as(_load_encoder(weights, seed, frames is not None), reading)
    else:
        stages = reading.layer or public.num_stages
        encoder = Encoder(public, Reader(public.channels, stages, stride=reading.stride)).eval()
    if frames is not None:
        encoder.calibrate(frames)
    return encoder


def _read_as(encoder: Encoder, reading: ReadingConfig) -> Encoder:
    """An encoder of ours, with another reader where a layer or a stride is asked for."""
    if reading.facet != "tokens":
        raise UserError("facet", expected="tokens for a ResNet", got=reading.facet)
    if reading.layer is None and reading.stride is None:
        return encoder
    chosen = encoder.reader.arguments | {"stride": reading.stride}
    if reading.layer is not None:
        plain = {"windows": (1,), "weights": None, "components": None}
        chosen |= {"stages": (reading.layer,), **plain}
    found = Encoder(encoder.backbone, Reader(encoder.backbone.channels, **chosen))
    if found.reader.components:
        found.reader.load_state_dict(encoder.reader.state_dict())
    return found.to(encoder.device).eval()


def _load_encoder(weights: str | Path, seed: int, has_frames: bool) -> Encoder:
    if weights == "random":
        return draw(seed, padding_mode="reflect").eval()
    name, _, number = str(weights).partition(":")
    if name == "untrained":
        if not has_frames:
            line = "untrained weights have no statistics to be read with"
            raise UserError(line, fix="fit them on frames: --calibrate VIDEOS")
        return _untrained(number)
    path = SHIPPED if weights == "shipped" else registry.find("crw", weights)
    file = path / WEIGHTS if path.is_dir() else path
    tensors = read_tensors(file)
    if file.name == WEIGHTS and (found := read_arguments(file.with_name(CONFIG))):
        tensors = foreign_weights.our_names(tensors)
        encoder = restore(partial(_build, 0, found), tensors, file, "an encoder")
    else:
        tensors, backbone = foreign_weights.read(tensors, file)
        make = partial(_build, 0, {"backbone": backbone, "reader": {}})
        encoder = restore(make, tensors, file, "an encoder")
    if path.is_dir() and (path / READER_CONFIG).is_file():
        encoder = with_reader(encoder, path)
    return encoder


def _untrained(number: str) -> Encoder:
    """What ships as it was before its first step, or from another seed; not yet calibrated."""
    if number and not number.isdecimal():
        raise UserError(f"--weights untrained:{number}", expected="a whole number for a seed")
    config = read_config(SHIPPED / CONFIG)
    found = read_arguments(SHIPPED / CONFIG)
    assert found is not None
    if (SHIPPED / READER_CONFIG).is_file():
        found["reader"] = read_config(SHIPPED / READER_CONFIG)["reader"]
    return _build(int(number or config["fit"]["seed"]), found).eval()


def draw(
    seed: int,
    *,
    readout: int | Sequence[int] = READOUT,
    windows: Sequence[int] = (1,),
    components: int | None = None,
    **backbone: Any,
) -> Encoder:
    """A fresh encoder with weights drawn from ``seed``; the global generator is left as it was.

    Args:
        seed: of the weights.
        readout: stages that the reader reads.
        windows: at which it reads each.
        components: of its whitening.
        backbone: arguments of :class:`Backbone`.
    """
    reader = {"stages": readout, "windows": windows, "components": components}
    return _build(seed, {"backbone": backbone, "reader": reader})


def arguments(encoder: Encoder) -> dict[str, Any]:
    """What an encoder was built with, in plain values for a ``config.json``."""
    return {
        "backbone": _plain(encoder.backbone.arguments),
        "reader": _plain(encoder.reader.arguments),
    }


def reader_tensors(encoder: Encoder) -> dict[str, Tensor]:
    """All that calibration fits: the whitening of the reader, the statistics of batch norms."""
    found = {f"reader.{name}": tensor for name, tensor in encoder.reader.state_dict().items()}
    for name, norm in encoder.backbone.norms().items():
        found |= {f"backbone.{name}.{key}": tensor for key, tensor in norm.named_buffers()}
    return found


def with_reader(encoder: Encoder, folder: Path) -> Encoder:
    """The backbone of an encoder with the reader that ``sbind crw calibrate`` left in a folder.

    Raises:
        UserError: it is damaged, or fitted for another backbone.
    """
    path = folder / READER_CONFIG
    described = read_config(path)
    given = described.get("reader") if isinstance(described, dict) else None
    if not isinstance(given, dict):
        raise UserError(f"{path} cannot be read (it holds no reader)")
    found = {**arguments(encoder), "reader": _known(given, READER_ARGUMENTS)}
    tensors = {n: t for n, t in encoder.state_dict().items() if n.startswith("backbone.")}
    tensors |= read_tensors(folder / READER_WEIGHTS)
    return restore(partial(_build, 0, found), tensors, folder / READER_WEIGHTS, "an encoder")


def read_arguments(path: Path) -> dict[str, Any] | None:
    """What a run's or ``save_pretrained``'s config says of the encoder; None if it is no such."""
    if not path.is_file():
        return None
    found = read_config(path)
    if not isinstance(found, dict):
        raise UserError(f"{path} cannot be read (it holds no settings)")
    if "backbone" in found:
        return {name: found.get(name, {}) for name in ("backbone", "reader")}
    if "widths" not in found:
        return None
    # Of before a reader was a thing of its own.
    backbone = _known(found, ("widths", "width", "padding_mode", "batch_statistics"))
    names = {"stages": "readout", "windows": "windows", "components": "components"}
    reader = {new: found[old] for new, old in names.items() if old in found}
    return {"backbone": backbone, "reader": reader}


def _build(seed: int, found: Mapping[str, Mapping[str, Any]]) -> Encoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = Backbone(**found["backbone"])
    return Encoder(backbone, Reader(backbone.channels, **found["reader"]))


def _known(given: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: given[name] for name in names if name in given}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}
