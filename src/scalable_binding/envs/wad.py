"""Rooms and objects for ViZDoom, written as a WAD: no editor, no node builder, no one else's art.

A WAD is a list of named lumps. Ours has actors (``DECORATE``), their pictures (PNG), and for each
room a text that describes it (``TEXTMAP``, in the Universal Doom Map Format); ZDoom does the rest.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor

from scalable_binding.envs import sprites
from scalable_binding.envs.layouts import SIDE

Place = tuple[float, float]
Lump = tuple[str, bytes]

OBJECT_SIZE = 72
_RADIUS = 24
_FIRST_ACTOR = 20_000
_HEIGHT = 128
_WALLS = ("BRICK7", "STONE3", "METAL1", "WOOD1")
_FLOOR, _CEILING = "FLOOR0_1", "CEIL1_1"


def write(
    places: Float[np.ndarray, "rooms j 2"], kinds: Int[np.ndarray, "rooms j"], start: Place
) -> bytes:
    """A WAD with square rooms that have (0, 0) as a corner; see :func:`map_name`.

    Args:
        places: x, y of the objects of every room.
        kinds: the number of each object's sprite.
        start: where the player begins, looking down.
    """
    lumps: list[Lump] = [("DECORATE", _actors().encode()), ("S_START", b"")]
    lumps += [(f"{_sprite(kind)}A0", _picture(kind)) for kind in range(sprites.NUM_KINDS)]
    lumps.append(("S_END", b""))
    for number, (there, what) in enumerate(zip(places, kinds, strict=True)):
        objects = [((x, y), kind) for (x, y), kind in zip(there.tolist(), what, strict=True)]
        text = _room(objects, start)
        lumps += [(map_name(number), b""), ("TEXTMAP", text.encode()), ("ENDMAP", b"")]
    return _pack(lumps)


def map_name(number: int) -> str:
    """What the room of a number is called."""
    return f"ROOM{number:04d}"


def _pack(lumps: Iterable[Lump]) -> bytes:
    body, directory, offset, count = [], [], 12, 0
    for name, data in lumps:
        directory.append(struct.pack("<ii8s", offset, len(data), name.encode()))
        body.append(data)
        offset += len(data)
        count += 1
    return struct.pack("<4sii", b"PWAD", count, offset) + b"".join(body + directory)


def _sprite(kind: int) -> str:
    return f"OB{kind:02d}"


def _actors() -> str:
    """Solid things that stand still; the parser wants every state on a line of its own."""
    scale = OBJECT_SIZE / sprites.SIDE
    return "\n".join(
        f"actor Object{kind} {_FIRST_ACTOR + kind}\n{{\n"
        f"Radius {_RADIUS}\nHeight {OBJECT_SIZE}\nScale {scale}\n+SOLID\n"
        f"States\n{{\nSpawn:\n{_sprite(kind)} A -1 Bright\nstop\n}}\n}}"
        for kind in range(sprites.NUM_KINDS)
    )


def _picture(kind: int) -> bytes:
    """A PNG that stands with the middle of its lower edge on the actor's place."""
    pixels: UInt8[Tensor, "4 h w"] = sprites.render(kind)
    file = io.BytesIO()
    Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy(), "RGBA").save(file, "PNG")
    png = file.getvalue()
    grab = b"grAb" + struct.pack(">ii", sprites.SIDE // 2, sprites.SIDE)
    chunk = struct.pack(">I", 8) + grab + struct.pack(">I", zlib.crc32(grab))
    after_header = 8 + 25
    return png[:after_header] + chunk + png[after_header:]


def _room(objects: Sequence[tuple[Place, int | np.integer[Any]]], start: Place) -> str:
    corners = [(0, 0), (0, SIDE), (SIDE, SIDE), (SIDE, 0)]
    parts = ['namespace = "zdoom";', _thing(start, 1, 270)]
    parts += [_thing(place, _FIRST_ACTOR + kind, 0) for place, kind in objects]
    parts += [f"vertex {{ x = {x}; y = {y}; }}" for x, y in corners]
    for number, texture in enumerate(_WALLS):
        parts.append(
            f"linedef {{ v1 = {number}; v2 = {(number + 1) % 4}; sidefront = {number}; "
            "blocking = true; }"
        )
        parts.append(f'sidedef {{ sector = 0; texturemiddle = "{texture}"; }}')
    parts.append(
        f'sector {{ texturefloor = "{_FLOOR}"; textureceiling = "{_CEILING}"; '
        f"heightceiling = {_HEIGHT}; lightlevel = 208; }}"
    )
    return "\n".join(parts)


def _thing(place: Place, kind: int | np.integer[Any], angle: int) -> str:
    where = f"x = {place[0]:.3f}; y = {place[1]:.3f}; angle = {angle}; type = {kind};"
    when = " ".join(f"skill{level} = true;" for level in range(1, 6))
    return f"thing {{ {where} {when} single = true; coop = true; dm = true; }}"
