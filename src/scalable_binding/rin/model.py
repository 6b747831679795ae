"""The recurrent interface network (RIN)."""

from __future__ import annotations

import inspect
import math
from typing import Any, NamedTuple

import torch
from einops import repeat
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from scalable_binding.engine.config import from_mapping, to_mapping
from scalable_binding.errors import UserError
from scalable_binding.nn import initialization, patches
from scalable_binding.nn.mlp import layer_norm
from scalable_binding.nn.patches import PatchEmbedding
from scalable_binding.nn.precision import without_autocast
from scalable_binding.rin.blocks import Block, Interface, Latents
from scalable_binding.rin.conditioning import ClassEmbedding, GammaEmbedding, SelfConditioning
from scalable_binding.rin.config import ModelConfig

DROPPED = -1
"""The label of an example whose class is not told."""

STD_FLOOR = 1e-6


class Output(NamedTuple):
    """Output of the network.

    ``prediction`` is of the input's shape and float32, 0 in the frames that are given;
    ``latents`` go into the next call; ``attention`` is where each latent read, averaged over heads,
    for each block (rows sum to 1), or None unless asked for; ``interface`` goes into the next call
    too, and is None unless the network takes it up.
    """

    prediction: Float[Tensor, "b c *size"]
    latents: Float[Tensor, "b m d"]
    attention: list[Float[Tensor, "b m n"]] | None = None
    interface: Float[Tensor, "b n e"] | None = None


class RIN(nn.Module, PyTorchModelHubMixin, library_name="scalable-binding"):
    """Recurrent interface network: blocks read from tokens X into latents Z, compute, write to X.

    | X = LN(W patches(x) + b) + positions
    | Z = [learned, time(gamma), class] + LN(Z_prev + FFN(Z_prev))
    | Z, X = block(Z, X), ``num_blocks`` times
    | prediction = join(W LN(X) + b)

    Cost grows with the number of tokens n only in proportion: no token meets another one directly.

    Args: as :class:`~scalable_binding.rin.config.ModelConfig`.

    Raises:
        UserError: arguments that do not go together.

    Source: Thesis 2.2.2, 2.2.3 and Alg. 3.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = s = from_mapping(ModelConfig, settings)
        # Saved in full, so that a default that changes does not change networks on the hub.
        self._hub_mixin_config = arguments(self)
        self._build_ends(s)
        self._build_conditions(s)
        self.blocks = nn.ModuleList(
            Block(
                s.latent_width,
                s.interface_width,
                num_layers=s.num_layers,
                num_heads=s.num_heads,
                cross_heads=s.cross_heads,
                latent_expansion=s.latent_expansion,
                interface_expansion=s.interface_expansion,
                dropout=s.dropout,
                drop_path=s.drop_path,
            )
            for _ in range(s.num_blocks)
        )

    @classmethod
    def _from_pretrained(cls, **named: Any) -> RIN:
        """A network of the hub or of a folder; those saved without this setting predate it."""
        named.setdefault("gamma_includes_end", True)
        found: RIN = super()._from_pretrained(**named)
        return found

    def _build_ends(self, s: ModelConfig) -> None:
        self.embedding = PatchEmbedding(
            s.size,
            s.channels,
            s.patch,
            s.interface_width,
            position_std=s.embedding_std,
            smooth_positions=s.smooth_positions,
        )
        self.readout_norm = layer_norm(s.interface_width)
        self.readout = initialization.linear(s.interface_width, s.channels * math.prod(s.patch))

    def _build_conditions(self, s: ModelConfig) -> None:
        learned = s.num_latents - s.num_conditions
        self.latents = nn.Parameter(torch.empty(learned, s.latent_width))
        initialization.embedding_(self.latents, s.embedding_std)
        self.gamma = GammaEmbedding(s.latent_width, includes_end=s.gamma_includes_end)
        self.label = ClassEmbedding(s.num_classes, s.latent_width) if s.num_classes else None
        self.previous = SelfConditioning(s.latent_width, s.latent_expansion)
        self.previous_interface = (
            SelfConditioning(s.interface_width, s.interface_expansion)
            if s.interface_conditioning
            else None
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.readout.weight.device

    @property
    def size(self) -> tuple[int, ...]:
        """Sides of the signal."""
        return self.settings.size

    @property
    def channels(self) -> int:
        """Channels of the signal."""
        return self.settings.channels

    @property
    def num_classes(self) -> int:
        """What a sample can be conditioned on; 0 for none."""
        return self.settings.num_classes

    @property
    def context(self) -> int:
        """Frames at the beginning of a video that are given, and not generated."""
        return self.settings.context

    @property
    def grid(self) -> tuple[int, ...]:
        """How many tokens lie along each side, in the order in which attention has them."""
        return self.embedding.grid

    def forward(
        self,
        x: Float[Tensor, "b c *size"],
        gamma: Float[Tensor, " b"],
        *,
        classes: Int64[Tensor, " b"] | None = None,
        latents: Float[Tensor, "b m d"] | None = None,
        interface: Float[Tensor, "b n e"] | None = None,
        attend: bool = False,
    ) -> Output:
        """Predict from noisy signals at noise levels ``gamma``; also return new latents.

        Args:
            x: noisy signals; of a video the first ``context`` frames are without noise.
            gamma: share of the signal's variance.
            classes: numbers, -1 for one that is not told; None tells none.
            latents, interface: of the previous step; None, the same as zeros, at the first.
            attend: return the read attention too.
        """
        z, tokens = self._begin(x, gamma, classes, latents, interface)
        maps = []
        for block in self.blocks:
            z, tokens, attention = self._run(block, z, tokens, attend=attend)
            if attention is not None:
                maps.append(attention)
        kept = tokens if self.settings.interface_conditioning else None
        return Output(self._read_out(tokens), z, maps if attend else None, kept)

    @torch.no_grad()
    def estimate_latents(
        self,
        x: Float[Tensor, "b c *size"],
        gamma: Float[Tensor, " b"],
        *,
        classes: Int64[Tensor, " b"] | None = None,
    ) -> tuple[Latents, Interface | None]:
        """Latents (and interface) of a first pass, for self-conditioning: no gradient, no readout.

        The same as :meth:`forward` returns without previous latents, and cheaper.
        """
        z, tokens = self._begin(x, gamma, classes, None, None)
        for position, block in enumerate(self.blocks):
            last = position == len(self.blocks) - 1
            write = not last or self.settings.interface_conditioning
            z, tokens, _ = block(z, tokens, write=write)
        return z, tokens if self.settings.interface_conditioning else None

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile :meth:`forward` and :meth:`estimate_latents`, as ``torch.compile`` does."""
        super().compile(*args, **kwargs)
        self.estimate_latents = torch.compile(self.estimate_latents, *args, **kwargs)  # type: ignore[method-assign]

    def _begin(
        self,
        x: Tensor,
        gamma: Tensor,
        classes: Tensor | None,
        latents: Tensor | None,
        interface: Tensor | None,
    ) -> tuple[Latents, Interface]:
        """Latents and interface before the first block."""
        s = self.settings
        self._check(x)
        if s.normalize_input:
            deviation = x.float().std(dim=tuple(range(1, x.ndim)), keepdim=True, correction=0)
            x = x / (deviation + STD_FLOOR)
        tokens = self.embedding(x)
        parts = [repeat(self.latents, "m d -> b m d", b=len(x)), self.gamma(gamma)]
        if self.label is not None:
            if classes is None:
                classes = torch.full((len(x),), DROPPED, device=x.device)
            parts.append(self.label(classes))
        z = torch.cat([part.float() for part in parts], dim=1)
        z = z + self.previous(torch.zeros_like(z) if latents is None else latents)
        if self.previous_interface is not None:
            before = torch.zeros_like(tokens) if interface is None else interface
            tokens = tokens + self.previous_interface(before)
        return z, tokens

    def _run(
        self, block: nn.Module, z: Latents, tokens: Interface, *, attend: bool
    ) -> tuple[Latents, Interface, Tensor | None]:
        if self.settings.checkpointing and torch.is_grad_enabled():
            result: tuple[Tensor, Tensor, Tensor | None]
            result = checkpoint(block, z, tokens, attend=attend, use_reentrant=False)
            return result
        return block(z, tokens, attend=attend)

    def _read_out(self, tokens: Interface) -> Float[Tensor, "b c *size"]:
        """The prediction in float32, of those patches in which something is generated."""
        s = self.settings
        grid = self.grid
        given = s.context // s.patch[0]
        if given:
            tokens = tokens[:, given * math.prod(grid[1:]) :]
            grid = (grid[0] - given, *grid[1:])
        with without_autocast(tokens.device.type):
            values = self.readout(self.readout_norm(tokens.float()))
        generated = patches.join(values, grid, s.patch)
        if not s.context:
            return generated
        part = generated[:, :, s.context - given * s.patch[0] :]
        return functional.pad(part, (0, 0, 0, 0, s.context, 0))

    def _check(self, x: Tensor) -> None:
        expected = (self.settings.channels, *self.settings.size)
        if x.shape[1:] != expected:
            raise UserError(
                "input of the network",
                expected=f"(b, {', '.join(map(str, expected))})",
                got=str(tuple(x.shape)),
            )


# The arguments are the fields of ModelConfig: help() and the hub's mixin read their names here.
RIN.__signature__ = inspect.signature(ModelConfig)  # type: ignore[attr-defined]
RIN._hub_mixin_init_parameters = dict(inspect.signature(ModelConfig.__init__).parameters)


def init_model(seed: int, **arguments: Any) -> RIN:
    """Initialize a network from ``seed``, leaving the global random generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RIN(**arguments)


def arguments(network: RIN) -> dict[str, Any]:
    """What a :class:`RIN` was built with, in plain values for a ``config.json``."""
    return to_mapping(network.settings)
