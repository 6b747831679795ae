"""CUDA graphs for sampling: one network evaluation is captured once and replayed in every step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scalable_binding.diffusion.samplers import Denoise
from scalable_binding.errors import UserError
from scalable_binding.rin.denoiser import Carry
from scalable_binding.rin.pretrained import Pretrained

WARM_UPS = 3
"""Evaluations before the capture, in which kernels are chosen and memory is allocated."""


@dataclass
class _Graph:
    """A captured evaluation with the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    x: Tensor
    gamma: Tensor
    carry: Carry
    prediction: Tensor
    result: Carry


def captured(denoise: Denoise, pretrained: Pretrained) -> Denoise:
    """The denoiser with its evaluation captured as a CUDA graph, one for each batch size.

    A step then costs one launch instead of hundreds, which is what small batches spend their time
    on. Results are those of the denoiser; at first its latents are zeros, the same as none.

    Args:
        denoise: from :func:`scalable_binding.rin.denoiser.denoiser`.
        pretrained: the network that it runs, on a CUDA device.

    Raises:
        UserError: the network is on another device.
    """
    if pretrained.device.type != "cuda":
        got = str(pretrained.device)
        raise UserError("cuda_graph", expected="a network on a CUDA device", got=got)
    graphs: dict[int, _Graph] = {}

    @torch.no_grad()
    def replay(x_t: Tensor, gamma: Tensor, carry: Carry | None) -> tuple[Tensor, Carry]:
        before = zeros(pretrained, len(x_t)) if carry is None else carry
        if len(x_t) not in graphs:
            graphs[len(x_t)] = _capture(denoise, x_t, gamma, before)
        held = graphs[len(x_t)]
        held.x.copy_(x_t)
        held.gamma.copy_(gamma)
        held.carry.latents.copy_(before.latents)
        if held.carry.interface is not None and before.interface is not None:
            held.carry.interface.copy_(before.interface)
        held.graph.replay()
        return held.prediction.clone(), _copy(held.result)

    return replay


def zeros(pretrained: Pretrained, num: int) -> Carry:
    """The carry of a first step: latents (and interface) of zeros, for ``num`` samples."""
    settings, device = pretrained.model.settings, pretrained.device
    latents = torch.zeros(num, settings.num_latents, settings.latent_width, device=device)
    interface = None
    if settings.interface_conditioning:
        tokens = len(pretrained.model.embedding.positions)
        interface = torch.zeros(num, tokens, settings.interface_width, device=device)
    return Carry(latents, interface, None)


def _capture(denoise: Denoise, x_t: Tensor, gamma: Tensor, carry: Carry) -> _Graph:
    x, level, before = x_t.clone(), gamma.clone(), _copy(carry)
    before = Carry(before.latents, before.interface, None)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            denoise(x, level, before)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        prediction, result = denoise(x, level, before)
    return _Graph(graph, x, level, before, prediction, result)


def _copy(carry: Carry) -> Carry:
    interface = None if carry.interface is None else carry.interface.clone()
    maps = None if carry.attention is None else [one.clone() for one in carry.attention]
    return Carry(carry.latents.clone(), interface, maps)
