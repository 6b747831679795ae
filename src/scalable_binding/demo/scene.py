"""The synthetic clip that the demo shows."""

from __future__ import annotations

from dataclasses import replace

from scalable_binding.data.synthetic import Scene, WorldConfig, evaluation, render
from scalable_binding.data.synthetic.clips import scene_seed
from scalable_binding.demo.stage import DemoConfig, Stage

FPS = 12
"""Frames a second at which synthetic clips are played."""

_PREVIEW = 8
"""Previews are this many times smaller than the clip."""

_SMALLEST = 0.008
"""Share of the first and of the last frame that every object of a fit scene covers."""


def draw_scene(stage: Stage) -> Scene:
    """The scene, out of a few, in which an object is hidden most and comes out again.

    Scenes are looked at in small previews, by their truth alone and before anything is labelled.
    """
    config = stage.config
    world = _world(config)
    preview = replace(world, height=config.height // _PREVIEW, width=config.width // _PREVIEW)
    seeds = [scene_seed(config.seed, index) for index in range(config.num_scenes)]
    looks = stage.track(seeds, "looking for a good scene", len(seeds))
    interest = {seed: _interest(render(preview, seed)) for seed in looks}
    stage.say("  painting it, with the truth about every pixel ...")
    return render(world, max(seeds, key=interest.__getitem__))


def _world(config: DemoConfig) -> WorldConfig:
    """Fairly large objects, most of them with limbs."""
    world = evaluation(height=config.height, width=config.width, num_frames=config.num_frames)
    return replace(world, object_size=(0.13, 0.26), limb_rate=0.8)


def _interest(scene: Scene) -> float:
    """How much of an object is hidden and comes out again; -1 if one is not there at both ends."""
    num_objects = scene.boxes.shape[1]
    for mask in (scene.masks[0], scene.masks[-1]):
        areas = [float((mask == label).float().mean()) for label in range(1, num_objects + 1)]
        if min(areas) < _SMALLEST:
            return -1.0
    seen = scene.box_visible
    lowest = seen.amin(dim=0)
    gone = seen[-1].minimum(seen[0]) - lowest
    return float((gone * (lowest > 0.15)).amax())
