"""Reader: how the maps of a backbone become the features that carry labels.

A backbone learns; a reader is chosen and fitted on frames afterwards, and either can be replaced
without the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from scalable_binding.errors import UserError
from scalable_binding.metrics.features import FeatureStatistics
from scalable_binding.nn.whitening import Whitening

READOUT = (3,)
"""Stages that label propagation reads: res3."""

IMAGE_CHANNELS = 12
"""Of the image itself, stage 0: three colors of four quarters of a cell."""

CONTRAST = 0.35
"""Share of a similarity of whitened vectors that varies; the rest is the same between all nodes.

Whitening takes out what all nodes have in common, by which other features are alike, and by which
temperatures such as the thesis' 0.07 suit them. So it is put back as one constant number a node.
"""

ARGUMENTS = (
    "stages",
    "windows",
    "weights",
    "components",
    "contrast",
    "stride",
    "dilate",
    "scale",
)
"""Of :class:`Reader`, as ``config.json`` names them."""

Maps = Mapping[int, Float[Tensor, "b _ h w"]]
"""Feature maps by stage, all on one grid of cells; stage 0 is the image's own colors."""


class Reader(nn.Module):
    """Parts of a backbone's maps side by side, whitened if so asked, as one unit vector a cell.

    A part is a stage averaged over a window of cells. With the parts' vectors ``p_i`` of length one
    and weights ``w_i`` that sum to one, the similarity of two cells is ``sum_i w_i <p_i, q_i>``.
    Whitened parts (:class:`Whitening`, fitted by :meth:`fit`) count as a share ``contrast`` of it,
    beside a constant.

    Args:
        channels: of the backbone's stages, from stage 1.
        stages: those that are read, side by side; 0 is the image itself, the colors of the four
            quarters of a cell; a backbone's head counts as the stage after its last.
        windows: odd sides, in cells, of the squares around a cell over which each of these stages
            is averaged; 1 is the cell by itself.
        weights: of the parts, in the order of (stage, window) pairs; None makes all count alike.
        components: whiten each part, and keep so many principal axes at most; None compares parts
            as they are.
        contrast: share of a similarity of whitened vectors that varies.
        stride: pixels, of the image that the backbone sees, from cell to cell. Strides of the
            backbone beyond it are taken out; finer maps are averaged. None leaves the stride of the
            deepest stage.
        dilate: convolutions after a stride that was taken out are dilated by it.
        scale: frames are resized by this factor before the backbone sees them; a cell is then
            ``stride / scale`` pixels of the frame.

    Source: Thesis 3.7.8; whitening, windows and scale are ours (``docs/errata.md``).
    """

    def __init__(
        self,
        channels: Sequence[int],
        stages: int | Sequence[int] = READOUT,
        windows: Sequence[int] = (1,),
        weights: Sequence[float] | None = None,
        components: int | None = None,
        contrast: float = CONTRAST,
        stride: int | None = None,
        dilate: bool = True,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.stages = (stages,) if isinstance(stages, int) else tuple(stages)
        self.windows = tuple(windows)
        self.weights = None if weights is None else tuple(weights)
        self.components, self.contrast = components, contrast
        self.stride, self.dilate, self.scale = stride, dilate, scale
        _check(self, len(channels))
        self.whitenings: nn.ModuleDict | None = None
        if components is not None:
            of_stage = (IMAGE_CHANNELS, *channels)
            self.whitenings = nn.ModuleDict(
                {
                    part_name(stage, window): Whitening(of_stage[stage], components)
                    for stage, window in product(self.stages, self.windows)
                }
            )

    @property
    def arguments(self) -> dict[str, Any]:
        """What it was built with but for the channels, in plain values for a ``config.json``."""
        return {name: getattr(self, name) for name in ARGUMENTS}

    @property
    def is_fitted(self) -> bool:
        """Whether all that it fits on frames was fitted."""
        return all(each.is_fitted for each in _whitenings(self).values())

    @torch.no_grad()
    def fit(self, samples: Iterable[Maps]) -> None:
        """Take the statistics of whitening from the maps of frames, given one or some at a time.

        Raises:
            UserError: no frames, or maps of infinite numbers.
        """
        found: dict[str, FeatureStatistics] = {}
        for maps in samples:
            for name, part in self.parts(maps, self.windows):
                statistics = found.setdefault(name, FeatureStatistics(part.shape[1], keep=0))
                statistics.update(rearrange(unit(part), "b c h w -> (b h w) c"))
        for name, whitening in _whitenings(self).items():
            if name not in found:
                raise UserError("frames to fit a reader on", expected="at least one", got="none")
            whitening.fit(found[name].mean, found[name].covariance)

    def forward(self, maps: Maps) -> Float[Tensor, "b d h w"]:
        """The unit vector of each cell.

        Raises:
            UserError: whitening that was never fitted.
        """
        self._check_fitted()
        found = self._join(maps, self.windows, self.contrast if self.components else 1.0)
        if not self.components:
            return found
        constant = torch.full_like(found[:, :1], (1 - self.contrast) ** 0.5)
        return torch.cat([found, constant], dim=1)

    def nodes(self, maps: Maps) -> Float[Tensor, "b d h w"]:
        """The unit vectors that a walk compares when it trains through this reader.

        Without windows, which near the border of a small view would tell of the border, and without
        the constant of whitened parts, so that temperatures of walks suit them.

        Raises:
            UserError: a reader with whitening that reads no cell by itself, or was never fitted.
        """
        if self.components and 1 not in self.windows:
            got = str(self.windows)
            raise UserError("reader.windows", expected="1 among them, to train", got=got)
        self._check_fitted()
        return self._join(maps, (1,), 1.0)

    def parts(
        self, maps: Maps, windows: Sequence[int]
    ) -> Iterator[tuple[str, Float[Tensor, "b c h w"]]]:
        """Each stage at each window, by the part's name."""
        for stage, window in product(self.stages, windows):
            yield part_name(stage, window), average_around(maps[stage].float(), window)

    def _check_fitted(self) -> None:
        if not self.is_fitted:
            expected = "statistics of frames, which 'sbind crw calibrate' takes"
            raise UserError("reader with whitening", expected=expected, got="none")

    def _join(self, maps: Maps, windows: Sequence[int], length: float) -> Float[Tensor, "b d h w"]:
        """Parts side by side, the square of whose whole length is ``length``."""
        shares = self._shares(windows)
        whitenings = _whitenings(self)
        joined = []
        for name, part in self.parts(maps, windows):
            if whitenings:
                part = whitenings[name](unit(part))
            joined.append(unit(part, (length * shares[name]) ** 0.5))
        return torch.cat(joined, dim=1)

    def _shares(self, windows: Sequence[int]) -> dict[str, float]:
        """The weight of each part read at ``windows``; they sum to one."""
        parts = list(product(self.stages, self.windows))
        weights = dict(zip(parts, self.weights or [1.0] * len(parts), strict=True))
        read = {part: weights.get(part, 1.0) for part in product(self.stages, windows)}
        total = sum(read.values())
        return {part_name(*part): weight / total for part, weight in read.items()}


def _check(reader: Reader, num_stages: int) -> None:
    """Refuse what cannot be read."""
    stages, windows, weights = reader.stages, reader.windows, reader.weights
    if not stages or not set(stages) <= set(range(num_stages + 1)) or not any(stages):
        expected = f"stages from 0 to {num_stages}, not 0 alone"
        raise UserError("reader.stages", expected=expected, got=str(stages))
    if not windows or any(window < 1 or window % 2 == 0 for window in windows):
        raise UserError("reader.windows", expected="odd numbers", got=str(windows))
    count = len(stages) * len(windows)
    if weights is not None and (len(weights) != count or min(weights) <= 0):
        expected = f"{count} numbers above 0, one a stage and window"
        raise UserError("reader.weights", expected=expected, got=str(weights))
    if reader.components is not None and reader.components < 1:
        got = str(reader.components)
        raise UserError("reader.components", expected="at least 1, or none", got=got)
    if not 0 < reader.contrast <= 1:
        got = str(reader.contrast)
        raise UserError("reader.contrast", expected="a share in (0, 1]", got=got)
    if not 0 < reader.scale <= 4:
        raise UserError("reader.scale", expected="above 0, at most 4", got=str(reader.scale))


def _whitenings(reader: Reader) -> dict[str, Whitening]:
    found = {} if reader.whitenings is None else dict(reader.whitenings.items())
    return {name: each for name, each in found.items() if isinstance(each, Whitening)}


def unit(maps: Float[Tensor, "b d h w"], length: float = 1.0) -> Float[Tensor, "b d h w"]:
    """The vectors along ``d``, brought to one length; those of zero stay.

    The factor is worked out on one number a cell, so that a pass goes over the maps themselves as
    seldom as it can: on a CPU such passes take a tenth of a training step.
    """
    norm = torch.linalg.vector_norm(maps, dim=1, keepdim=True)
    return maps * (length / norm.clamp(min=1e-12))


def part_name(stage: int, window: int) -> str:
    """What a stage read at a window is called among the tensors of a reader."""
    return f"stage{stage}_window{window}"


def cell_colors(images: Float[Tensor, "b 3 h w"], stride: int) -> Float[Tensor, "b 12 h2 w2"]:
    """The mean colors, in [-1, 1], of each cell's four quarters; the border is repeated."""
    padded = pad_to_cells(2 * images - 1, stride)
    cells = functional.pixel_unshuffle(functional.avg_pool2d(padded, stride // 2), 2)
    return cells.to(memory_format=torch.channels_last)  # as the stages beside it


def average_around(maps: Float[Tensor, "b c h w"], window: int) -> Float[Tensor, "b c h w"]:
    """The mean over the ``window`` x ``window`` cells around each, of those inside the map.

    Along columns, then along rows: the mean of means, since windows cut by the border stay boxes.
    """
    if window == 1:
        return maps
    reach = window // 2
    for size, padding in (((1, window), (0, reach)), ((window, 1), (reach, 0))):
        maps = functional.avg_pool2d(maps, size, 1, padding, count_include_pad=False)
    return maps


def pad_to_cells(images: Float[Tensor, "b c h w"], stride: int) -> Float[Tensor, "b c h2 w2"]:
    """Images whose border is repeated on the right and below, up to whole cells."""
    height, width = images.shape[-2:]
    margins = (0, -width % stride, 0, -height % stride)
    return functional.pad(images, margins, mode="replicate") if any(margins) else images
