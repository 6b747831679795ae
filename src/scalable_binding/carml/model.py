"""The agent: a recurrent policy that learns within a trial, by what it keeps in its state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from einops import rearrange
from gymnasium import spaces
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Bool, Float, Shaped
from torch import Generator, Tensor, nn

from scalable_binding.errors import UserError
from scalable_binding.nn.distributions import Categorical, DiagonalGaussian

Recurrence = Literal["gru", "lstm"]

ARGUMENTS = (
    "observation",
    "actions",
    "continuous",
    "channels",
    "kernels",
    "strides",
    "widths",
    "recurrence",
    "hidden",
    "head",
)
"""Of :class:`Policy`, as ``config.json`` names them."""


RECURRENT = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
"""Parameters of torch's recurrent layers, in the order of its cells."""


class Decisions(NamedTuple):
    """What the policy makes of a sequence.

    ``parameters`` are those of the distribution over actions, ``values`` the discounted rewards
    expected from here to the end of the trial, ``state`` goes into the next call.
    """

    parameters: Float[Tensor, "b t p"]
    values: Float[Tensor, "b t"]
    state: Float[Tensor, "b s"]


class Act(NamedTuple):
    """One step: the chosen actions, their log-probabilities, values, and the state after it."""

    actions: Shaped[Tensor, "b *a"]
    log_probs: Float[Tensor, " b"]
    values: Float[Tensor, " b"]
    state: Float[Tensor, "b s"]


class Policy(nn.Module, PyTorchModelHubMixin, library_name="scalable-binding"):
    """RL^2: what the agent saw, did and got goes into a recurrent network, a decision comes out.

        h_t = RNN([encode(s_t), a_{t-1}, r_{t-1}, d_{t-1}], h_{t-1})
        pi(a_t) = head_a(h_t),  V_t = head_v(h_t)

    h lives on over the episodes of a trial, whose task stays the same; a new trial starts from
    zeros. With an LSTM, the state holds its output and its cell side by side.

    Args:
        observation: shape of an observation, (c h w) of uint8 pixels or (d) of a float32 state.
        actions: how many there are to choose from, or the width of a continuous one.
        continuous: whether actions are vectors.
        channels, kernels, strides: of the convolutions, if observations are pixels.
        widths: of the layers that encode observations (after the convolutions); none: they go
            into the recurrent network as they are.
        recurrence: "gru" or "lstm".
        hidden: width of the recurrent network.
        head: hidden units of each of the two heads.

    Source: Thesis 4.7.2; Duan et al., RL^2, 2016.
    """

    def __init__(
        self,
        *,
        observation: Sequence[int],
        actions: int,
        continuous: bool = False,
        channels: Sequence[int] = (16, 16),
        kernels: Sequence[int] = (5, 5),
        strides: Sequence[int] = (1, 2),
        widths: Sequence[int] = (256,),
        recurrence: Recurrence = "gru",
        hidden: int = 512,
        head: int = 256,
    ) -> None:
        super().__init__()
        # The hub hands lists back for tuples.
        self.observation = tuple(observation)
        self.continuous = continuous
        self.channels, self.kernels = tuple(channels), tuple(kernels)
        self.strides, self.widths = tuple(strides), tuple(widths)
        self.recurrence, self.hidden, self.head = recurrence, hidden, head
        self.actions = DiagonalGaussian(actions) if continuous else Categorical(actions)
        self.encoder, width = self._build_encoder()
        kind = nn.GRU if recurrence == "gru" else nn.LSTM
        self.rnn = kind(width + self.actions.width + 2, hidden, batch_first=True)
        self.actor = _head(hidden, head, self.actions.num_parameters, gain=0.01)
        self.critic = _head(hidden, head, 1, gain=1.0)
        for name, weight in self.rnn.named_parameters():
            nn.init.zeros_(weight) if "bias" in name else nn.init.orthogonal_(weight)

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return next(self.parameters()).device

    @property
    def is_pixels(self) -> bool:
        """Whether the agent sees images."""
        return len(self.observation) == 3

    def initial_state(self, num: int) -> Float[Tensor, "b s"]:
        """The state at the start of ``num`` trials: zeros."""
        width = self.hidden * (2 if self.recurrence == "lstm" else 1)
        return torch.zeros(num, width, device=self.device)

    def forward(
        self,
        observations: Shaped[Tensor, "b t *obs"],
        previous_actions: Shaped[Tensor, "b t *a"],
        previous_rewards: Float[Tensor, "b t"],
        previous_dones: Bool[Tensor, "b t"],
        state: Float[Tensor, "b s"],
    ) -> Decisions:
        """The decisions along sequences of any length that go on from ``state``.

        Args:
            observations: uint8 pixels or float32 states.
            previous_actions, previous_rewards: what led to them.
            previous_dones: whether the step before was its episode's last.
            state: from :meth:`initial_state` or from the call before.
        """
        b = observations.shape[0]
        features = self.encode(rearrange(observations, "b t ... -> (b t) ..."))
        inputs = self._join(
            rearrange(features, "(b t) d -> b t d", b=b),
            previous_actions,
            previous_rewards,
            previous_dones,
        )
        outputs, last = self._run(inputs, state)
        return Decisions(self.actor(outputs), self.critic(outputs)[..., 0], last)

    @torch.no_grad()
    def act(
        self,
        observation: Shaped[Tensor, "b *obs"],
        previous_action: Shaped[Tensor, "b *a"],
        previous_reward: Float[Tensor, " b"],
        previous_done: Bool[Tensor, " b"],
        state: Float[Tensor, "b s"],
        generator: Generator | None,
    ) -> Act:
        """One step of every trial, without gradients; the likeliest action without a generator."""
        features = self.encode(observation)
        inputs = self._join(features, previous_action, previous_reward, previous_done)
        output, state = self._advance(inputs, state)
        parameters, values = self.actor(output), self.critic(output)[..., 0]
        actions = self.actions.sample(parameters, generator)
        return Act(actions, self.actions.log_prob(parameters, actions), values, state)

    def encode(self, observations: Shaped[Tensor, "n *obs"]) -> Float[Tensor, "n d"]:
        """The features of observations, each by itself."""
        inputs = observations.float()
        return self.encoder(inputs / 255 if self.is_pixels else inputs)

    def _join(
        self, features: Tensor, actions: Tensor, rewards: Tensor, dones: Tensor
    ) -> Float[Tensor, "*b d"]:
        extras = torch.stack([rewards, dones.to(rewards)], dim=-1)
        return torch.cat([features, self.actions.embed(actions), extras], dim=-1)

    def _run(
        self, inputs: Float[Tensor, "b t d"], state: Float[Tensor, "b s"]
    ) -> tuple[Float[Tensor, "b t h"], Float[Tensor, "b s"]]:
        """The recurrent network over a sequence."""
        before = state[None].contiguous()
        if self.recurrence == "gru":
            outputs, last = self.rnn(inputs, before)
            return outputs, last[0]
        output, cell = (part.contiguous() for part in before.chunk(2, dim=-1))
        outputs, (output, cell) = self.rnn(inputs, (output, cell))
        return outputs, torch.cat([output, cell], dim=-1)[0]

    def _advance(
        self, inputs: Float[Tensor, "b d"], state: Float[Tensor, "b s"]
    ) -> tuple[Float[Tensor, "b h"], Float[Tensor, "b s"]]:
        """The recurrent network over one step; much cheaper than a sequence of length 1."""
        weights = [self.rnn.get_parameter(name) for name in RECURRENT]
        if self.recurrence == "gru":
            output = torch.gru_cell(inputs, state, weights[0], weights[1], *weights[2:])
            return output, output
        output, cell = torch.lstm_cell(
            inputs, state.chunk(2, dim=-1), weights[0], weights[1], *weights[2:]
        )
        return output, torch.cat([output, cell], dim=-1)

    def _build_encoder(self) -> tuple[nn.Module, int]:
        layers: list[nn.Module] = []
        width = math.prod(self.observation)
        if self.is_pixels:
            settings = (self.channels, self.kernels, self.strides)
            layers = [*_convolutions(self.observation[0], *settings), nn.Flatten()]
            width = _flattened(self.observation, *settings)
        for wide in self.widths:
            layers += [_linear(width, wide, gain=math.sqrt(2)), nn.ReLU()]
            width = wide
        return nn.Sequential(*layers), width


def init_policy(seed: int, **arguments: Any) -> Policy:
    """A fresh policy with weights drawn from ``seed``; the global generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Policy(**arguments)


def arguments(policy: Policy) -> dict[str, Any]:
    """What a :class:`Policy` was built with, in plain values for a ``config.json``."""
    values = {name: getattr(policy, name) for name in ARGUMENTS if name != "actions"}
    values["actions"] = policy.actions.width
    return {n: list(v) if isinstance(v, tuple) else v for n, v in values.items()}


def spaces_to_arguments(observation: spaces.Space, action: spaces.Space) -> dict[str, Any]:
    """The arguments of a :class:`Policy` that an environment's spaces decide.

    Raises:
        UserError: observations are neither uint8 pixels (c h w) nor a state (d), or actions are
            neither discrete nor vectors.
    """
    if not isinstance(observation, spaces.Box) or len(observation.shape) not in (1, 3):
        expected = "a Box of pixels (3 h w) or of numbers (d)"
        raise UserError("observation space", expected=expected, got=str(observation))
    shape = tuple(observation.shape)
    if isinstance(action, spaces.Discrete):
        return {"observation": shape, "actions": int(action.n), "continuous": False}
    if isinstance(action, spaces.Box) and len(action.shape) == 1:
        return {"observation": shape, "actions": action.shape[0], "continuous": True}
    raise UserError("action space", expected="Discrete, or a Box of numbers (d)", got=str(action))


def _convolutions(
    width: int, channels: Sequence[int], kernels: Sequence[int], strides: Sequence[int]
) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for wide, kernel, stride in zip(channels, kernels, strides, strict=True):
        layer = nn.Conv2d(width, wide, kernel, stride)
        nn.init.orthogonal_(layer.weight, math.sqrt(2))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
        layers += [layer, nn.ReLU()]
        width = wide
    return layers


def _flattened(
    observation: Sequence[int],
    channels: Sequence[int],
    kernels: Sequence[int],
    strides: Sequence[int],
) -> int:
    """Numbers in what the convolutions make of an image."""
    sides = list(observation[1:])
    for kernel, stride in zip(kernels, strides, strict=True):
        sides = [(side - kernel) // stride + 1 for side in sides]
    if min(sides) < 1:
        size = " x ".join(map(str, observation[1:]))
        expected = f"convolutions that fit into images of {size}"
        raise UserError("model.kernels", expected=expected, got=str(list(kernels)))
    return channels[-1] * sides[0] * sides[1]


def _head(width: int, hidden: int, width_out: int, *, gain: float) -> nn.Sequential:
    return nn.Sequential(
        _linear(width, hidden, gain=math.sqrt(2)),
        nn.ReLU(),
        _linear(hidden, width_out, gain=gain),
    )


def _linear(width: int, width_out: int, *, gain: float) -> nn.Linear:
    layer = nn.Linear(width, width_out)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer
