"""Feature networks for Frechet distances: Inception-v3, I3D, or a small one that ships."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from scalable_binding import files
from scalable_binding import weights as registry
from scalable_binding.checksums import verify_file
from scalable_binding.engine.checkpoint import WEIGHTS, load_tensors, read_tensors
from scalable_binding.errors import UserError
from scalable_binding.metrics.i3d import I3D
from scalable_binding.metrics.inception_v3 import InceptionV3
from scalable_binding.metrics.networks import (
    Extracted,
    ImageClassifier,
    MotionClassifier,
    fingerprint,
)

CARD = "card.json"
SHIPPED = registry.ROOT
NAMES = registry.SHIPPED["features"]
"""The feature networks that ship, and their folders among the package's weights."""

MAX_CARD_BYTES = 1 << 20
STANDARD_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of the file of the FID port's weights, ``pt_inception-2015-12-05-6726825d.pth``."""

_STANDARD = "the standard Inception-v3 of the FID port"
_UNKNOWN = "Inception-v3 with weights of another checksum than the standard ones"
_I3D = "I3D; comparable with scores of the same file alone, since no checksum of it is published"


@dataclass(frozen=True, kw_only=True)
class Features:
    """A feature network with what has to be said of every score that comes from it.

    Attributes:
        network: in evaluation mode.
        name: of the weights.
        note: whether scores can be compared with published ones, and why not.
        is_standard: whether it is the field's standard one, down to the weights.
    """

    network: ImageClassifier | MotionClassifier | InceptionV3 | I3D
    name: str
    note: str
    is_standard: bool

    @property
    def width(self) -> int:
        """The length of a feature vector."""
        return self.network.width

    @property
    def fingerprint(self) -> str:
        """What tells networks apart that give different features."""
        return fingerprint(self.network)

    @torch.inference_mode()
    def __call__(self, samples: UInt8[Tensor, "b c *size"]) -> Extracted:
        """Features and logits of samples, whose one channel becomes three if need be."""
        if self.network.channels == 3 and samples.shape[1] == 1:
            samples = samples.expand(-1, 3, *samples.shape[2:])
        place = next(self.network.parameters()).device
        return self.network(samples.to(place))


def choose(
    name: str | Path | None,
    size: tuple[int, ...],
    channels: int,
    *,
    device: torch.device | str = "cpu",
) -> Features | None:
    """The feature network for samples of a size, or None if none is named and none that ships fits.

    Args:
        name: "digits", "moving-digits", a folder that ``benchmarks/features/train.py`` wrote, a
            file with the weights of the FID port's Inception-v3 or of I3D, or None for one that
            ships.
        size: sides of a sample; three of a video.
        channels: of a sample.
        device: where it is to run.

    Raises:
        UserError: no such network, weights that cannot be read or are code, or a network of
            another kind of samples.
    """
    if name is None:
        if channels == 1 and size == (8, 8):
            name = "digits"
        elif channels == 1 and len(size) == 3:
            name = "moving-digits"
        else:
            return None
    found = load(name)
    of_video = isinstance(found.network, MotionClassifier | I3D)
    if of_video != (len(size) == 3) or channels not in (1, found.network.channels):
        takes = "videos" if of_video else "images"
        raise UserError(
            f"feature network {found.name} is for {takes} of {found.network.channels} channels",
            got=f"{channels} channels of {' x '.join(map(str, size))}",
            fix="give another one with --features",
        )
    found.network.to(device)
    return found


def load(name: str | Path) -> Features:
    """A feature network in evaluation mode; see :func:`choose`.

    Raises:
        UserError: as :func:`choose`.
    """
    path = SHIPPED / NAMES[str(name)] if str(name) in NAMES else registry.find("features", name)
    if path.is_dir():
        return _load_own(path)
    tensors = read_tensors(path)
    if I3D.is_named(tensors):
        return _load_port(I3D(), tensors, path, note=_I3D, is_standard=False)
    with path.open("rb") as file:
        is_standard = hashlib.file_digest(file, "sha256").hexdigest() == STANDARD_SHA256
    note = _STANDARD if is_standard else _UNKNOWN
    return _load_port(InceptionV3(), tensors, path, note=note, is_standard=is_standard)


def _load_port(
    network: InceptionV3 | I3D,
    tensors: dict[str, Tensor],
    path: Path,
    *,
    note: str,
    is_standard: bool,
) -> Features:
    load_tensors(network, network.translate(tensors), path)
    return Features(network=network.eval(), name=path.name, note=note, is_standard=is_standard)


def _load_own(folder: Path) -> Features:
    card = _read_card(folder / CARD)
    kinds: dict[str, type[nn.Module]] = {
        "images": ImageClassifier,
        "moving digits": MotionClassifier,
    }
    if card.get("kind") not in kinds:
        raise UserError(
            f"{folder / CARD}: kind", expected=" or ".join(kinds), got=repr(card.get("kind"))
        )
    try:
        network = kinds[card["kind"]](**card["arguments"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{folder / CARD} does not describe a network ({error})") from error
    load_tensors(network, read_tensors(folder / WEIGHTS), folder / WEIGHTS)
    assert isinstance(network, ImageClassifier | MotionClassifier)
    return Features(
        network=network.eval(),
        name=str(card.get("name", folder.name)),
        note=str(card.get("note", "not the standard Inception or I3D")),
        is_standard=False,
    )


def _read_card(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"feature network {path.parent}", expected=f"a {CARD} in it", got="none")
    verify_file(path)
    card = files.read_json(path, MAX_CARD_BYTES)
    if not isinstance(card, dict):
        raise UserError(f"{path}", expected="a JSON object", got=type(card).__name__)
    return card
