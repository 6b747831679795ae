"""The loss: walkers must be where objects are whenever these are to be seen, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn
from torch.nn import functional

from scalable_binding.permanence import walkers
from scalable_binding.permanence.model import Readings, SpatialMemory, cells
from scalable_binding.permanence.presets import STRIDE, LossConfig

_EPS = 1e-8
"""Bounds the loss of a walker that is lost altogether."""

_SIGMAS = 6.0
"""Deviations of a heat-map's peak in an object's extent, as in CenterNet."""

_SIZE_WEIGHT = 0.5
"""Of sizes beside centers and offsets."""


def loss(
    model: nn.Module, batch: Mapping[str, Tensor], generator: Generator, config: LossConfig
) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
    """``L = L_detect + walk_weight L_walk + visibility_weight L_visibility``, and its parts.

    Of boxes only those of visible objects are read: where an object is hidden they may be NaN.

    Args:
        model: a ``SpatialMemory`` (or its distributed wrapper).
        batch: ``frames`` uint8 ``(b t 3 y x)``, ``boxes`` ``(b t o 4)`` in pixels, ``visible``
            bool ``(b t o)``, and ``exists`` bool ``(b o)``, False where a clip has fewer objects.
        generator: unused; nothing here is random.
        config: weights.

    Source: Tokmakov et al., ICML 2022, section 3.
    """
    network = getattr(model, "module", model)
    assert isinstance(network, SpatialMemory)
    readings: Readings = model(batch["frames"])
    exists = batch["exists"]
    visible = batch["visible"] & exists[:, None]
    boxes = torch.where(visible[..., None], batch["boxes"], 0.0)
    center = cells((boxes[..., :2] + boxes[..., 2:]) / 2)
    extent = (boxes[..., 2:] - boxes[..., :2]) / STRIDE
    h, w = readings.heat.shape[-2:]
    radius = network.radius(h, w)
    affinities = walkers.steps(readings.nodes, radius, network.temperature)
    setting_out = range(0, visible.shape[1] - 1, config.restart or visible.shape[1])
    path = walkers.walk_from(_places(center, h, w), setting_out, affinities, radius)
    detect = detection_loss(readings, center, extent, visible)
    walk, gap = walk_loss(path, center, visible, setting_out, config)
    first = path[:, :, : visible.shape[2]]
    visibility, right = visibility_loss(network, readings, first, center[:, 0], visible)
    total = detect + config.walk_weight * walk + config.visibility_weight * visibility
    metrics = {
        "detect": detect,
        "walk": walk,
        "visibility": visibility,
        "gap": gap,
        "visibility_accuracy": right,
    }
    return total, {name: value.detach() for name, value in metrics.items()}


def walk_loss(
    path: Float[Tensor, "b t m h w"],
    center: Float[Tensor, "b t o 2"],
    visible: Bool[Tensor, "b t o"],
    setting_out: Sequence[int],
    config: LossConfig,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The focal loss of walkers where their objects are seen, and their mean gap to them in pixels.

    With y the shares of the four cells around the true center, P the walker and p its mass on the
    cells of y: ``-(1 - p)^gamma sum y log P``. Mass beside these, within the tolerance, is taken
    out first and the rest of P scaled to one. A mean over frames after setting out, weighted by
    :func:`occlusion_weights`. Walkers set out where their objects are seen; others do not count.

    Source: Tokmakov et al., ICML 2022; focal: Lin et al., ICCV 2017.
    """
    h, w = path.shape[-2:]
    known = torch.cat([_known_after(visible, frame) for frame in setting_out], dim=2)
    weight = occlusion_weights(visible, config.occlusion_weight).repeat(1, 1, len(setting_out))
    weight = rearrange(weight * known, "b t o -> (b t) o")
    place = rearrange(path, "b t o h w -> (b t) o h w")
    target = rearrange(center.repeat(1, 1, len(setting_out), 1), "b t o xy -> (b t) o xy")
    truth = walkers.start(target, h, w)
    if config.tolerance > 0:
        spared = (_distances(target, h, w) < config.tolerance) & (truth == 0)
        kept = place.masked_fill(spared, 0.0)
        place = kept / kept.sum((-2, -1), keepdim=True).clamp(min=_EPS)
    surprise = -(truth * torch.log(place + _EPS)).sum((-2, -1))
    reached = (place * (truth > 0)).sum((-2, -1)).clamp(max=1.0)
    focal = (1 - reached) ** config.gamma * surprise
    value = (weight * focal).sum() / weight.sum().clamp(min=1)
    with torch.no_grad():
        gap = STRIDE * torch.linalg.vector_norm(walkers.locate(place).center - target, dim=-1)
        once = (weight > 0).to(gap.dtype)
        return value, (gap * once).sum() / once.sum().clamp(min=1)


def _known_after(visible: Bool[Tensor, "b t o"], frame: int) -> Bool[Tensor, "b t o"]:
    """Where objects are seen after a frame in which they were seen too."""
    later = torch.arange(visible.shape[1], device=visible.device) > frame
    return visible & visible[:, frame : frame + 1] & later[:, None]


def occlusion_weights(visible: Bool[Tensor, "b t o"], weight: float) -> Float[Tensor, "b t o"]:
    """1 where an object is seen plus ``weight`` times the number of frames hidden just before."""
    hidden = torch.zeros(visible.shape[0], visible.shape[2], device=visible.device)
    result = []
    for seen in visible.unbind(dim=1):
        result.append(torch.where(seen, 1 + weight * hidden, 0.0))
        hidden = torch.where(seen, 0.0, hidden + 1)
    return torch.stack(result, dim=1)


def detection_loss(
    readings: Readings,
    center: Float[Tensor, "b t o 2"],
    extent: Float[Tensor, "b t o 2"],
    visible: Bool[Tensor, "b t o"],
) -> Float[Tensor, ""]:
    """Focal loss of the heat-map, and l1 of offsets and log sizes, at centers of visible objects.

    Source: CenterNet (Zhou et al., 2019), which Tokmakov et al. build on.
    """
    h, w = readings.heat.shape[-2:]
    heat = rearrange(readings.heat, "b t h w -> (b t) h w")
    center = rearrange(center, "b t o xy -> (b t) o xy")
    extent = rearrange(extent, "b t o xy -> (b t) o xy").clamp(min=1e-3)
    seen = rearrange(visible, "b t o -> (b t) o")
    sides = torch.tensor([w - 1, h - 1], device=center.device)
    cell = torch.minimum(center.round().clamp(min=0), sides)
    sigma = (extent.amax(dim=-1) / _SIGMAS).clamp(min=0.35)[..., None, None]
    peaks = torch.exp(-(_distances(cell, h, w) ** 2) / (2 * sigma**2))
    target = (peaks * seen[..., None, None]).amax(dim=1)
    is_center = target == 1
    likely = heat.sigmoid()
    hit = (1 - likely) ** 2 * functional.logsigmoid(heat)
    false_alarm = (1 - target) ** 4 * likely**2 * functional.logsigmoid(-heat)
    count = seen.sum().clamp(min=1)
    heat_loss = -torch.where(is_center, hit, false_alarm).sum() / count
    offset, size = (
        _at(rearrange(maps, "b t c h w -> (b t) c h w"), cell)
        for maps in (readings.offset, readings.size)
    )
    miss = (offset - (center - cell).clamp(-1, 1)).abs() + _SIZE_WEIGHT * (
        size - torch.log(extent)
    ).abs()
    return heat_loss + (miss.sum(dim=-1) * seen).sum() / count


def visibility_loss(
    network: SpatialMemory,
    readings: Readings,
    path: Float[Tensor, "b t o h w"],
    start: Float[Tensor, "b o 2"],
    visible: Bool[Tensor, "b t o"],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Cross-entropy of "the object is to be seen where its walker is", and how often that is right.

    Whether an object is seen is known in every frame; where it is hidden, only the walker says.
    """
    b, t = visible.shape[:2]
    begun = visible[:, :1]
    before = walkers.sample(readings.appearance[:, 0], start)
    place = walkers.locate(rearrange(path.detach(), "b t o h w -> (b t) o h w")).center
    now = walkers.sample(rearrange(readings.appearance, "b t c h w -> (b t) c h w"), place)
    now = rearrange(now, "(b t) o c -> b t o c", b=b)
    logits = network.compare(before[:, None].expand(-1, t, -1, -1), now)
    losses = functional.binary_cross_entropy_with_logits(
        logits, visible.to(logits.dtype), reduction="none"
    )
    count = (begun.sum() * t).clamp(min=1)
    right = ((logits > 0) == visible) & begun
    return (losses * begun).sum() / count, right.sum() / count


def _places(center: Float[Tensor, "b t o 2"], h: int, w: int) -> Float[Tensor, "b t o h w"]:
    flat = walkers.start(rearrange(center, "b t o xy -> (b t) o xy"), h, w)
    return rearrange(flat, "(b t) o h w -> b t o h w", b=len(center))


def _at(maps: Float[Tensor, "n c h w"], cell: Float[Tensor, "n o 2"]) -> Float[Tensor, "n o c"]:
    """A map's values in given cells."""
    index = (cell[..., 1] * maps.shape[-1] + cell[..., 0]).long()
    flat = rearrange(maps, "n c h w -> n (h w) c")
    return flat.gather(1, index[..., None].expand(-1, -1, flat.shape[-1]))


def _distances(places: Float[Tensor, "n o 2"], h: int, w: int) -> Float[Tensor, "n o h w"]:
    """From each place to the middle of every cell, in cells."""
    y = torch.arange(h, device=places.device) - places[..., 1, None]
    x = torch.arange(w, device=places.device) - places[..., 0, None]
    return torch.hypot(y[..., :, None], x[..., None, :])
