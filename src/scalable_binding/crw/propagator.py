"""Label propagation from frame to frame: the context, the search in it, and corrections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from scalable_binding.crw import labels as label_maps
from scalable_binding.crw.labels import Labels, LabelSpace
from scalable_binding.crw.presets import PropagationConfig
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
        self._absent: frozenset[int] = frozenset()

    def start(
        self,
        frame: Frame,
        labels: Labels,
        space: LabelSpace | None = None,
        objects: Sequence[int] | None = None,
    ) -> Prediction:
        """Take the first frame and its labels; forgets everything before.

        Args:
            frame: the first frame.
            labels: of it.
            space: of these labels and all that are to come; by default that of these labels.
            objects: as of :meth:`correct`.

        Raises:
            UserError: labels that are empty, of another size, or outside the frame.
        """
        space = space or label_maps.space_of(labels)
        height, width = frame.shape[1:]
        maps = label_maps.encode(labels, space, height, width, self.config.zoom, self.model.stride)
        features = self._read_first(frame)
        self._space = space
        told = None if objects is None else frozenset(objects)
        self._latest = _Node(frame, features, maps.to(features.device), told)
        self._references = [self._latest]
        self._recent, self._absent = [], frozenset()
        if told is not None:
            self._absent = told - self._present(maps, space)
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
            check_size(len(nodes), frame.shape, references[0][0].shape)
            features = self._read(frame) if nodes else self._read_first(frame)
            expected = (*features.shape[1:], len(space.ids) + 1)
            if tuple(maps.shape) != expected:
                raise UserError("label maps", expected=str(expected), got=str(tuple(maps.shape)))
            nodes.append(_Node(frame, features, maps.to(features.device)))
        self._space, self._absent = space, frozenset()
        self._references, self._recent = nodes[: len(references)], nodes[len(references) :]
        self._latest = nodes[-1]
        self.frame = len(nodes) - 1

    def step(self, frame: Frame) -> Prediction:
        """Label the next frame.

        Raises:
            UserError: a frame of another size than the first, or a call before :meth:`start`.
        """
        return self._prediction(self.advance(frame), frame, sharp=self.config.edges)

    def advance(self, frame: Frame) -> CellLabels:
        """Label the next frame, on the feature cells only: ``Prediction.maps`` of :meth:`step`.

        Raises:
            UserError: as :meth:`step`.
        """
        check_size(self.frame + 1, frame.shape, self._started().frame.shape)
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
        if self._absent:
            maps = label_maps.without(maps, self._space.channels(self._absent))
        self._latest = _Node(frame, features, maps)
        self._recent.append(self._latest)
        del self._recent[: -self.config.context]
        self.frame += 1
        return maps

    def correct(self, labels: Labels, objects: Sequence[int] | None = None) -> Prediction:
        """Replace the labels of the latest frame, which from then on is a reference like the first.

        The recent frames, whose labels it overrules, no longer count. A mask replaces the whole
        frame's labels and may bring new ids (new objects) or lack old ones (hidden objects).
        Points replace only those points that are given.

        Args:
            labels: of the latest frame.
            objects: the objects that a mask tells of; the others keep their labels where the mask
                leaves room. Those that it lacks are not to be seen until labels bring them again.
                Labeled frames of before that do not tell of an object take its labels from here.

        Raises:
            UserError: labels that are empty, of another size or kind, or outside the frame; then
                nothing has changed.
        """
        latest = self._started()
        space = label_maps.space_of(labels) if objects is None else label_maps.told(labels, objects)
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
            maps = label_maps.merge_points(latest.maps, maps, extended.channels(space.ids))
        elif objects is None:
            self._absent = frozenset()
        else:
            maps = label_maps.merge(latest.maps, maps, extended.channels(space.ids))
            self._absent = (self._absent | set(space.ids)) - self._present(maps, extended)
        latest.maps = maps
        latest.told = None if objects is None else (latest.told or frozenset()) | set(space.ids)
        if objects is not None:
            for node in self._references[:-1]:
                self._tell(node, latest, sorted(set(space.ids) - self._absent))
        return self._prediction(maps, latest.frame)

    def refresh(self) -> None:
        """Compute the features of the context anew, after the model has changed."""
        for number, node in enumerate((*self._references, *self._recent)):
            node.features = (self._read if number else self._read_first)(node.frame)

    def _present(self, maps: CellLabels, space: LabelSpace) -> frozenset[int]:
        channels = zip(space.ids, space.channels(space.ids), strict=True)
        return frozenset(label for label, channel in channels if maps[..., channel].any())

    def _tell(self, node: _Node, source: _Node, objects: Sequence[int]) -> None:
        """Carry labels of objects to a labeled frame that does not tell of them."""
        missing = [label for label in objects if not (node.told is None or label in node.told)]
        if not missing:
            return
        neighbors = self._search(
            node.features, [source.features], k=self.config.neighbors, radius=self.config.radius
        )
        carried = carry_labels(neighbors, [source.maps], self.config.temperature)
        node.maps = label_maps.merge(node.maps, carried, self._space.channels(missing))

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

    def _prediction(self, maps: CellLabels, frame: Frame, *, sharp: bool = False) -> Prediction:
        zoom, stride = self.config.zoom, self.model.stride
        return predict(maps, self._space, self.frame, frame, zoom, stride, sharp=sharp)


def predict(
    maps: CellLabels,
    space: LabelSpace,
    number: int,
    frame: Frame,
    zoom: float,
    stride: int,
    *,
    sharp: bool,
) -> Prediction:
    """What the label maps of the feature cells say of a frame, at its own size.

    Where they are ``sharp``, masks follow the edges of the frame; labels that were given stay as
    they are.
    """
    height, width = frame.shape[1:]
    guide = frame if sharp else None
    ids, scores = label_maps.decode_masks(maps, space, height, width, guide)
    points: tuple[Keypoint, ...] = ()
    if space.are_points:
        points = label_maps.decode_points(maps, space, number, height, width, zoom, stride)
    ids, scores = ids.to(frame.device), scores.to(frame.device)
    return Prediction(number, space.ids, ids, scores, scores.amax(dim=0), points, maps)


@dataclass
class _Node:
    """A frame of the context: its pixels, features and soft labels.

    ``told`` are the objects that its user's labels tell of; None: all.
    """

    frame: Frame
    features: Float[Tensor, "d h8 w8"]
    maps: Float[Tensor, "h8 w8 c"]
    told: frozenset[int] | None = None

    def widen(self, channels: int) -> None:
        """Add empty label channels up to ``channels``."""
        missing = channels - self.maps.shape[-1]
        self.maps = torch.nn.functional.pad(self.maps, (0, missing))


def check_size(number: int, size: torch.Size, first: torch.Size) -> None:
    """Nothing, when a frame is of the size of the first.

    Raises:
        UserError: it is of another.
    """
    if size != first:
        expected, got = (f"{height} x {width} pixels" for _, height, width in (first, size))
        raise UserError(f"frame {number}", expected=expected, got=got)
