"""The encoder phi: image patches or whole frames in, unit vectors out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from scalable_binding.crw.presets import STRIDE
from scalable_binding.engine.checkpoint import CONFIG, WEIGHTS, read_config, read_tensors, restore
from scalable_binding.errors import UserError
from scalable_binding.metrics.features import FeatureStatistics
from scalable_binding.nn.precision import has_fast_bfloat16
from scalable_binding.nn.resnet import PaddingMode, ResNet
from scalable_binding.nn.whitening import Whitening

CHANNEL_MEAN = (0.485, 0.456, 0.406)
CHANNEL_STD = (0.229, 0.224, 0.225)

STRIDES = (1, 2, 1, 1)
"""Of the four stages: the last two keep their size (Table 3.4)."""

ARGUMENTS = (
    "widths",
    "width",
    "readout",
    "windows",
    "padding_mode",
    "batch_statistics",
    "components",
)
"""Of :class:`Encoder`, as ``config.json`` names them."""

READOUT = (3,)
"""Stages that label propagation reads: res3."""

CELL_COLORS = 12
"""Channels of the image itself, stage 0: three colors of four quarters."""

CONTRAST = 0.35
"""Share of a similarity of whitened vectors that varies; the rest is the same between all nodes.

Whitening takes out what all nodes have in common, by which other features are alike, and by which
temperatures such as the thesis' 0.07 suit them. So it is put back as one constant number a node.
"""

STAGES = 3
"""Of an encoder at least."""

SHIPPED = Path(__file__).parents[1] / "weights" / "crw"


class Encoder(nn.Module, PyTorchModelHubMixin, library_name="scalable-binding"):
    """A ResNet, a linear head, and the l2 norm: ``phi(x) = head(resnet(x)) / |head(resnet(x))|``.

    Training reads :meth:`forward`; label propagation reads :meth:`features`, by default the third
    stage's output (res3) without head. Weights carry torchvision's names under ``resnet.``.

    With several stages in ``readout`` the features of a cell are the unit vectors of each, side by
    side, so that a similarity is the mean of theirs: of colors and edges as well as of what is
    deeper. Stage 0 is the image itself, the colors of the four quarters of a cell. An encoder of
    ``width`` None has no head, and walks on these vectors in training too.

    Label propagation may moreover read each stage at several ``windows``, as means over a cell's
    neighborhood, which tell what surrounds it. Training does not: near the border of a small view
    they would tell of the border.

    Args:
        widths: channels of each stage, (64, 128, 256, 512) for ResNet-18.
        width: dimension d of the embedding; None for no head.
        readout: stages that :meth:`features` reads; a number stands for one stage.
        windows: odd sides, in cells, of the squares around a cell over which each of these stages
            is averaged; 1 is the cell by itself.
        padding_mode: padding of the convolutions, "reflect" as in the authors' code or "zeros".
        batch_statistics: normalize by the statistics of each batch in training. Without, batch
            norms keep those that :meth:`calibrate` gave them, and only scale and shift.
        components: whiten each stage at each window, and keep so many principal axes at most, as
            :meth:`calibrate` finds them; None compares the stages as they are.

    Source: Thesis 3.2.3, 3.7.8 and Table 3.4.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        widths: Sequence[int] = (64, 128, 256, 512),
        width: int | None = 128,
        readout: int | Sequence[int] = READOUT,
        windows: Sequence[int] = (1,),
        padding_mode: PaddingMode = "zeros",
        batch_statistics: bool = True,
        components: int | None = None,
    ) -> None:
        super().__init__()
        widths = tuple(widths)
        readout = (readout,) if isinstance(readout, int) else tuple(readout)
        windows = tuple(windows)
        assert readout and min(readout) >= 0 and 1 <= max(readout) <= len(widths)
        assert windows and all(window > 0 and window % 2 for window in windows)
        self.widths = widths
        self.width = width
        self.readout = readout
        self.windows = windows
        self.padding_mode = padding_mode
        self.batch_statistics = batch_statistics
        self.components = components
        self.resnet = ResNet(widths, STRIDES[: len(widths)], padding_mode=padding_mode)
        self.head = None if width is None else nn.Linear(self.resnet.width, width)
        self.whitenings: nn.ModuleDict | None = None
        if components is not None:
            channels = (CELL_COLORS, *widths)
            self.whitenings = nn.ModuleDict(
                {
                    part_name(stage, window): Whitening(channels[stage], components)
                    for stage, window in product(readout, windows)
                }
            )
        self.register_buffer("mean", torch.tensor(CHANNEL_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(CHANNEL_STD).view(3, 1, 1), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.resnet.conv1.weight.device

    def train(self, mode: bool = True) -> Encoder:
        """Training mode, or not; batch norms follow where they are to use a batch's statistics."""
        super().train(mode)
        if not self.batch_statistics:
            for norm in self._norms():
                norm.eval()
        return self

    @torch.no_grad()
    def calibrate(self, images: Float[Tensor, "b 3 h w"]) -> None:
        """Take the statistics of batch norms and whitenings from images, colors in [0, 1]."""
        for norm in self._norms():
            norm.reset_running_stats()
            norm.momentum = None  # the next batch counts whole
            norm.train()
        self.resnet(self._normalize(images).contiguous(memory_format=torch.channels_last))
        for norm in self._norms():
            norm.momentum = 0.1
            norm.eval()
        if self.whitenings is not None:
            self._fit(self.whitenings, images)
        self.train(self.training)

    def _fit(self, whitenings: nn.ModuleDict, images: Float[Tensor, "b 3 h w"]) -> None:
        found: dict[str, FeatureStatistics] = {}
        for image in images:
            for name, maps in self._parts(image.unsqueeze(0), self.windows):
                statistics = found.setdefault(name, FeatureStatistics(maps.shape[1], keep=0))
                statistics.update(rearrange(unit(maps), "b c h w -> (b h w) c"))
        for name, whitening in whitenings.items():
            assert isinstance(whitening, Whitening)
            whitening.fit(found[name].mean, found[name].covariance)

    def _norms(self) -> list[nn.BatchNorm2d]:
        return [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]

    def forward(
        self, images: Float[Tensor, "b 3 h w"], pool: bool = True
    ) -> Float[Tensor, "b n d"]:
        """Unit vectors of images with colors in [0, 1]: one an image, or one a cell of its map.

        With ``pool`` an image is a node (a patch), averaged over space before the head; without it
        every cell of the feature map is one, row by row.
        """
        head = self.head
        maps = self._read(images) if head is None else self.resnet(self._normalize(images))
        if pool:
            maps = maps.mean(dim=(2, 3), keepdim=True)
        nodes = rearrange(maps, "b c h w -> b (h w) c")
        if head is None and not pool:
            return nodes  # of length one already
        if head is not None:
            nodes = head(nodes)
        return functional.normalize(nodes.float(), dim=-1)

    def last_map(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h8 w8"]:
        """The last stage's feature map of images with colors in [0, 1], before the head."""
        normalized: Tensor = self._normalize(images).contiguous(memory_format=torch.channels_last)
        maps: Tensor = self.resnet(normalized)
        return maps

    @torch.no_grad()
    def features(self, frame: UInt8[Tensor, "3 h w"]) -> Float[Tensor, "d h8 w8"]:
        """Unit vectors at 1/8 of a frame's size (rounded up), of ``readout`` at ``windows``."""
        colors = frame.to(self.device).unsqueeze(0).float() / 255
        fast = has_fast_bfloat16(self.device.type)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=fast):
            return self._read(colors, self.windows)[0]

    def _read(
        self, images: Float[Tensor, "b 3 h w"], windows: Sequence[int] = (1,)
    ) -> Float[Tensor, "b d h8 w8"]:
        """The unit vectors of each part, whitened if so built, side by side and of length one."""
        if self.whitenings is None:
            share = (len(self.readout) * len(windows)) ** -0.5
            return torch.cat([unit(maps, share) for _, maps in self._parts(images, windows)], dim=1)
        share = (CONTRAST / len(self.whitenings)) ** 0.5
        parts = [
            unit(self.whitenings[name](unit(maps)), share)
            for name, maps in self._parts(images, windows)
        ]
        constant = torch.full_like(parts[0][:, :1], (1 - CONTRAST) ** 0.5)
        return torch.cat([*parts, constant], dim=1)

    def _parts(
        self, images: Float[Tensor, "b 3 h w"], windows: Sequence[int]
    ) -> Iterator[tuple[str, Float[Tensor, "b c h8 w8"]]]:
        """Each stage of ``readout`` at each window, by the part's name."""
        image = self._normalize(images).contiguous(memory_format=torch.channels_last)
        pyramid = self.resnet.pyramid(image, stages=max(self.readout))
        for stage in self.readout:
            maps = pyramid[stage - 1] if stage else cell_colors(images)
            if stage == 1:
                maps = functional.avg_pool2d(maps, 2, ceil_mode=True)
            for window in windows:
                yield part_name(stage, window), surroundings(maps.float(), window)

    def _normalize(self, colors: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        return (colors - self.mean) / self.std


def unit(maps: Float[Tensor, "b d h w"], length: float = 1.0) -> Float[Tensor, "b d h w"]:
    """The vectors along ``d``, brought to one length; those of zero stay.

    The factor is worked out on one number a cell, so that a pass goes over the maps themselves as
    seldom as it can: on a CPU such passes take a tenth of a training step.
    """
    norm = torch.linalg.vector_norm(maps, dim=1, keepdim=True)
    return maps * (length / norm.clamp(min=1e-12))


def part_name(stage: int, window: int) -> str:
    """What a stage read at a window is called among the tensors of an encoder."""
    return f"stage{stage}_window{window}"


def cell_colors(images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 12 h8 w8"]:
    """The mean colors, in [-1, 1], of each cell's four quarters; the border is repeated."""
    padded = functional.pad(2 * images - 1, _to_whole_cells(images), mode="replicate")
    cells = functional.pixel_unshuffle(functional.avg_pool2d(padded, STRIDE // 2), 2)
    return cells.contiguous(memory_format=torch.channels_last)  # as the stages beside it


def surroundings(maps: Float[Tensor, "b c h w"], window: int) -> Float[Tensor, "b c h w"]:
    """The mean over the ``window`` x ``window`` cells around each, of those inside the map."""
    if window == 1:
        return maps
    return functional.avg_pool2d(maps, window, 1, window // 2, count_include_pad=False)


def _to_whole_cells(images: Float[Tensor, "b 3 h w"]) -> tuple[int, int, int, int]:
    """The padding on the right and below that makes both sides multiples of a cell's."""
    height, width = images.shape[-2:]
    return (0, -width % STRIDE, 0, -height % STRIDE)


class RawPatches(nn.Module):
    """The baseline without an encoder: the colors of each 8 x 8 patch as its feature."""

    @torch.no_grad()
    def features(self, frame: UInt8[Tensor, "3 h w"]) -> Float[Tensor, "d h8 w8"]:
        """Unit vectors of patches, colors in [-1, 1]; the border is repeated to full patches."""
        colors = frame.float().unsqueeze(0) / 127.5 - 1
        padded = functional.pad(colors, _to_whole_cells(colors), mode="replicate")
        return functional.normalize(functional.pixel_unshuffle(padded, STRIDE)[0], dim=0)


def load(weights: str | Path, *, seed: int = 0) -> Encoder | RawPatches:
    """The model that ``--weights`` names, in evaluation mode.

    Args:
        weights: "shipped" (the small encoder of this package), "random", "raw" (pixels), a run's
            folder, or a file: ours, torchvision's ResNet-18 (safetensors or torch), or the
            authors' checkpoint. The architecture is read off the tensors.
        seed: of "random".

    Raises:
        UserError: no such file, a corrupt or unsafe one, or another architecture.
    """
    if weights == "raw":
        return RawPatches()
    if weights == "random":
        return draw(seed, padding_mode="reflect").eval()
    path = SHIPPED if weights == "shipped" else Path(weights)
    file = path / WEIGHTS if path.is_dir() else path
    tensors = read_tensors(file)
    described = file.name == WEIGHTS and _read_arguments(file.with_name(CONFIG))
    if described:
        return _assemble(described, tensors, file)
    return _from_foreign(tensors, file)


def draw(seed: int, **arguments: Any) -> Encoder:
    """A fresh encoder with weights drawn from ``seed``; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Encoder(**arguments)


def arguments(encoder: Encoder) -> dict[str, Any]:
    """What :class:`Encoder` was built with, in plain values for a ``config.json``."""
    values = {name: getattr(encoder, name) for name in ARGUMENTS}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def _read_arguments(path: Path) -> dict[str, Any] | None:
    """What a run's or ``save_pretrained``'s config says of the encoder; None if it is no such."""
    if not path.is_file():
        return None
    found = read_config(path)
    if not isinstance(found, dict):
        raise UserError(f"{path} cannot be read (it holds no settings)")
    return {name: found[name] for name in ARGUMENTS if name in found} if "widths" in found else None


def _assemble(arguments: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path) -> Encoder:
    return restore(partial(draw, 0, **arguments), tensors, path, "an encoder")


def _from_foreign(found: Mapping[str, Tensor], path: Path) -> Encoder:
    """The encoder that fits a file's tensors; a network without our head (ImageNet's) gets one.

    The authors padded by reflection, torchvision pads with zeros.
    """
    if any(name.startswith("whitenings.") for name in found):
        expected = f"{CONFIG} beside it, and its own name {WEIGHTS}"
        raise UserError(f"{path} is an encoder of ours", expected=expected, got="it alone")
    tensors = _our_names(found)
    stages = [tensors.get(f"resnet.layer{stage}.0.conv1.weight") for stage in range(1, 5)]
    widths = tuple(len(kernel) for kernel in stages if kernel is not None and kernel.ndim == 4)
    if len(widths) < STAGES:
        raise UserError(
            f"{path} is of another architecture",
            expected="a ResNet of basic blocks with torchvision's names",
            got=f"{len(widths)} such stages among {len(found)} tensors",
        )
    if "head.weight" not in tensors:
        head = draw(0, widths=widths[-1:], readout=1).head
        assert head is not None
        tensors |= {f"head.{name}": tensor for name, tensor in head.state_dict().items()}
    padding: PaddingMode = "reflect" if any("selfsim_fc." in name for name in found) else "zeros"
    head_shape = tensors["head.weight"].shape
    width = head_shape[0] if len(head_shape) == 2 else 0
    return _assemble({"widths": widths, "width": width, "padding_mode": padding}, tensors, path)


def _our_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under our names, from ours, torchvision's or the authors'."""
    renamed = {}
    for name, tensor in tensors.items():
        name = name.removeprefix("module.")
        name = (
            name.replace("selfsim_fc.0.", "head.").removeprefix("encoder.").removeprefix("model.")
        )
        if name.startswith(("conv1.", "bn1.", "layer")):
            name = f"resnet.{name}"
        if name.startswith(("resnet.", "head.")):
            renamed[name] = tensor
    return renamed
