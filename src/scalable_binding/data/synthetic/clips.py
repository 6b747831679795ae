"""Endless data sets of synthetic clips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import Dataset

from scalable_binding.data.synthetic import motion
from scalable_binding.data.synthetic.config import MAX_PARTS_PER_OBJECT, WorldConfig
from scalable_binding.data.synthetic.motion import Script
from scalable_binding.data.synthetic.painting import frames
from scalable_binding.data.synthetic.scenes import Scene, render


class SyntheticClips(Dataset[dict[str, Tensor]]):
    """Another scene for every index >= 0, without end: a pure function of (config, seed, index).

    An item holds ``frames`` UInt8 (t 3 h w) and ``index`` int64; with ``truth`` also every other
    field of ``Scene``. Scenes differ in their numbers of objects, parts and key points. So that
    items stack to batches, these axes are then padded to the largest number there can be, with 0
    and False: ``keypoint_object`` and ``part_object`` are 0 where there is none.

    ``script`` draws how the objects move.
    """

    def __init__(
        self,
        config: WorldConfig,
        seed: int = 0,
        *,
        truth: bool = False,
        script: Script = motion.wander,
    ) -> None:
        self.config, self.seed, self.truth, self.script = config, seed, truth, script

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """The scene of an index."""
        seed = scene_seed(self.seed, index)
        if not self.truth:
            item = {"frames": frames(self.config, seed, script=self.script)}
        else:
            scene = render(self.config, seed, script=self.script)
            item = dict(vars(pad_scene(scene, self.config.num_objects[1])))
        return item | {"index": torch.tensor(index)}


def scene_seed(seed: int, index: int) -> int:
    """The seed of scene ``index`` in the data set of a seed."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0])


def pad_scene(scene: Scene, num_objects: int) -> Scene:
    """The scene with axes for this many objects, each with the most parts and key points."""
    most = num_objects * MAX_PARTS_PER_OBJECT
    parts, points = most - len(scene.part_object), most - len(scene.keypoint_object)
    objects = num_objects - scene.boxes.shape[1]
    return replace(
        scene,
        part_object=pad(scene.part_object, (0, parts)),
        keypoints=pad(scene.keypoints, (0, 0, 0, points)),
        visible=pad(scene.visible, (0, points)),
        keypoint_object=pad(scene.keypoint_object, (0, points)),
        keypoint_part=pad(scene.keypoint_part, (0, points)),
        boxes=pad(scene.boxes, (0, 0, 0, objects)),
        box_visible=pad(scene.box_visible, (0, objects)),
    )
