"""Tensors that may be sharded over ranks: the part held here, and the whole.

``torch.distributed.tensor`` is imported by who shards a model, and here only where it was: it
brings sympy and dynamo, seconds of processor time that inference has no use for.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeGuard

from torch import Tensor

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def is_sharded(tensor: Tensor) -> TypeGuard[DTensor]:
    """Whether a tensor is a ``DTensor``."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def local(tensor: Tensor) -> Tensor:
    """The part of a sharded tensor that this rank holds, sharing its memory; others as they are."""
    return tensor.to_local() if is_sharded(tensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """The full value of a sharded tensor (every rank must call); any other tensor as it is."""
    return tensor.full_tensor() if is_sharded(tensor) else tensor


def held_rows(tensor: Tensor) -> tuple[int, int]:
    """The range of rows that this rank holds: shards are consecutive, as even as can be."""
    rows = tensor.shape[0]
    if not is_sharded(tensor):
        return 0, rows
    mesh = tensor.device_mesh
    share = -(-rows // mesh.size())
    first = min(mesh.get_local_rank() * share, rows)
    return first, min(first + share, rows)
