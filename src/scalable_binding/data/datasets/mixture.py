"""Two endless data sets as one, in a fixed proportion: videos and the synthetic world, say."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from scalable_binding.errors import UserError


class Mixture(Dataset[dict[str, Tensor]]):
    """Items of two endless data sets, those of the second evenly spread among those of the first.

    Each data set is asked for its items 0, 1, 2, ... in turn; ``index`` of an item is its place in
    the mixture.

    Args:
        first, second: data sets; one without a share may be None.
        share: of the second, in [0, 1].

    Raises:
        UserError: the share is no share, or a data set that has one is missing.
    """

    def __init__(
        self,
        first: Dataset[dict[str, Tensor]] | None,
        second: Dataset[dict[str, Tensor]] | None,
        share: float,
    ) -> None:
        if not 0 <= share <= 1:
            raise UserError("share of a mixture", expected="a number in [0, 1]", got=str(share))
        if (first is None and share < 1) or (second is None and share > 0):
            raise UserError("mixture", expected="two data sets, unless one has no share", got="one")
        self.first, self.second, self.share = first, second, share

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        before, after = int(index * self.share), int((index + 1) * self.share)
        source, place = (self.second, before) if after > before else (self.first, index - before)
        assert source is not None
        return {**source[place], "index": torch.tensor(index)}


def with_synthetic(
    data: Sequence[Path],
    open_videos: Callable[[list[Path]], Dataset[dict[str, Tensor]]],
    synthetic: Dataset[dict[str, Tensor]],
    share: float,
) -> Mixture:
    """Clips of the videos under ``data``, and a share of synthetic ones (``clips.synthetic``).

    Args:
        data: folders of videos; may be empty where all clips are synthetic.
        open_videos: gives the clips of these folders; not called where all are synthetic.
        synthetic: clips of the synthetic world.
        share: of these, in [0, 1].

    Raises:
        UserError: no videos, and not all clips are synthetic.
    """
    if not data and share < 1:
        expected = "folders of videos, unless clips.synthetic is 1"
        raise UserError("training data", expected=expected, got="none")
    if data and share == 1:
        warnings.warn("no video is read, since clips.synthetic is 1", stacklevel=3)
    return Mixture(open_videos(list(data)) if share < 1 else None, synthetic, share)
