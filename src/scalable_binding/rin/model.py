"""The recurrent interface network: a noisy signal and its latents in, a prediction out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from einops import repeat
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from scalable_binding.engine.config import to_mapping
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
    """What the network returns.

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
    """A stack of blocks that read from tokens X into latents Z, compute on Z, and write to X.

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

    def __init__(
        self,
        size: Sequence[int],
        channels: int,
        patch: Sequence[int],
        num_classes: int = 0,
        num_latents: int = 128,
        latent_width: int = 1024,
        interface_width: int = 256,
        num_blocks: int = 4,
        num_layers: int = 4,
        num_heads: int = 16,
        cross_heads: int = 16,
        latent_expansion: int = 4,
        interface_expansion: int = 4,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        context: int = 0,
        normalize_input: bool = False,
        interface_conditioning: bool = False,
        checkpointing: bool = False,
        embedding_std: float = initialization.EMBEDDING_STD,
        smooth_positions: bool = False,
    ) -> None:
        super().__init__()
        self.settings = ModelConfig(
            size=tuple(size),
            channels=channels,
            patch=tuple(patch),
            num_classes=num_classes,
            num_latents=num_latents,
            latent_width=latent_width,
            interface_width=interface_width,
            num_blocks=num_blocks,
            num_layers=num_layers,
            num_heads=num_heads,
            cross_heads=cross_heads,
            latent_expansion=latent_expansion,
            interface_expansion=interface_expansion,
            dropout=dropout,
            drop_path=drop_path,
            context=context,
            normalize_input=normalize_input,
            interface_conditioning=interface_conditioning,
            checkpointing=checkpointing,
            embedding_std=embedding_std,
            smooth_positions=smooth_positions,
        )
        self._build_ends(self.settings)
        self._build_conditions(self.settings)
        self.blocks = nn.ModuleList(
            Block(
                latent_width,
                interface_width,
                num_layers=num_layers,
                num_heads=num_heads,
                cross_heads=cross_heads,
                latent_expansion=latent_expansion,
                interface_expansion=interface_expansion,
                dropout=dropout,
                drop_path=drop_path,
            )
            for _ in range(num_blocks)
        )

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
        self.gamma = GammaEmbedding(s.latent_width)
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
        """The prediction for noisy signals at noise levels ``gamma``, and new latents.

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
    def preview(
        self,
        x: Float[Tensor, "b c *size"],
        gamma: Float[Tensor, " b"],
        *,
        classes: Int64[Tensor, " b"] | None = None,
    ) -> tuple[Latents, Interface | None]:
        """The latents (and interface) that :meth:`forward` would return at first, and no more.

        Cheaper, since what only the prediction needs is left out, and without gradient.
        """
        z, tokens = self._begin(x, gamma, classes, None, None)
        for position, block in enumerate(self.blocks):
            last = position == len(self.blocks) - 1
            write = not last or self.settings.interface_conditioning
            z, tokens, _ = block(z, tokens, write=write)
        return z, tokens if self.settings.interface_conditioning else None

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile :meth:`forward` and :meth:`preview`, as ``torch.compile`` does."""
        super().compile(*args, **kwargs)
        self.preview = torch.compile(self.preview, *args, **kwargs)  # type: ignore[method-assign]

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


def draw(seed: int, **arguments: Any) -> RIN:
    """A fresh network with weights drawn from ``seed``; the global generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RIN(**arguments)


def arguments(network: RIN) -> dict[str, Any]:
    """What a :class:`RIN` was built with, in plain values for a ``config.json``."""
    return to_mapping(network.settings)
