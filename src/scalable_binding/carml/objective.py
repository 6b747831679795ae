"""The loss of the M-step: proximal policy optimization of a recurrent policy over whole trials."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Generator, Tensor, nn

from scalable_binding.carml.config import PPOConfig
from scalable_binding.carml.gae import gae
from scalable_binding.carml.model import Policy
from scalable_binding.carml.rollout import Trials, previous
from scalable_binding.engine.distributed import DistributedContext

EPS = 1e-6


def loss(
    model: nn.Module, batch: Mapping[str, Tensor], generator: Generator, config: PPOConfig
) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
    """The clipped surrogate, with the errors of values and a bonus for entropy.

        L = mean_t [ -min(rho_t A_t, clip(rho_t, 1 - eps, 1 + eps) A_t)
                     + c_v (V_t - R_t)^2 / 2 - c_e H(pi_t) ],  rho_t = pi(a_t) / pi_old(a_t)

    The policy is run over whole trials from its initial state, so that gradients pass through
    time and across the episodes.

    Args:
        model: a :class:`~scalable_binding.carml.model.Policy`.
        batch: of :func:`batch_of`, some of its trials.
        generator: nothing is random here.
        config: eps, c_v and c_e.

    Source: Schulman et al., Proximal Policy Optimization Algorithms, 2017; Thesis 4.7.2.
    """
    assert isinstance(model, Policy)
    observations, actions, active = batch["observations"], batch["actions"], batch["active"]
    found = model(
        observations,
        batch["previous_actions"],
        batch["previous_rewards"],
        batch["previous_dones"],
        model.initial_state(len(observations)),
    )
    weight = active.float() / active.float().sum().clamp(min=1)
    log_ratio = model.actions.log_prob(found.parameters, actions) - batch["log_probs"]
    ratio = log_ratio.exp()
    advantages = batch["advantages"]
    surrogate = torch.minimum(
        ratio * advantages, ratio.clamp(1 - config.clip, 1 + config.clip) * advantages
    )
    policy = -(weight * surrogate).sum()
    value = (weight * _value_errors(found.values, batch, config)).sum() / 2
    entropy = (weight * model.actions.entropy(found.parameters)).sum()
    total = policy + config.value_weight * value - config.entropy_weight * entropy
    clipped = ((ratio - 1).abs() > config.clip).float()
    metrics = {
        "loss_policy": policy,
        "loss_value": value,
        "entropy": entropy,
        "kl": (weight * (ratio - 1 - log_ratio)).sum(),
        "clipped": (weight * clipped).sum(),
    }
    return total, {name: figure.detach() for name, figure in metrics.items()}


def _value_errors(
    values: Float[Tensor, "b t"], batch: Mapping[str, Tensor], config: PPOConfig
) -> Float[Tensor, "b t"]:
    errors = (values - batch["returns"]).square()
    if config.value_clip is None:
        return errors
    old = batch["values"]
    near = old + (values - old).clamp(-config.value_clip, config.value_clip)
    return torch.maximum(errors, (near - batch["returns"]).square())


def batch_of(trials: Trials, config: PPOConfig, ranks: DistributedContext) -> dict[str, Tensor]:
    """What :func:`loss` needs of trials, episodes in a row: tensors (e s ...) with s steps.

    Rewards are scaled for the returns only; the agent sees them as they are. Advantages are
    whitened over the trials of all ranks.
    """
    flat = {
        name: rearrange(getattr(trials, name), "e n t ... -> e (n t) ...")
        for name in ("observations", "actions", "log_probs", "values", "active")
    }
    rewards = rearrange(trials.rewards, "e n t -> e (n t)")
    advantages, returns = gae(
        config.reward_scale * rewards,
        flat["values"],
        flat["active"],
        discount=config.discount,
        gae_lambda=config.gae_lambda,
    )
    if config.normalize:
        advantages = _whiten(advantages, flat["active"], ranks)
    actions, gained, dones = previous(trials)
    return flat | {
        "advantages": advantages,
        "returns": returns,
        "previous_actions": actions,
        "previous_rewards": gained,
        "previous_dones": dones,
    }


def _whiten(values: Tensor, active: Tensor, ranks: DistributedContext) -> Tensor:
    chosen = values[active]
    count = torch.tensor(float(len(chosen)))
    sums = torch.stack([count, chosen.sum(), chosen.square().sum()])
    count, first, second = ranks.mean(sums.to(ranks.device)).to(values.device)
    mean = first / count
    deviation = (second / count - mean.square()).clamp(min=0).sqrt()
    return torch.where(active, (values - mean) / (deviation + EPS), 0)
