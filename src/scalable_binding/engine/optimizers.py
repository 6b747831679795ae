"""Optimizers over parameter groups, and their state as named tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

from scalable_binding.engine.adaptive import AdaptiveOptimizer
from scalable_binding.engine.fit_config import OptimizerConfig
from scalable_binding.engine.lamb import Lamb
from scalable_binding.engine.muon import Muon

MOMENTS = ("exp_avg", "exp_avg_sq")


def build(model: nn.Module, config: OptimizerConfig) -> Optimizer:
    """The optimizer of the model's parameters, its state allocated and zero.

    Parameters with fewer than two dimensions form a group without decay and without LAMB's
    or Muon's adaptation. A module whose weight stacks several matrices along its first dimension
    says so with an attribute ``fused_slices``, which maps the parameter's name inside that module
    to the number of matrices (``self.fused_slices = {"qkv.weight": 3}``); LAMB and Muon then adapt
    to each by itself.
    """
    optimizer = _construct(_groups(model, config), config)
    if isinstance(optimizer, AdaptiveOptimizer):
        optimizer.allocate()
        return optimizer
    for _, parameter in _trained(model):
        # As the optimizers themselves would at their first step: from here on, the tensors that
        # a checkpoint holds exist before, at and after any step.
        state = optimizer.state[parameter]
        state["step"] = torch.zeros((), device=parameter.device)
        for moment in MOMENTS:
            state[moment] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
    return optimizer


def state_tensors(optimizer: Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """The optimizer's state: live tensors (not copies) named ``<parameter>.<kind>``."""
    return {
        f"{name}.{kind}": tensor
        for name, parameter in _trained(model)
        for kind, tensor in optimizer.state[parameter].items()
    }


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Let the next update of every parameter use this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def _construct(groups: list[dict[str, Any]], config: OptimizerConfig) -> Optimizer:
    if config.name in ("lamb", "muon"):
        adaptive = Lamb if config.name == "lamb" else Muon
        return adaptive(groups, lr=config.lr, betas=config.betas, eps=config.eps)
    plain = [{k: v for k, v in g.items() if k not in ("adapt", "slices")} for g in groups]
    kind = Adam if config.name == "adam" else AdamW
    return kind(plain, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)


def _groups(model: nn.Module, config: OptimizerConfig) -> list[dict[str, Any]]:
    """Parameter groups: matrices and kernels first, then what is neither decayed nor adapted."""
    slices = _fused_slices(model)
    matrices = [(name, p) for name, p in _trained(model) if p.ndim >= 2]
    vectors = [p for _, p in _trained(model) if p.ndim < 2]
    groups: list[dict[str, Any]] = [
        {
            "params": [p for _, p in matrices],
            "weight_decay": config.weight_decay,
            "adapt": True,
            "slices": [slices.get(name, 1) for name, _ in matrices],
        },
        {"params": vectors, "weight_decay": 0.0, "adapt": False, "slices": [1] * len(vectors)},
    ]
    return [group for group in groups if group["params"]]


def _trained(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, p) for name, p in model.named_parameters() if p.requires_grad)


def _fused_slices(model: nn.Module) -> dict[str, int]:
    """Number of stacked matrices by full parameter name, as the modules declare it."""
    found = {}
    for prefix, module in model.named_modules():
        declared = getattr(module, "fused_slices", {})
        if isinstance(module, nn.MultiheadAttention):
            declared = {"in_proj_weight": 3, **declared}
        for name, slices in declared.items():
            found[f"{prefix}.{name}" if prefix else name] = slices
    return found
