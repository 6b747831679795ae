"""Tensors that may be sharded over ranks: the part held here, and the whole."""

from __future__ import annotations

from torch import Tensor
from torch.distributed.tensor import DTensor


def local(tensor: Tensor) -> Tensor:
    """The part of a sharded tensor that this rank holds, sharing its memory; others as they are."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """The full value of a sharded tensor (every rank must call); any other tensor as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def held_rows(tensor: Tensor) -> tuple[int, int]:
    """The range of rows that this rank holds: shards are consecutive, as even as can be."""
    rows = tensor.shape[0]
    if not isinstance(tensor, DTensor):
        return 0, rows
    mesh = tensor.device_mesh
    share = -(-rows // mesh.size())
    first = min(mesh.get_local_rank() * share, rows)
    return first, min(first + share, rows)
