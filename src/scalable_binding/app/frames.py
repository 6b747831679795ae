"""Random access to the frames of a video, with bounded memory: seeking, caches, thumbnails."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from scalable_binding.data.frames import decoding, images, rendering, timelines, videos
from scalable_binding.errors import UserError

Frame = UInt8[Tensor, "3 h w"]

SHOWN_SIZE = 720
"""Pixels on the short side at most of the frames that are shown and of the masks on them."""

CARRIED_SIZE = 480
"""Pixels on the short side at most of the frames that labels are propagated on."""

THUMBNAIL_HEIGHT = 54

_CACHE_BYTES = 96 * 2**20
_LOOK_BACK = 12  # frames kept before one that was sought, for stepping back from it
_LOOK_AHEAD = 24  # frames that are decoded rather than sought over
_CHUNK = 24  # frames in memory at once when a video is read backward
_LONG = 2000  # frames from which thumbnails show key frames only


class VideoFrames:
    """The frames of a video file or folder of images, any one at any time.

    Frames are shown at ``height`` x ``width`` and labels are propagated at ``carried``, both
    shrunk from the video's ``own`` size where that is large.

    Raises:
        UserError: nothing is there, it is no video, or none of its frames can be decoded.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        info = videos.probe(self.path)
        self.fps = info.fps
        self.own = info.height, info.width
        self._keys: np.ndarray | None = None
        if self.path.is_dir():
            count = info.num_frames
        else:
            times = timelines.timeline(self.path)
            count, self._keys = len(times), times.keys
        assert count is not None
        self.num_frames = count
        self.height, self.width = _shrunk(self.own, SHOWN_SIZE)
        self.carried = _shrunk(self.own, CARRIED_SIZE)
        self._lock = threading.Lock()
        self._cache: OrderedDict[int, Frame] = OrderedDict()
        self._ahead: Iterator[Frame] = iter(())
        self._next = -1

    def frame(self, number: int) -> Frame:
        """A frame at the size shown.

        Raises:
            UserError: no such frame, or it cannot be decoded.
        """
        self.check(number)
        with self._lock:
            if number not in self._cache:
                self._decode_to(number)
            self._cache.move_to_end(number)
            return self._cache[number]

    def check(self, number: int) -> None:
        """Nothing, when there is a frame of this number.

        Raises:
            UserError: there is none.
        """
        if not 0 <= number < self.num_frames:
            raise UserError("frame", expected=f"0 to {self.num_frames - 1}", got=str(number))

    def jpeg(self, number: int) -> bytes:
        """A frame at the size shown, as the bytes of a JPEG."""
        return _jpeg(Image.fromarray(self.frame(number).permute(1, 2, 0).contiguous().numpy()), 88)

    def thumbnail(self, number: int) -> bytes:
        """A small picture of a frame; of a long video's nearest key frame, which is fast."""
        self.check(number)
        with self._lock:
            cached = self._cache.get(number)
        if cached is not None:
            picture = Image.fromarray(cached.permute(1, 2, 0).contiguous().numpy())
        elif self._keys is None:
            picture = Image.fromarray(
                next(videos.stream(self.path, start=number, stop=number + 1, size=128))
                .permute(1, 2, 0)
                .contiguous()
                .numpy()
            )
        else:
            if self.num_frames > _LONG and len(self._keys):
                number = int(self._keys[np.abs(self._keys - number).argmin()])
            found = next(decoding.pick(self.path, [number]))
            picture = Image.fromarray(rendering.pixels(found).permute(1, 2, 0).numpy())
        width = max(1, round(picture.width * THUMBNAIL_HEIGHT / picture.height))
        return _jpeg(picture.resize((width, THUMBNAIL_HEIGHT), Image.Resampling.BILINEAR), 80)

    def read_carried(self, number: int) -> Frame:
        """A frame at the size that labels are propagated on."""
        self.check(number)
        return next(self.walk_carried(number, 1, 1))

    def walk_carried(self, start: int, count: int, direction: int) -> Iterator[Frame]:
        """``count`` frames from ``start`` on, forward (1) or backward (-1), at the carried size.

        Raises:
            UserError: the video ends before, because it is damaged.
        """
        size = min(self.carried)
        if direction > 0:
            came = 0
            for frame in videos.stream(self.path, start=start, stop=start + count, size=size):
                yield frame
                came += 1
            if came < count:
                raise UserError(f"{self.path}: frame {start + came} cannot be decoded")
            return
        last = start - count + 1
        for stop in range(start + 1, last, -_CHUNK):
            first = max(last, stop - _CHUNK)
            yield from reversed(list(self.walk_carried(first, stop - first, 1)))

    def walk_shown(self, start: int = 0) -> Iterator[Frame]:
        """The frames from ``start`` to the end at the size shown, from a decoder of their own."""
        return videos.stream(self.path, start=start, size=min(self.height, self.width))

    def _decode_to(self, number: int) -> None:
        """Decode up to a frame, from where the decoder is or from shortly before."""
        if not 0 <= self._next <= number < self._next + _LOOK_AHEAD:
            self._next = max(0, number - _LOOK_BACK)
            if self._keys is not None:
                before = self._keys[self._keys <= number]
                self._next = max(self._next, int(before[-1]) if len(before) else 0)
            size = min(self.height, self.width)
            self._ahead = videos.stream(self.path, start=self._next, size=size)
        while self._next <= number:
            frame = next(self._ahead, None)
            if frame is None:
                self._next = -1
                raise UserError(f"{self.path}: frame {number} cannot be decoded")
            self._cache[self._next] = frame
            self._next += 1
        limit = max(_CACHE_BYTES // self._cache[number].nbytes, _LOOK_BACK + 1)
        while len(self._cache) > limit:
            self._cache.popitem(last=False)


def _shrunk(own: tuple[int, int], size: int) -> tuple[int, int]:
    return images.short_side(*own, min(size, *own))


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()
