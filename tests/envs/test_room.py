"""The room: how one walks in it, what is solid, and what is drawn anew."""

import math

import pytest
import torch

from scalable_binding.envs import sprites
from scalable_binding.envs.batch import BatchEnv
from scalable_binding.envs.layouts import FIXED_KINDS, FIXED_PLACES, START, sample_layouts
from scalable_binding.envs.room import FORWARD, TURN_LEFT, TURN_RIGHT, Room, RoomConfig
from scalable_binding.errors import UserError


def walk(env, actions):
    for action in actions:
        step = env.step(torch.full((env.num_envs,), action))
    return step


def test_an_episode_begins_at_the_top_looking_in():
    env = Room(RoomConfig(size=24), num_envs=2)
    assert isinstance(env, BatchEnv)
    first = env.reset()
    assert first.shape == (2, 3, 24, 24) and first.dtype == torch.uint8
    assert env.observation_space.contains(first[0].numpy())
    truth = env.ground_truth()
    assert truth["position"].tolist() == [list(START[:2])] * 2
    assert truth["heading"].tolist() == pytest.approx([-math.pi / 2] * 2)
    assert truth["kinds"].tolist() == [list(FIXED_KINDS)] * 2
    walk(env, [FORWARD, TURN_LEFT, FORWARD])
    assert torch.equal(env.reset(), first)


def test_turns_and_steps_are_those_of_the_settings():
    env = Room(RoomConfig(size=24, speed=10.0, turn=30.0))
    env.reset()
    walk(env, [TURN_LEFT])
    assert env.ground_truth()["heading"].item() == pytest.approx(-math.pi / 3, abs=1e-5)
    walk(env, [FORWARD])
    x, y = env.ground_truth()["position"][0].tolist()
    assert (x, y) == pytest.approx((250 + 5, 470 - 10 * math.sin(math.pi / 3)), abs=1e-3)
    walk(env, [TURN_RIGHT, TURN_RIGHT, FORWARD])
    assert env.ground_truth()["position"][0, 0].item() == pytest.approx(250, abs=1e-3)


def test_headings_stay_within_half_a_turn():
    env = Room(RoomConfig(size=24))
    env.reset()
    walk(env, [TURN_RIGHT] * 20)
    expected = -math.pi / 2 - 20 * math.pi / 8
    heading = env.ground_truth()["heading"].item()
    assert abs(heading) <= math.pi + 1e-6
    assert math.cos(heading) == pytest.approx(math.cos(expected), abs=1e-4)
    assert math.sin(heading) == pytest.approx(math.sin(expected), abs=1e-4)


def test_nobody_walks_through_walls_or_objects():
    generator = torch.Generator().manual_seed(0)
    env = Room(RoomConfig(size=16, layout="random", episode_length=150), num_envs=40)
    env.reset()
    nearest = torch.full((40,), 500.0)
    for _ in range(150):
        env.step(torch.multinomial(torch.tensor([1.0, 1.0, 4.0]), 40, True, generator=generator))
        truth = env.ground_truth()
        assert truth["position"].amin() >= 16 and truth["position"].amax() <= 484
        offset = truth["position"][:, None] - truth["objects"]
        nearest = nearest.minimum(offset.norm(dim=-1).amin(1))
    assert nearest.amin() > 39.9 and nearest.amin() < 40.1


def test_only_renewing_draws_other_rooms():
    env = Room(RoomConfig(size=24, layout="random"), num_envs=3, seed=1)
    env.reset()
    before = env.ground_truth()
    env.reset()
    assert torch.equal(env.ground_truth()["objects"], before["objects"])
    env.resample_world()
    env.reset()
    after = env.ground_truth()
    assert (after["objects"] != before["objects"]).any(dim=(1, 2)).all()
    fixed = Room(RoomConfig(size=24))
    fixed.resample_world()
    assert torch.equal(fixed.ground_truth()["objects"][0], torch.tensor(FIXED_PLACES))


def test_random_rooms_show_the_half_of_the_objects_that_they_should():
    for half in ("train", "held_out"):
        env = Room(RoomConfig(size=16, layout="random", kinds=half), num_envs=60)
        shown = set(env.ground_truth()["kinds"].flatten().tolist())
        assert shown <= set(sprites.kinds(half).tolist()) and len(shown) > 45
    assert set(FIXED_KINDS) <= set(sprites.kinds("train").tolist())


def test_layouts_keep_their_distances():
    places, kinds = sample_layouts(200, 50, torch.Generator().manual_seed(0))
    assert places.shape == (200, 5, 2)
    apart = torch.cdist(places, places) + 500 * torch.eye(5)
    assert apart.amin() >= 110
    assert places.amin() >= 60 and places.amax() <= 440
    assert (places - torch.tensor(START[:2])).norm(dim=-1).amin() >= 100
    assert all(len(set(row)) == 5 for row in kinds.tolist())
    assert places.mean((0, 1)).sub(250).abs().amax() < 25


def test_a_state_continues_exactly():
    config = RoomConfig(size=24, layout="random")
    one, other = Room(config, 3, seed=1), Room(config, 3, seed=2)
    one.reset()
    walk(one, [FORWARD] * 4)
    other.load_state_dict(one.state_dict())
    for env in (one, other):
        env.frames = [walk(env, [action]).observation for action in (TURN_LEFT, FORWARD)]
        env.resample_world()
        env.frames.append(env.reset())
    assert all(torch.equal(a, b) for a, b in zip(one.frames, other.frames, strict=True))


def test_an_episode_ends():
    env = Room(RoomConfig(size=16, episode_length=2))
    env.reset()
    assert [bool(walk(env, [FORWARD]).done) for _ in range(3)] == [False, True, True]
    assert env.ground_truth()["position"][0, 1] == 470 - 50


@pytest.mark.parametrize(
    "bad",
    [{"size": 15}, {"size": 43}, {"episode_length": 0}, {"speed": -1.0}, {"turn": 0.0}],
)
def test_settings_are_checked(bad):
    with pytest.raises(UserError, match=f"room, {next(iter(bad))}: expected"):
        RoomConfig(**bad)
