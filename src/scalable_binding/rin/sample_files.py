"""Files of samples that are written while they come: an .npz of any length, videos and GIFs."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import numpy as np
from einops import rearrange
from jaxtyping import Int64, UInt8
from PIL import Image
from torch import Tensor

from scalable_binding import atomic
from scalable_binding.data.frames import videos
from scalable_binding.errors import UserError


class SampleFile:
    """An ``.npz`` whose ``arr_0`` holds samples, channels last, and ``arr_1`` their classes.

    The names are those that evaluation suites for generated images look for. A context manager;
    memory does not grow with the number of samples, and the file appears whole at the end.

    Args:
        path: of the file.
        num: samples that will come.
        size: of one: channels, then sides.
    """

    def __init__(self, path: Path, num: int, size: tuple[int, ...]) -> None:
        self._path = path
        self._shape = (num, *size[1:], size[0])
        self._stack = ExitStack()
        self._classes: list[int] = []

    def __enter__(self) -> SampleFile:
        temporary = self._stack.enter_context(atomic.replacing(self._path))
        self._archive = self._stack.enter_context(zipfile.ZipFile(temporary, "w"))
        self._member: IO[bytes] = self._archive.open("arr_0.npy", "w", force_zip64=True)
        header = {"descr": "|u1", "fortran_order": False, "shape": self._shape}
        np.lib.format.write_array_header_1_0(self._member, header)
        return self

    def add(self, samples: UInt8[Tensor, "b c *size"], classes: Int64[Tensor, " b"]) -> None:
        """Append samples; -1 is no class."""
        last = rearrange(samples, "b c ... -> b ... c").contiguous()
        self._member.write(last.numpy().tobytes())
        self._classes += classes.tolist()

    def __exit__(self, *exception: object) -> None:
        self._member.close()
        if exception[0] is None:
            assert len(self._classes) == self._shape[0]
            with self._archive.open("arr_1.npy", "w") as member:
                np.lib.format.write_array(member, np.array(self._classes, dtype=np.int64))
        self._stack.__exit__(*exception)  # type: ignore[arg-type]


def write_video(path: Path, frames: Iterable[UInt8[Tensor, "3 h w"]], *, fps: float | int) -> None:
    """Write frames as a video, or, as the suffix says, as a GIF that plays again and again.

    Raises:
        UserError: no frames, or the file cannot be written.
    """
    if path.suffix != ".gif":
        videos.write(path, frames, fps=fps)
        return
    stills = [Image.fromarray(rearrange(f, "c h w -> h w c").numpy()) for f in frames]
    if not stills:
        raise UserError(f"no frames to write to {path}")
    with atomic.replacing(path) as temporary:
        stills[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=stills[1:],
            duration=round(1000 / fps),
            loop=0,
        )
