"""Weights that a run begins with."""

from __future__ import annotations

from pathlib import Path

from scalable_binding.carml import states
from scalable_binding.carml.methods_config import StartConfig
from scalable_binding.carml.model import Policy
from scalable_binding.engine import checkpoint
from scalable_binding.errors import UserError


def begin_from(policy: Policy, config: StartConfig) -> None:
    """Give a fresh policy the weights that a run begins with, all of them or its encoder's.

    Raises:
        UserError: weights that cannot be read, or are of another architecture.

    Source: Thesis 4.5.4.
    """
    if config.weights is None:
        return
    path = Path(config.weights)
    if config.part == "policy":
        checkpoint.load_model(policy, path)
        return
    file = path / checkpoint.WEIGHTS if path.is_dir() else path
    own = states.part(checkpoint.read_tensors(file), "encoder")
    if not own:
        fix = "start from the whole policy"
        raise UserError(f"{file}", expected="weights of an encoder", got="none", fix=fix)
    checkpoint.load_tensors(policy.encoder, own, file)
