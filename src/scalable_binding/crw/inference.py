"""Label propagation: label one frame, get the labels of all others, one frame at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from scalable_binding.crw import labels as label_maps
from scalable_binding.crw.adaptation import Adapter, windows
from scalable_binding.crw.backbone import Backbone
from scalable_binding.crw.labels import Labels, LabelSpace
from scalable_binding.crw.model import Encoder
from scalable_binding.crw.model import load as load
from scalable_binding.crw.presets import AdaptationConfig, PropagationConfig
from scalable_binding.data.labels.keypoints import Keypoint
from scalable_binding.errors import UserError
from scalable_binding.walk.axes import principal_axes, project
from scalable_binding.walk.context import Kept
from scalable_binding.walk.neighbors import Neighbors, carry_labels, top_neighbors

Frame = UInt8[Tensor, "3 h w"]


@runtime_checkable
class FeatureModel(Protocol):
    """Whatever turns a frame into unit vectors, one every ``stride`` pixels, rounded up."""

    @property
    def stride(self) -> int:
        """Pixels between neighboring cells."""
        ...

    def features(self, frame: UInt8[Tensor, "3 h w"]) -> Float[Tensor, "d h8 w8"]:
        """The unit vector of each cell."""
        ...


CellLabels = Float[Tensor, "h8 w8 c"]
"""Soft labels of the feature cells, background first."""

Search = Callable[..., Neighbors]
"""Called as `top_neighbors` is."""


@dataclass(frozen=True)
class Prediction:
    """What is known of one frame, at the frame's own size.

    ``labels`` holds ids (of points their positions in ``ids``, from 1), ``scores`` the soft map of
    each id (background first, then ``ids``), ``confidence`` the score of the label chosen.
    ``keypoints`` is filled when points were given. ``maps`` are the soft labels of the feature
    cells, which :meth:`Propagator.resume` takes.
    """

    frame: int
    ids: tuple[int, ...]
    labels: UInt8[Tensor, "h w"]
    scores: Float[Tensor, "c h w"]
    confidence: Float[Tensor, "h w"]
    keypoints: tuple[Keypoint, ...]
    maps: Float[Tensor, "h8 w8 c"]


class Propagator:
    """Carries labels from frame to frame in bounded memory.

    The labels of frame t are ``L_t = K L_s``: for each cell, the mean of the labels of its k most
    similar cells among the labeled frames (anywhere) and the last m frames (within the radius),
    weighted by a softmax of the similarities. Labels stay soft from frame to frame.

    >>> propagator = Propagator(model)                              # doctest: +SKIP
    >>> propagator.start(first_frame, mask)                         # doctest: +SKIP
    >>> predictions = [propagator.step(frame) for frame in frames]  # doctest: +SKIP

    Source: Thesis 3.3.1 and 3.7.6.
    """

    def __init__(
        self,
        model: FeatureModel,
        config: PropagationConfig | None = None,
        search: Search = top_neighbors,
    ) -> None:
        self.model = model
        self.config = config or PropagationConfig()
        self._search = search
        self._kept = Kept()
        self.frame = -1
        self._references: list[_Node] = []
        self._recent: list[_Node] = []
        self._latest: _Node | None = None
        self._axes: Float[Tensor, "k d"] | None = None
        self._space = LabelSpace((), are_points=False)

    def start(self, frame: Frame, labels: Labels) -> Prediction:
        """Take the first frame and its labels; forgets everything before.

        Raises:
            UserError: labels that are empty, of another size, or outside the frame.
        """
        space = label_maps.space_of(labels)
        height, width = frame.shape[1:]
        maps = label_maps.encode(labels, space, height, width, self.config.zoom, self.model.stride)
        features = self._read_first(frame)
        self._space = space
        self._latest = _Node(frame, features, maps.to(features.device))
        self._references = [self._latest]
        self._recent = []
        self.frame = 0
        return self._prediction(maps, frame)

    def resume(
        self,
        space: LabelSpace,
        references: Sequence[tuple[Frame, CellLabels]],
        recent: Sequence[tuple[Frame, CellLabels]] = (),
    ) -> None:
        """Take up a propagation that stopped, or begin one with several labeled frames.

        The next :meth:`step` gives what it would have given, had these frames just been labeled.

        Args:
            space: what the channels of all label maps stand for.
            references: labeled frames, searched everywhere, the nearest one last; their maps are
                those of ``labels.encode``.
            recent: predicted frames, the latest one last, with their ``Prediction.maps``; no more
                than ``config.context`` of them are used.

        Raises:
            UserError: no reference, or maps of another shape than the space and the first frame's.
        """
        if not references:
            raise UserError("references", expected="at least one labeled frame", got="none")
        nodes: list[_Node] = []
        for frame, maps in (*references, *recent[-self.config.context :]):
            _check_size(len(nodes), frame.shape, references[0][0].shape)
            features = self._read(frame) if nodes else self._read_first(frame)
            expected = (*features.shape[1:], len(space.ids) + 1)
            if tuple(maps.shape) != expected:
                raise UserError("label maps", expected=str(expected), got=str(tuple(maps.shape)))
            nodes.append(_Node(frame, features, maps.to(features.device)))
        self._space = space
        self._references, self._recent = nodes[: len(references)], nodes[len(references) :]
        self._latest = nodes[-1]
        self.frame = len(nodes) - 1

    def step(self, frame: Frame) -> Prediction:
        """Label the next frame.

        Raises:
            UserError: a frame of another size than the first, or a call before :meth:`start`.
        """
        _check_size(self.frame + 1, frame.shape, self._started().frame.shape)
        features = self._read(frame)
        context = self._references + self._recent
        counts = [1] * len(context)
        if self.config.fill:
            counts[len(self._references) - 1] += self.config.context - len(self._recent)
        neighbors = self._search(
            features,
            [node.features for node in context],
            k=self.config.neighbors,
            radius=self.config.radius,
            unmasked=range(len(self._references)),
            counts=counts,
            kept=self._kept,
        )
        maps = carry_labels(neighbors, [node.maps for node in context], self.config.temperature)
        self._latest = _Node(frame, features, maps)
        self._recent.append(self._latest)
        del self._recent[: -self.config.context]
        self.frame += 1
        return self._prediction(maps, frame, sharp=self.config.edges)

    def correct(self, labels: Labels) -> Prediction:
        """Replace the labels of the latest frame, which from then on is a reference like the first.

        The recent frames, whose labels it overrules, no longer count. A mask replaces the whole
        frame's labels and may bring new ids (new objects) or lack old ones (hidden objects).
        Points replace only those points that are given.

        Raises:
            UserError: labels that are empty, of another size or kind, or outside the frame; then
                nothing has changed.
        """
        latest = self._started()
        space = label_maps.space_of(labels)
        if space.are_points != self._space.are_points:
            raise UserError("correction", expected="labels of the same kind as the first frame's")
        extended = self._space.extended(space.ids)
        height, width = latest.frame.shape[1:]
        maps = label_maps.encode(
            labels, extended, height, width, self.config.zoom, self.model.stride
        )
        maps = maps.to(latest.maps.device)
        self._space = extended
        if latest is not self._references[-1]:
            self._references.append(latest)
        self._recent = []
        for node in self._references:
            node.widen(len(extended.ids) + 1)
        if space.are_points:
            maps = _merge_points(latest.maps, maps, space, extended)
        latest.maps = maps
        return self._prediction(maps, latest.frame)

    def refresh(self) -> None:
        """Compute the features of the context anew, after the model has changed."""
        for number, node in enumerate((*self._references, *self._recent)):
            node.features = (self._read if number else self._read_first)(node.frame)

    def _read_first(self, frame: Frame) -> Float[Tensor, "d h8 w8"]:
        """A frame's features, and from now on those of others along the axes of this one's."""
        features = self._features(frame)
        self._axes = principal_axes(features, self.config.axes)
        return project(features, self._axes)

    def _read(self, frame: Frame) -> Float[Tensor, "d h8 w8"]:
        return project(self._features(frame), self._axes)

    def _features(self, frame: Frame) -> Float[Tensor, "d h8 w8"]:
        zoom, stride = self.config.zoom, self.model.stride
        features = self.model.features(label_maps.enlarge(frame, zoom))
        expected = label_maps.num_cells(frame.shape[1], frame.shape[2], zoom, stride)
        if features.shape[1:] != expected:
            expected_size, got = (
                "{} x {}".format(*size) for size in (expected, features.shape[1:])
            )
            cells = f"{expected_size} cells, one every {stride} pixels"
            raise UserError("features of the model", expected=cells, got=got)
        return features

    def _started(self) -> _Node:
        """The latest frame."""
        if self._latest is None:
            raise UserError("propagation", expected="labels of the first frame before others")
        return self._latest

    def _prediction(
        self, maps: Float[Tensor, "h8 w8 c"], frame: Frame, *, sharp: bool = False
    ) -> Prediction:
        height, width = frame.shape[1:]
        guide = frame if sharp else None  # given labels stay as they were given
        ids, scores = label_maps.decode_masks(maps, self._space, height, width, guide)
        points: tuple[Keypoint, ...] = ()
        if self._space.are_points:
            points = label_maps.decode_points(
                maps,
                self._space,
                self.frame,
                height,
                width,
                self.config.zoom,
                self.model.stride,
            )
        ids, scores = ids.to(frame.device), scores.to(frame.device)
        confidence = scores.amax(dim=0)
        return Prediction(self.frame, self._space.ids, ids, scores, confidence, points, maps)


@dataclass
class _Node:
    """A frame of the context: its pixels, features and soft labels."""

    frame: Frame
    features: Float[Tensor, "d h8 w8"]
    maps: Float[Tensor, "h8 w8 c"]

    def widen(self, channels: int) -> None:
        """Add empty label channels up to ``channels``."""
        missing = channels - self.maps.shape[-1]
        self.maps = torch.nn.functional.pad(self.maps, (0, missing))


def propagate(
    frames: Iterable[Frame],
    labels: Labels,
    model: FeatureModel,
    config: PropagationConfig | None = None,
    *,
    adaptation: AdaptationConfig | None = None,
    corrections: Mapping[int, Labels] | None = None,
    search: Search = top_neighbors,
) -> Iterator[Prediction]:
    """The labels of every frame, one at a time, from those of the first.

    Memory does not grow with the video; ``frames`` may be a camera that never ends. To go back
    from a labeled last frame, give the frames in reverse.

    Args:
        frames: uint8 RGB frames of one size.
        labels: of the first frame: ids per pixel, soft maps, or keypoints.
        model: gives the features; an ``Encoder`` or ``RawPatches``.
        config: the context and its use.
        adaptation: train a copy of the model on the frames around before labels go to a frame;
            reads ``adaptation.window`` frames ahead.
        corrections: labels that replace the prediction at other frames, by frame number; they
            may bring new objects.
        search: finds the nearest nodes; for several propagations that share what they find.

    Raises:
        UserError: no frames, labels that do not fit, frames of different sizes, or adaptation of
            a model that has no weights.

    Source: Thesis 3.3.1; adaptation: 3.3.3.
    """
    propagator = Propagator(model, config, search)
    if adaptation is not None:
        frames = _adapting(frames, propagator, adaptation)
    for number, frame in enumerate(frames):
        prediction = propagator.step(frame) if number else propagator.start(frame, labels)
        if corrections and number in corrections:
            prediction = propagator.correct(corrections[number])
        yield prediction
    count = propagator.frame + 1
    if count == 0:
        raise UserError("video", expected="at least one frame", got="none")
    for number in corrections or ():
        if number >= count:
            text = f"labels of frame {number} are not used: the video has {count} frames"
            warnings.warn(text, stacklevel=2)


def _adapting(
    frames: Iterable[Frame], propagator: Propagator, config: AdaptationConfig
) -> Iterator[Frame]:
    """The frames, each given out once the propagator's model has learnt from those around it."""
    model = propagator.model
    if not (isinstance(model, Encoder) and isinstance(model.backbone, Backbone)):
        got = type(model.backbone if isinstance(model, Encoder) else model).__name__
        raise UserError("adaptation", expected="a model with weights to adapt", got=got)
    adapter = Adapter(model, config)
    propagator.model = adapter.encoder
    for number, (frame, window) in enumerate(windows(_of_one_size(frames), config.window)):
        if number % config.interval == 1 or config.interval == 1:
            adapter.fit([label_maps.enlarge(each, propagator.config.zoom) for each in window])
            propagator.refresh()
        yield frame


def _of_one_size(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The frames, up to the first whose size differs."""
    size = None
    for number, frame in enumerate(frames):
        size = size or frame.shape
        _check_size(number, frame.shape, size)
        yield frame


def _check_size(number: int, size: torch.Size, first: torch.Size) -> None:
    if size != first:
        expected, got = (f"{height} x {width} pixels" for _, height, width in (first, size))
        raise UserError(f"frame {number}", expected=expected, got=got)


def _merge_points(
    before: Float[Tensor, "h8 w8 c"],
    given: Float[Tensor, "h8 w8 c"],
    named: LabelSpace,
    space: LabelSpace,
) -> Float[Tensor, "h8 w8 c"]:
    """The maps of ``before`` with those channels replaced that the correction names."""
    merged = before.clone()
    for label in named.ids:
        channel = 1 + space.ids.index(label)
        merged[..., channel] = given[..., channel]
    merged[..., 0] = (merged[..., 1:].sum(dim=-1) == 0).float()
    return merged
