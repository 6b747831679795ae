"""Registry of the trained models that ship with the package, and of the Hugging Face hub.

Every system's ``load(name_or_path)`` asks :func:`find` for the folder. A name of this registry
wins over a path; ``hf://user/model`` is downloaded from the hub, data files only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scalable_binding import files
from scalable_binding.errors import UserError

ROOT = Path(__file__).parent
HUB = "hf://"
CARD = "card.json"

SHIPPED: dict[str, dict[str, str]] = {
    "crw": {"shipped": "crw"},
    "flow": {"shipped": "flow"},
    "permanence": {"shipped": "permanence"},
    "rin": {"digits": "rin-digits", "moving-digits": "rin-moving-digits"},
    "features": {"digits": "features-digits", "moving-digits": "features-moving-digits"},
    "carml": {"maze": "carml-maze", "room": "carml-room"},
}
"""Folders under ``weights/`` by system and by the name that ``load`` takes."""

_PATTERNS = [
    *("*.json", "*.safetensors", "SHA256SUMS"),
    *("rounds/*.safetensors", "oracle/*.json", "oracle/*.safetensors", "oracle/SHA256SUMS"),
]


def folder(system: str, name: str = "shipped") -> Path:
    """The folder of a model that ships; this installation may lack it."""
    return ROOT / SHIPPED[system][name]


def names(system: str) -> list[str]:
    """The names of the system's models that this installation holds."""
    return [name for name in SHIPPED[system] if folder(system, name).is_dir()]


def find(system: str, name_or_path: str | Path) -> Path:
    """The file or folder that a user names: a model that ships, one of the hub, or a path.

    Raises:
        UserError: the model is not in this installation, or cannot be downloaded.
    """
    name = str(name_or_path)
    if name in SHIPPED[system]:
        found = folder(system, name)
        if not found.is_dir():
            fix = "give a run's folder"
            raise UserError(f"this installation holds no {system} model {name!r}", fix=fix)
        return found
    if name.startswith(HUB):
        return _download(name.removeprefix(HUB))
    return Path(name_or_path)


def card(path: Path) -> dict[str, Any]:
    """What a model's ``card.json`` says: data, command, score, license; empty without one.

    Raises:
        UserError: it cannot be read.
    """
    file = path / CARD
    if not file.is_file():
        return {}
    try:
        return dict(files.read_json(file))
    except (ValueError, TypeError) as error:
        raise UserError(f"{file} cannot be read ({error})") from error


def _download(repository: str) -> Path:
    """The local copy of a hub repository: settings and safetensors, never code or pickles."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, allow_patterns=_PATTERNS))
    except Exception as error:
        # The hub's client raises its own errors, those of HTTP libraries and plain OSErrors.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        fix = "check the name (hf://user/model) and the connection"
        raise UserError(f"cannot get {HUB}{repository}: {reason}", fix=fix) from error
