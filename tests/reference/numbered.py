"""Frames that show their own number, so that a test can say which frame it was given."""

import torch

_BITS = 10
_BLOCK = 8


def numbered_frame(number: int, height: int = 48, width: int = 96) -> torch.Tensor:
    """A frame (3 h w) of moving stripes whose first rows show the number in black and white."""
    columns = (torch.arange(width) * 4 + number * 7) % 120 + 60
    frame = columns.to(torch.uint8).expand(3, height, width).clone()
    for bit in range(_BITS):
        frame[:, :_BLOCK, bit * _BLOCK : (bit + 1) * _BLOCK] = 255 * (number >> bit & 1)
    return frame


def numbered_frames(count: int, height: int = 48, width: int = 96) -> torch.Tensor:
    """Frames 0 to count - 1, (t 3 h w)."""
    return torch.stack([numbered_frame(number, height, width) for number in range(count)])


def number_of(frame: torch.Tensor) -> int:
    """The number that a frame shows, read from the middles of its blocks."""
    middle = _BLOCK // 2
    levels = frame[:, middle, middle : _BITS * _BLOCK : _BLOCK].float().mean(0)
    return sum(1 << bit for bit, level in enumerate(levels.tolist()) if level > 127)


def numbers_of(frames) -> list[int]:
    """The numbers that frames show, in order."""
    return [number_of(frame) for frame in frames]
