"""The network as a denoiser for any sampler; its carry holds the latents of the previous step."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from scalable_binding.diffusion.samplers import Denoise
from scalable_binding.rin.model import RIN
from scalable_binding.rin.pretrained import Pretrained


@dataclass(frozen=True)
class Carry:
    """What a network hands from step to step, and where it read if it was asked to attend."""

    latents: Float[Tensor, "b m d"]
    interface: Float[Tensor, "b n e"] | None
    attention: list[Float[Tensor, "b m n"]] | None

    def __len__(self) -> int:
        """Samples that it is of."""
        return len(self.latents)

    def take(self, count: int) -> Carry:
        """That of the first ``count`` samples."""
        if count == len(self):
            return self
        interface = None if self.interface is None else self.interface[:count]
        maps = None if self.attention is None else [one[:count] for one in self.attention]
        return Carry(self.latents[:count], interface, maps)

    def twice(self) -> Carry:
        """That of the samples, and the same once more after them."""
        interface = None if self.interface is None else torch.cat([self.interface] * 2)
        maps = None if self.attention is None else [torch.cat([one] * 2) for one in self.attention]
        return Carry(torch.cat([self.latents] * 2), interface, maps)


def denoiser(
    pretrained: Pretrained,
    classes: Int64[Tensor, " b"] | None = None,
    *,
    context: Float[Tensor, "b c k h w"] | None = None,
    attend: bool = False,
    bfloat16: bool = False,
) -> Denoise:
    """The network as a denoiser of ``x_t``, for any sampler; its carry holds the latents.

    ``x_t`` may be of fewer samples than there are classes: it is then of the first ones. Context
    frames stand before ``x_t`` in what the network sees, and are cut off its prediction.
    A network that was trained without latents of a step before is never given any.
    """
    device = pretrained.device
    model = with_bfloat16_weights(pretrained.model) if bfloat16 else pretrained.model
    num_context = 0 if context is None else context.shape[2]
    classes = None if classes is None else classes.to(device)
    clean = None if context is None else context.to(device)

    def denoise(x_t: Tensor, gamma: Tensor, carry: Carry | None) -> tuple[Tensor, Carry]:
        b = len(x_t)
        x = x_t if clean is None else torch.cat([clean[:b].to(x_t.dtype), x_t], dim=2)
        carry = carry if pretrained.carries_latents else None
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            output = model(
                x,
                gamma,
                classes=None if classes is None else classes[:b],
                latents=carry and carry.latents,
                interface=carry and carry.interface,
                attend=attend,
            )
        prediction = output.prediction[:, :, num_context:]
        return prediction, Carry(output.latents, output.interface, output.attention)

    return denoise


def with_bfloat16_weights(model: RIN) -> RIN:
    """A copy whose matrix products under bfloat16 autocast need no casting of weights.

    Autocast would cast each weight anew in every step; the numbers are the same to the bit. The
    readout, which runs without autocast, keeps float32.
    """
    copied = copy.deepcopy(model)
    for module in copied.modules():
        if isinstance(module, nn.Linear) and module is not copied.readout:
            module.to(torch.bfloat16)
    return copied
