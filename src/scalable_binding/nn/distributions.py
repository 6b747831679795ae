"""Action distributions of policies: categorical, or Gaussian with a learned diagonal."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int64
from torch import Generator, Tensor, nn
from torch.nn import functional

NONE = -1
"""The choice before the first one."""


class Categorical(nn.Module):
    """Categorical distribution over actions; its parameters are logits.

    Args:
        num: of actions.
    """

    def __init__(self, num: int) -> None:
        super().__init__()
        self.num = num
        self.num_parameters = num
        self.width = num

    def initial_actions(self, num: int) -> Int64[Tensor, " b"]:
        """What stands for the actions before the first ones."""
        return torch.full((num,), NONE)

    def embed(self, actions: Int64[Tensor, "*b"]) -> Float[Tensor, "*b a"]:
        """One-hot vectors; all zeros where there was no action yet."""
        return functional.one_hot(actions + 1, self.num + 1)[..., 1:].float()

    def sample(
        self, parameters: Float[Tensor, "*b p"], generator: Generator | None
    ) -> Int64[Tensor, "*b"]:
        """Random actions, or the likeliest ones without a generator."""
        if generator is None:
            return parameters.argmax(-1)
        # Gumbel's trick: two kernels where a multinomial draw needs many.
        uniform = torch.rand(parameters.shape, generator=generator, device=parameters.device)
        return (parameters - (-uniform.clamp(min=1e-20).log()).log()).argmax(-1)

    def log_prob(
        self, parameters: Float[Tensor, "*b p"], actions: Int64[Tensor, "*b"]
    ) -> Float[Tensor, "*b"]:
        """Log pi(a)."""
        return parameters.log_softmax(-1).gather(-1, actions[..., None])[..., 0]

    def entropy(self, parameters: Float[Tensor, "*b p"]) -> Float[Tensor, "*b"]:
        """Entropy in nats."""
        log_probs = parameters.log_softmax(-1)
        return -(log_probs.exp() * log_probs).sum(-1)


class DiagonalGaussian(nn.Module):
    """Gaussian distribution with a diagonal covariance; its parameters are means.

    Standard deviations are learned parameters of their own.

    The environment clips actions to what it can do; probabilities are those before clipping.

    Args:
        width: of an action.
        std: at the start.
    """

    def __init__(self, width: int, std: float = 0.6) -> None:
        super().__init__()
        self.width = width
        self.num_parameters = width
        self.std = std
        self.log_std = nn.Parameter(torch.full((width,), math.log(std)))

    def reset_std(self) -> None:
        """Make the deviations those of the start."""
        nn.init.constant_(self.log_std, math.log(self.std))

    def initial_actions(self, num: int) -> Float[Tensor, "b a"]:
        """What stands for the actions before the first ones."""
        return torch.zeros(num, self.width)

    def embed(self, actions: Float[Tensor, "*b a"]) -> Float[Tensor, "*b a"]:
        """The actions themselves, as far as the environment does them."""
        return actions.clamp(-1, 1)

    def sample(
        self, parameters: Float[Tensor, "*b a"], generator: Generator | None
    ) -> Float[Tensor, "*b a"]:
        """Random actions, or the means without a generator."""
        if generator is None:
            return parameters
        noise = torch.randn(parameters.shape, generator=generator, device=parameters.device)
        return parameters + self.log_std.exp() * noise

    def log_prob(
        self, parameters: Float[Tensor, "*b a"], actions: Float[Tensor, "*b a"]
    ) -> Float[Tensor, "*b"]:
        """Log pi(a)."""
        scaled = (actions - parameters) * (-self.log_std).exp()
        constant = self.log_std.sum() + 0.5 * self.width * math.log(2 * math.pi)
        return -0.5 * scaled.square().sum(-1) - constant

    def entropy(self, parameters: Float[Tensor, "*b a"]) -> Float[Tensor, "*b"]:
        """Entropy in nats."""
        each = self.log_std.sum() + 0.5 * self.width * (1 + math.log(2 * math.pi))
        return each.expand(parameters.shape[:-1])
