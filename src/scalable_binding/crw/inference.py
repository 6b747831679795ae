"""Label propagation: label one frame, get the labels of all others, one frame at a time."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping

from scalable_binding.crw import labels as label_maps
from scalable_binding.crw.adaptation import Adapter, windows
from scalable_binding.crw.backbone import Backbone
from scalable_binding.crw.labels import Labels
from scalable_binding.crw.model import Encoder
from scalable_binding.crw.model import load as load
from scalable_binding.crw.presets import AdaptationConfig, PropagationConfig
from scalable_binding.crw.propagator import CellLabels as CellLabels
from scalable_binding.crw.propagator import FeatureModel as FeatureModel
from scalable_binding.crw.propagator import Frame as Frame
from scalable_binding.crw.propagator import Prediction as Prediction
from scalable_binding.crw.propagator import Propagator as Propagator
from scalable_binding.crw.propagator import Search as Search
from scalable_binding.crw.propagator import check_size
from scalable_binding.errors import UserError
from scalable_binding.walk.neighbors import top_neighbors


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
        frames = adapting(frames, propagator, adaptation)
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


def adapting(
    frames: Iterable[Frame], propagator: Propagator, config: AdaptationConfig
) -> Iterator[Frame]:
    """The frames, each given out once the propagator's model has learnt from those around it.

    Raises:
        UserError: the model has no weights to adapt.
    """
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
        check_size(number, frame.shape, size)
        yield frame
