"""States made of the states of parts, as dicts of tensors with dots in their names."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def join(parts: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of all parts, each under ``part.name``."""
    return {f"{part}.{name}": t for part, tensors in parts.items() for name, t in tensors.items()}


def part(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors of one part by their own names; none where there is no such part."""
    prefix = f"{name}."
    return {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
