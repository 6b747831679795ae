from dataclasses import replace

import numpy as np
import pytest
import torch

from reference.surfaces import outlines
from reference.surfaces import surface_at as slow_surface_at
from scalable_binding.data.synthetic import WorldConfig, noiseless, render
from scalable_binding.data.synthetic.motion import Choreography, Poses
from scalable_binding.data.synthetic.scenes import describe
from scalable_binding.data.synthetic.world import build, place

CONFIG = replace(noiseless(size=128, num_frames=3), num_objects=(3, 5))
RIGID = replace(
    CONFIG,
    num_scenery=(0, 0),
    limb_rate=0.0,
    deformation=0.0,
    camera_speed=0.0,
    camera_turn=0.0,
    camera_zoom=0.0,
    follow_rate=0.0,
)
SEEDS = range(4)


@pytest.fixture(scope="module")
def scenes():
    return [render(CONFIG, seed) for seed in SEEDS]


def test_masks_are_the_objects_of_the_parts(scenes):
    for scene in scenes:
        owner = torch.cat((torch.zeros(1, dtype=torch.int64), scene.part_object))
        assert torch.equal(owner[scene.parts.long()], scene.masks.long())
        assert scene.masks.max() <= scene.boxes.shape[1]


def test_masks_lie_in_the_amodal_boxes(scenes):
    for scene in scenes:
        for t, mask in enumerate(scene.masks):
            for o, (x0, y0, x1, y1) in enumerate(scene.boxes[t].tolist()):
                rows, columns = torch.nonzero(mask == o + 1, as_tuple=True)
                assert (len(rows) > 0) == (scene.box_visible[t, o] > 0)
                if len(rows):
                    assert x0 - 1 <= columns.min() and columns.max() <= x1 + 1
                    assert y0 - 1 <= rows.min() and rows.max() <= y1 + 1


def test_the_box_of_a_lone_object_is_tight():
    config = replace(CONFIG, num_objects=(1, 1), num_scenery=(0, 0), object_size=(0.1, 0.1))
    script = _line_up(lambda t: torch.zeros(len(t), 1, 2, dtype=torch.float64))
    scene = render(config, 3, script=script)
    rows, columns = torch.nonzero(scene.masks[0], as_tuple=True)
    drawn = torch.stack((columns.min(), rows.min(), columns.max(), rows.max())).float()
    assert (drawn - scene.boxes[0, 0]).abs().max() < 1.5
    assert (scene.box_visible == 1).all()


def test_visible_keypoints_lie_on_their_part(scenes):
    count = 0
    for scene in scenes:
        for t in range(3):
            for k in torch.nonzero(scene.visible[t])[:, 0]:
                x, y = scene.keypoints[t, k].round().long().tolist()
                near = scene.parts[t, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
                assert (near == scene.keypoint_part[k]).any()
                count += 1
    assert count > 50


def test_keypoint_visibility_equals_the_slow_reference(scenes):
    checked = 0
    for seed, scene in zip(SEEDS, scenes, strict=True):
        world = build(CONFIG, seed)
        placements = place(world, torch.arange(3, dtype=torch.float64))
        scenery = sum(len(body.parts) for body in world.bodies[: world.first_object])
        for t in range(3):
            surfaces = outlines(placements, t)
            for k, (x, y) in enumerate(scene.keypoints[t].tolist()):
                seen, distance = slow_surface_at(surfaces, x, y)
                own = seen - scenery + 1 == scene.keypoint_part[k]
                if distance > 0.5:
                    inside = 0 <= x <= 127 and 0 <= y <= 127
                    assert scene.visible[t, k] == (bool(own) and inside)
                    checked += 1
    assert checked > 80


def test_flow_carries_each_pixel_to_its_color(scenes):
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    total = unmoved = 0.0
    for scene in scenes:
        for t in range(2):
            target = torch.stack((x + scene.flow[t, 0], y + scene.flow[t, 1]), dim=-1)
            warped = torch.nn.functional.grid_sample(
                scene.frames[t + 1][None].float(), target[None] * 2 / 127 - 1, align_corners=True
            )[0]
            frame = scene.frames[t].float()
            valid = scene.flow_valid[t]
            error = (warped - frame).abs().mean(dim=0)[valid].mean()
            assert error < 4
            total += error
            unmoved += (scene.frames[t + 1].float() - frame).abs().mean(dim=0)[valid].mean()
    assert total < 0.3 * unmoved


def test_flow_validity_equals_the_slow_reference(scenes):
    rng = np.random.default_rng(0)
    checked = hidden = 0
    for seed, scene in zip(SEEDS, scenes, strict=True):
        placements = place(build(CONFIG, seed), torch.arange(3, dtype=torch.float64))
        first, second = outlines(placements, 0), outlines(placements, 1)
        on_object = scene.parts[0] > 0
        some = torch.from_numpy(rng.random((128, 128))) < 0.02
        candidates = torch.nonzero(on_object & (some | ~scene.flow_valid[0]))
        for row in rng.permutation(len(candidates))[:40]:
            y, x = candidates[row].tolist()
            before, near_before = slow_surface_at(first, x, y)
            tx, ty = x + float(scene.flow[0, 0, y, x]), y + float(scene.flow[0, 1, y, x])
            after, near_after = slow_surface_at(second, tx, ty)
            if min(near_before, near_after) > 0.5:
                inside = 0 <= tx <= 127 and 0 <= ty <= 127
                assert scene.flow_valid[0, y, x] == (before == after and inside)
                checked += 1
                hidden += before != after
    assert checked > 60 and hidden > 5


def test_flow_of_a_still_background_is_zero_and_of_a_moved_object_constant():
    velocity = torch.tensor([0.01, -0.02], dtype=torch.float64)
    script = _line_up(lambda times: (times[:, None] * velocity)[:, None])
    scene = render(replace(RIGID, num_objects=(1, 1)), 1, script=script)
    on_object = scene.masks[0] == 1
    assert scene.flow[0][:, ~on_object].abs().max() < 1e-4
    flow = scene.flow[0][:, on_object]
    assert flow.std(dim=1).max() < 1e-4
    length = flow[:, 0].norm() / 128  # the fixed camera is zoomed and turned a little
    assert length == pytest.approx(velocity.norm().item(), rel=0.25)


def test_a_hidden_object_keeps_its_box():
    """Object 1, small, passes behind object 2, which is larger and nearer."""

    def positions(times):
        start = torch.tensor([[-0.35, 0.0], [0.0, 0.0]], dtype=torch.float64)
        step = torch.tensor([[0.07, 0.0], [0.0, 0.0]], dtype=torch.float64)
        return start + times[:, None, None] * step

    config = replace(RIGID, num_frames=11, num_objects=(2, 2))
    scene = render(config, 0, script=_line_up(positions, sizes=(0.05, 0.25)))
    assert scene.box_visible[0, 0] == 1 and scene.box_visible[5, 0] == 0
    assert not scene.visible[5, scene.keypoint_object == 1].any()
    last = int(torch.nonzero(scene.box_visible[:, 0] < 1)[0]) - 1
    assert not scene.flow_valid[last][scene.masks[last] == 1].all()
    steps = (scene.boxes[:, 0, :2] + scene.boxes[:, 0, 2:]).diff(dim=0) / 2
    assert steps.std(dim=0).max() < 1e-3
    assert 0.05 * 128 < steps[0].norm() < 0.09 * 128


def test_scene_is_pure_and_frames_do_not_depend_on_the_truth(scenes):
    again = render(CONFIG, 0)
    for name, value in vars(scenes[0]).items():
        assert torch.equal(value, getattr(again, name)), name
    assert not again.frames.is_inference()


def test_one_frame_and_no_object():
    config = WorldConfig(height=40, width=30, num_frames=1, num_objects=(0, 0))
    scene = describe(build(config, 0), 0)
    assert scene.flow.shape == (0, 2, 40, 30)
    assert scene.keypoints.shape == (1, 0, 2) and scene.boxes.shape == (1, 0, 4)
    assert not scene.masks.any()


def _line_up(positions, sizes: tuple[float, ...] = (0.1,)):
    """A script that puts upright objects where ``positions(times)`` (t o 2) says."""

    def script(rng, config, num_objects: int) -> Choreography:
        def poses(times) -> Poses:
            size = torch.tensor(sizes, dtype=torch.float64)
            center = positions(times)
            depth = torch.arange(num_objects, dtype=torch.float64).expand(len(times), -1)
            return Poses(
                center=center,
                angle=torch.zeros(len(times), num_objects, dtype=torch.float64),
                scale=size[:, None].expand(len(times), num_objects, 2),
                depth=depth,
            )

        return poses

    return script
