"""Tracking: box objects in any frame, get their boxes in all later ones, seen or hidden."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from scalable_binding import weights as registry
from scalable_binding.data.labels import boxes as box_files
from scalable_binding.data.labels.boxes import Box
from scalable_binding.engine.checkpoint import CONFIG, WEIGHTS, read_config, read_tensors, restore
from scalable_binding.engine.config import from_mapping, to_mapping
from scalable_binding.errors import UserError
from scalable_binding.permanence import model as networks
from scalable_binding.permanence import walkers
from scalable_binding.permanence.model import Readings, SpatialMemory, cells, pixels
from scalable_binding.permanence.presets import STRIDE, ModelConfig, TrackingConfig
from scalable_binding.walk.local import local_affinity, local_step

Frame = UInt8[Tensor, "3 h w"]

SHIPPED = registry.folder("permanence")


@dataclass
class _Tracked:
    """What is kept of one object; its place, in cells, and size are those last seen."""

    id: int
    appearance: Float[Tensor, " c"]
    size: Float[Tensor, " 2"]
    place: Float[Tensor, " 2"]


class Tracker:
    """Follows objects from frame to frame in bounded memory, also while nothing is seen of them.

    Each object has a walker, a probability over the cells of the memory. In every frame it takes a
    step along the memory's states. Where the object is to be seen again, the strongest detection
    corrects the walker; where it is hidden, the walker says where it is, with the size last seen.
    A cell is coarse: what the walker finds less than ``TrackingConfig.rest`` cells from where it
    was last seen is said to rest just there.

    >>> tracker = Tracker(load())                              # doctest: +SKIP
    >>> tracker.start(first_frame, boxes)                      # doctest: +SKIP
    >>> tracked = [tracker.step(frame) for frame in frames]    # doctest: +SKIP

    Source: Thesis 3.6.2; Tokmakov et al., ICML 2022.
    """

    def __init__(self, model: SpatialMemory, config: TrackingConfig | None = None) -> None:
        self.model = model
        self.config = config or TrackingConfig()
        self.frame = -1
        self._shape: tuple[int, int] = (0, 0)
        self._state: Tensor | None = None
        self._nodes: Tensor | None = None
        self._appearance: Tensor | None = None
        self._walkers = torch.zeros(1, 0, 1, 1)
        self._objects: list[_Tracked] = []

    @torch.no_grad()
    def start(self, frame: Frame, boxes: Sequence[Box]) -> list[Box]:
        """Take the first frame and the boxes of objects in it, if any; forgets everything before.

        Objects that come later are added by :meth:`correct`.

        Raises:
            UserError: two boxes for one object, or one outside the frame.
        """
        self._shape = (frame.shape[1], frame.shape[2])
        self._check(boxes)
        readings, self._state = self.model.step(self._resized(frame), None)
        self._nodes, self._appearance = readings.nodes[:, 0], readings.appearance[:, 0]
        height, width = readings.heat.shape[-2:]
        self._walkers = torch.zeros(1, 0, height, width, device=self.model.device)
        self._objects, self.frame = [], 0
        return self.correct(boxes)

    @torch.no_grad()
    def step(self, frame: Frame) -> list[Box]:
        """The boxes of all objects in the next frame.

        Raises:
            UserError: a frame of another size than the first, or a call before :meth:`start`.
        """
        if self._nodes is None:
            raise UserError("tracking", expected="a first frame with boxes before others")
        shape = (frame.shape[1], frame.shape[2])
        if shape != self._shape:
            raise UserError(
                f"frame {self.frame + 1}",
                expected=f"{self._shape[0]} x {self._shape[1]} pixels as the first",
                got=f"{shape[0]} x {shape[1]}",
            )
        self.frame += 1
        readings, self._state = self.model.step(self._resized(frame), self._state)
        nodes = readings.nodes[:, 0]
        radius = self.model.radius(*nodes.shape[-2:])
        affinity = local_affinity(self._nodes, nodes, radius, self.model.temperature)
        self._nodes, self._appearance = nodes, readings.appearance[:, 0]
        if not self._objects:
            return []
        self._walkers = local_step(self._walkers, affinity, radius)
        places = walkers.locate(self._walkers)
        seen = self._seen(places.center)
        result = []
        for number, tracked in enumerate(self._objects):
            center, visible = places.center[0, number], bool(seen[number] >= self.config.seen)
            if visible:
                center, tracked.size = self._detected(readings, center, tracked.size)
                tracked.place = center
                self._walkers[:, number] = walkers.start(center[None, None], *nodes.shape[-2:])[
                    :, 0
                ]
            elif float((center - tracked.place).norm()) < self.config.rest:
                center = tracked.place
            sure = float(places.confidence[0, number].clamp(0, 1))
            result.append(self._box(tracked, center, visible=visible, confidence=sure))
        return result

    @torch.no_grad()
    def correct(self, boxes: Sequence[Box]) -> list[Box]:
        """Set objects of the latest frame right, or add new ones; returns their boxes.

        Raises:
            UserError: a box outside the frame, two for one object, or no frame yet.
        """
        if self._appearance is None:
            raise UserError("correction", expected="a first frame with boxes before others")
        self._check(boxes)
        height, width = self._walkers.shape[-2:]
        known = [tracked.id for tracked in self._objects]
        for box in boxes:
            corners = torch.tensor(box.corners, device=self.model.device) + 0.5
            corners = corners / self._scale() - 0.5
            center = cells((corners[:2] + corners[2:]) / 2)[None, None]
            walker = walkers.start(center, height, width)
            appearance = walkers.sample(self._appearance, center)[0, 0]
            size = torch.log((corners[2:] - corners[:2]) / STRIDE)
            if box.id in known:
                number = known.index(box.id)
                self._walkers[:, number] = walker[:, 0]
                self._objects[number].size, self._objects[number].place = size, center[0, 0]
            else:
                self._walkers = torch.cat([self._walkers, walker], dim=1)
                self._objects.append(_Tracked(box.id, appearance, size, center[0, 0]))
        return [replace(box, frame=self.frame) for box in boxes]

    def _seen(self, center: Float[Tensor, "1 o 2"]) -> Float[Tensor, " o"]:
        """Probabilities that objects are to be seen where their walkers are."""
        assert self._appearance is not None
        before = torch.stack([tracked.appearance for tracked in self._objects])
        now = walkers.sample(self._appearance, center)[0]
        return self.model.compare(before, now).sigmoid()

    def _detected(
        self, readings: Readings, center: Float[Tensor, " 2"], size: Float[Tensor, " 2"]
    ) -> tuple[Float[Tensor, " 2"], Float[Tensor, " 2"]]:
        """Center and size of the detection nearby, or else what they were."""
        heat = readings.heat[0, 0].sigmoid()
        height, width = heat.shape
        y = torch.arange(height, device=heat.device)[:, None] - center[1]
        x = torch.arange(width, device=heat.device) - center[0]
        heat = heat.masked_fill(torch.hypot(y, x) > self.config.near, 0.0)
        peak = int(heat.argmax())
        if heat.flatten()[peak] < self.config.detected:
            return center, size
        row, column = divmod(peak, width)
        cell = torch.tensor([column, row], device=heat.device)
        return cell + readings.offset[0, 0, :, row, column], readings.size[0, 0, :, row, column]

    def _box(
        self, tracked: _Tracked, center: Float[Tensor, " 2"], *, visible: bool, confidence: float
    ) -> Box:
        half = torch.exp(tracked.size) * STRIDE / 2
        corners = torch.cat([pixels(center) - half, pixels(center) + half])
        x0, y0, x1, y1 = ((corners + 0.5) * self._scale() - 0.5).tolist()
        return Box(self.frame, tracked.id, x0, y0, x1, y1, visible=visible, confidence=confidence)

    def _scale(self) -> Float[Tensor, " 4"]:
        """Pixels of the video to a pixel of what the network sees, for x, y, x, y."""
        height, width = self._seen_shape()
        x, y = self._shape[1] / width, self._shape[0] / height
        return torch.tensor([x, y, x, y], device=self.model.device)

    def _seen_shape(self) -> tuple[int, int]:
        """The size that frames are brought to: whole cells, as many as in training."""
        side = self.config.size or self.model.side
        factor = side / min(self._shape)
        height, width = (STRIDE * max(1, round(length * factor / STRIDE)) for length in self._shape)
        return height, width

    def _resized(self, frame: Frame) -> UInt8[Tensor, "3 y x"]:
        shape = self._seen_shape()
        if frame.shape[1:] == shape:
            return frame
        smaller = functional.interpolate(
            frame[None].float(), size=shape, mode="bilinear", antialias=True, align_corners=False
        )
        return smaller[0].round().clamp(0, 255).byte()

    def _check(self, boxes: Sequence[Box]) -> None:
        box_files.check_inside(boxes, *self._shape)
        ids = [box.id for box in boxes]
        for number in ids:
            if ids.count(number) > 1:
                raise UserError(f"object {number}", expected="one box in a frame", got="two")


def track(
    frames: Iterable[Frame],
    boxes: Sequence[Box],
    model: SpatialMemory,
    config: TrackingConfig | None = None,
    *,
    corrections: Mapping[int, Sequence[Box]] | None = None,
) -> Iterator[list[Box]]:
    """The boxes of all objects, frame by frame, from those in the first.

    Memory does not grow with the video; ``frames`` may be a camera that never ends.

    Args:
        frames: uint8 RGB frames of one size.
        boxes: of objects that are to be seen in the first frame; may be empty where others come.
        model: a trained network.
        config: how to track.
        corrections: boxes at other frames, by frame number, that overrule what was found there, or
            begin to follow other objects.

    Raises:
        UserError: no frames, no boxes or such that do not fit, or frames of different sizes.
    """
    if not boxes and not any((corrections or {}).values()):
        raise UserError("tracking", expected="at least one box in some frame", got="none")
    tracker = Tracker(model, config)
    for number, frame in enumerate(frames):
        found = tracker.step(frame) if number else tracker.start(frame, boxes)
        if number and corrections and (given := corrections.get(number)):
            told = {box.id: box for box in tracker.correct(given)}
            found = [told.pop(box.id, box) for box in found] + list(told.values())
        yield found
    if tracker.frame < 0:
        raise UserError("video", expected="at least one frame", got="none")


def load(weights: str | Path = "shipped", *, device: torch.device | str = "cpu") -> SpatialMemory:
    """The network of a run's folder, or the one that ships, in evaluation mode.

    Raises:
        UserError: no such folder, no weights in it, another system's, or corrupt ones.
    """
    folder = SHIPPED if weights == "shipped" else registry.find("permanence", weights)
    if not folder.is_dir():
        if weights == "shipped":
            fix = "train one with 'sbind permanence train'"
            raise UserError("this installation holds no network for tracking", fix=fix)
        raise UserError(f"no such run: {folder}", fix="give a run's folder, or 'shipped'")
    settings = _arguments(folder / CONFIG)
    tensors = read_tensors(folder / WEIGHTS)
    make = partial(networks.draw, 0, **settings)
    return restore(make, tensors, folder / WEIGHTS, "a tracker").to(device)


def _arguments(path: Path) -> dict[str, Any]:
    """What a run's ``config.json`` says of the network."""
    if not path.is_file():
        raise UserError(f"run {path.parent}", expected=f"a {path.name} in it", got="none")
    record = read_config(path)
    if not isinstance(record, dict) or record.get("system", "permanence") != "permanence":
        got = record.get("system") if isinstance(record, dict) else record
        raise UserError(f"{path}: system", expected="'permanence'", got=repr(got)[:40])
    names = to_mapping(ModelConfig())
    described = {name: record[name] for name in names if name in record}
    side = record.get("side")
    if "widths" not in described or not isinstance(side, int):
        raise UserError(f"{path}", expected="the network's 'widths' and 'side'", got="none")
    return {**to_mapping(from_mapping(ModelConfig, described)), "side": side}
