"""Device choice: the one place where a name such as "auto" or "cuda:1" becomes a device."""

from __future__ import annotations

import os

import torch

from scalable_binding.errors import UserError


def choose_device(name: str) -> torch.device:
    """The device that ``name`` stands for, tried out.

    Args:
        name: "auto" (CUDA where there is some, else the CPU), or torch's name of a device; "cuda"
            is the one that ``torchrun`` gave to this process.

    Raises:
        UserError: there is no such device, or it holds no values ("meta").
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    try:
        device = torch.device(f"cuda:{local_rank}" if name == "cuda" else name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device {name!r} cannot be used: {reason}") from error
    if device.type == "meta":
        raise UserError("device", expected="one that holds values, such as cpu or cuda", got="meta")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device
