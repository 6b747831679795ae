"""Other ways to find out where the pixels of a frame go: each a function of two frames.

``peers`` are OpenCV's Farneback and DIS and a patch matcher on its box filter; they need OpenCV
(``opencv-python-headless``), which is no dependency of the package. This is a part of
``benchmarks.flow.accuracy``. Not run by make bench.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional

from scalable_binding.crw import model as crw
from scalable_binding.flow.inference import encode, estimate
from scalable_binding.flow.model import FlowNet
from scalable_binding.walk.affinity import similarity, transition
from scalable_binding.walk.multiscale import grid

Frame = UInt8[Tensor, "3 h w"]
Matcher = Callable[[Frame, Frame], Tensor]


def zero(first: Frame, second: Frame) -> Tensor:
    """Return that nothing moves."""
    return torch.zeros(2, *first.shape[1:])


def network(net: FlowNet) -> Matcher:
    """Return the multiscale walk of a network."""
    return lambda first, second: estimate(first, second, net).flow


def single_scale(features: Callable[[Frame], Tensor], stride: int, temperature: float) -> Matcher:
    """Return the plain walk: one softmax over all nodes of one level, its mean, bilinear up."""

    def match(first: Frame, second: Frame) -> Tensor:
        a, b = (features(frame) for frame in (first, second))
        size = a.shape[-2:]
        nodes = [rearrange(maps, "d h w -> 1 (h w) d").float() for maps in (a, b)]
        places = grid(size).float()
        moved = transition(similarity(*nodes), temperature)[0] @ places - places
        flow = rearrange(moved, "(h w) xy -> 1 xy h w", h=size[0]) * stride
        whole = functional.interpolate(flow, scale_factor=stride, mode="bilinear")[0]
        return whole[:, : first.shape[1], : first.shape[2]]

    return match


def walks(net: FlowNet, fresh: FlowNet) -> dict[str, Matcher]:
    """Return the multiscale walk, trained and not, and walks of one scale, at two temperatures.

    Those of one scale read the encoder for labels that ships (stride 8), or this network's own
    finest features (stride 4).
    """
    matchers = {"multiscale walk": network(net), "the same, untrained": network(fresh)}
    labels = crw.load("shipped")
    for temperature in (0.05, 0.01):
        name = f"one scale, labels' encoder, tau {temperature}"
        matchers[name] = single_scale(labels.features, 8, temperature)
        name = f"one scale, own features, tau {temperature}"
        matchers[name] = single_scale(
            lambda frame: encode(frame, net).features[-1][0], 4, temperature
        )
    return matchers


def peers(reach: int) -> dict[str, Matcher]:
    """Return matchers that learn nothing; the patch matcher looks ``reach`` pixels far."""
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return {
        "patch matcher, 9 x 9": patch_matcher(4, reach),
        "patch matcher, 17 x 17": patch_matcher(8, reach),
        "OpenCV Farneback": _gray(
            lambda a, b: cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 5, 15, 3, 5, 1.2, 0)
        ),
        "OpenCV DIS, medium": _gray(lambda a, b: dis.calc(a, b, None)),
    }


def patch_matcher(radius: int, reach: int) -> Matcher:
    """Return the search of all whole displacements for the least absolute difference of patches."""

    def match(first: Frame, second: Frame) -> Tensor:
        a, b = (
            rearrange(frame, "c h w -> h w c").numpy().astype(np.float32)
            for frame in (first, second)
        )
        height, width = a.shape[:2]
        padded = cv2.copyMakeBorder(b, *[reach] * 4, cv2.BORDER_REPLICATE)
        best = np.full((height, width), np.inf, dtype=np.float32)
        flow = np.zeros((2, height, width), dtype=np.float32)
        moves = [(x, y) for y in range(-reach, reach + 1) for x in range(-reach, reach + 1)]
        for x, y in sorted(moves, key=lambda move: move[0] ** 2 + move[1] ** 2):
            moved = padded[reach + y : reach + y + height, reach + x : reach + x + width]
            cost = cv2.blur(np.abs(a - moved).sum(-1), (2 * radius + 1,) * 2)
            better = cost < best
            best[better] = cost[better]
            flow[0][better], flow[1][better] = x, y
        return torch.from_numpy(flow)

    return match


def _gray(find: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Matcher:
    def match(first: Frame, second: Frame) -> Tensor:
        pair = [
            cv2.cvtColor(rearrange(frame, "c h w -> h w c").numpy(), cv2.COLOR_RGB2GRAY)
            for frame in (first, second)
        ]
        return torch.from_numpy(find(*pair)).movedim(-1, 0).float()

    return match


Matchers = Mapping[str, Matcher]
