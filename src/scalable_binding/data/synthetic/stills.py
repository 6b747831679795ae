"""Single frames of the synthetic world, with the number of objects as their class."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from scalable_binding.data.datasets.order import Shuffle
from scalable_binding.data.synthetic.clips import scene_seed
from scalable_binding.data.synthetic.config import WorldConfig
from scalable_binding.data.synthetic.painting import draw_frames
from scalable_binding.data.synthetic.world import build


def stills(*, size: int = 64, num_objects: tuple[int, int] = (1, 3)) -> WorldConfig:
    """Few objects of one piece before a textured background, without noise or scenery.

    All textures are generated ones, so that the images do not depend on which photographs are
    installed.
    """
    return WorldConfig(
        height=size,
        width=size,
        num_frames=1,
        num_objects=num_objects,
        num_scenery=(0, 0),
        object_size=(0.12, 0.2),
        limb_rate=0.0,
        light=0.0,
        noise=0.0,
        photograph_rate=0.0,
    )


class SyntheticImages(Dataset[dict[str, Tensor]]):
    """Endless passes over a finite number of scenes: ``dataset[index]`` for every index >= 0.

    An item is ``{"image": uint8 (3 h w), "label": int64 (), "index": int64 ()}``; the label counts
    the scene's objects from the fewest that there can be. A scene is painted when it is first
    asked for (some 8 ms) and remembered by the process.

    Args:
        config: the world; of a clip only the first frame is used.
        num_images: different scenes; each takes its pixels' bytes of memory.
        seed: of the scenes and of their order. Two seeds have no scene in common.
    """

    def __init__(
        self, config: WorldConfig | None = None, *, num_images: int = 8192, seed: int = 0
    ) -> None:
        self.config = config or stills()
        self.seed = seed
        self._order = Shuffle(num_images, seed)
        self._painted: dict[int, tuple[UInt8[Tensor, "3 h w"], int]] = {}

    @property
    def num_classes(self) -> int:
        """How many different numbers of objects there can be."""
        fewest, most = self.config.num_objects
        return most - fewest + 1

    def __len__(self) -> int:
        return self._order.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        number = self._order[index]
        if number not in self._painted:
            self._painted[number] = self._paint(number)
        image, label = self._painted[number]
        return {"image": image, "label": torch.tensor(label), "index": torch.tensor(index)}

    def _paint(self, number: int) -> tuple[UInt8[Tensor, "3 h w"], int]:
        seed = scene_seed(self.seed, number)
        world = build(self.config, seed)
        return draw_frames(world, seed)[0], world.num_objects - self.config.num_objects[0]
