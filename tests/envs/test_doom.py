"""ViZDoom's room: what is in the file, and what the game makes of it."""

import math
import struct
import zlib

import numpy as np
import pytest
import torch

from scalable_binding.envs import registry, sprites, wad
from scalable_binding.envs.doom import DoomConfig, DoomRoom, lay_out
from scalable_binding.envs.layouts import FIXED_PLACES, START
from scalable_binding.errors import UserError


def write(places, kinds):
    return wad.write(np.array(places), np.array(kinds), START[:2])


def read(data):
    """Names and contents of the lumps of a WAD, from its directory."""
    magic, count, offset = struct.unpack_from("<4sii", data)
    assert magic == b"PWAD"
    entries = [struct.unpack_from("<ii8s", data, offset + 16 * k) for k in range(count)]
    assert offset + 16 * count == len(data)
    return [
        (name.rstrip(b"\0").decode(), data[start : start + size]) for start, size, name in entries
    ]


def test_a_file_holds_actors_pictures_and_rooms():
    lumps = read(write([[[90.0, 385.0]], [[100.0, 100.0]]], [[7], [8]]))
    names = [name for name, _ in lumps]
    assert names[:2] == ["DECORATE", "S_START"] and names[102] == "S_END"
    assert names[103:] == ["ROOM0000", "TEXTMAP", "ENDMAP", "ROOM0001", "TEXTMAP", "ENDMAP"]
    assert lumps[0][1].count(b"actor Object") == sprites.NUM_KINDS
    assert b"x = 90.000; y = 385.000; angle = 0; type = 20007;" in lumps[104][1]
    assert b"type = 20008" in lumps[107][1] and b"type = 20007" not in lumps[107][1]


def test_pictures_stand_on_the_middle_of_their_lower_edge():
    picture = dict(read(write([[[90.0, 385.0]]], [[7]])))["OB42A0"]
    place = picture.index(b"grAb")
    assert place < picture.index(b"IDAT")
    length, kind = struct.unpack_from(">I4s", picture, place - 4)
    assert (length, kind) == (8, b"grAb")
    x, y, check = struct.unpack_from(">iiI", picture, place + 4)
    assert (x, y) == (32, 64) and check == zlib.crc32(picture[place : place + 12])


def test_random_rooms_are_always_the_same_and_keep_the_halves_apart():
    config = DoomConfig(layout="random", num_rooms=40)
    places, kinds = lay_out(config)
    assert places.shape == (40, 5, 2) and np.array_equal(places, lay_out(config)[0])
    assert set(kinds.flatten()) <= set(sprites.kinds("train").tolist())
    _, held_out = lay_out(DoomConfig(layout="random", kinds="held_out", num_rooms=40))
    assert not set(held_out.flatten()) & set(kinds.flatten())


@pytest.mark.parametrize(
    "bad",
    [
        {"size": 8},
        {"episode_length": 0},
        {"frame_skip": 0},
        {"turn": 0.0},
        {"num_rooms": 0},
    ],
)
def test_settings_are_checked(bad):
    with pytest.raises(UserError, match=f"vizdoom, {next(iter(bad))}: expected"):
        DoomConfig(**bad)


@pytest.fixture(scope="module")
def room():
    pytest.importorskip("vizdoom")
    env = DoomRoom(DoomConfig(layout="random", num_rooms=30, episode_length=12))
    yield env
    env.close()


@pytest.mark.slow
def test_an_episode_begins_at_the_top_and_actions_move(room):
    frame, _ = room.reset(seed=0)
    assert frame.shape == (3, 84, 84) and frame.dtype == np.uint8 and frame.std() > 10
    truth = room.ground_truth()
    assert truth["position"] == pytest.approx(START[:2], abs=0.01)
    assert truth["heading"] == pytest.approx(START[2], abs=1e-3)
    room.step(0)
    assert room.ground_truth()["heading"] == pytest.approx(START[2] + math.radians(22.5), abs=0.01)
    room.step(1), room.step(1)
    assert room.ground_truth()["heading"] == pytest.approx(START[2] - math.radians(22.5), abs=0.01)
    room.step(0)
    ends = [room.step(2)[3] for _ in range(8)]
    assert ends == [False] * 7 + [True]
    x, y = room.ground_truth()["position"]
    assert abs(x - 250) < 8 and 250 < y < 400


@pytest.mark.slow
def test_seeds_choose_rooms_and_an_episode_is_the_same_again(room):
    def play(seed):
        frames = [room.reset(seed=seed)[0]]
        frames += [room.step(action)[0] for action in (2, 2, 0, 2, 1)]
        return np.stack(frames), room.ground_truth()

    frames, truth = play(1)
    again, _ = play(1)
    other, elsewhere = play(2)
    assert np.array_equal(frames, again)
    assert not np.array_equal(truth["objects"], elsewhere["objects"])
    assert not np.array_equal(frames, other)
    room.reset()
    assert np.array_equal(room.ground_truth()["objects"], elsewhere["objects"])


@pytest.mark.slow
def test_an_object_is_seen_where_it_stands_and_stops_who_walks_into_it(room):
    # The first object of the fixed room that lies straight ahead of the start.
    env = DoomRoom(DoomConfig(episode_length=20))
    env.reset()
    middle = np.array(FIXED_PLACES)[2]
    for _ in range(20):
        frame, *_ = env.step(2)
    x, y = env.ground_truth()["position"]
    distance = np.hypot(x - middle[0], y - middle[1])
    env.close()
    assert 38 < distance < 60
    # It fills the middle of the frame with its own bright green or violet, unlike the brown walls.
    spread = frame[:, 30:70, 30:54].astype(int)
    assert (spread.max(0) - spread.min(0)).mean() > 40


@pytest.mark.slow
def test_a_batch_shares_a_room_in_a_trial(monkeypatch, tmp_path):
    pytest.importorskip("vizdoom")
    monkeypatch.chdir(tmp_path)
    env = registry.make("vizdoom-random", 2, 3, num_rooms=30, episode_length=3, size=42)
    env.resample_world()
    assert env.reset().shape == (2, 3, 42, 42) and env.episode_length == 3
    first = env.ground_truth()
    env.reset()
    assert torch.equal(env.ground_truth()["objects"], first["objects"])
    env.resample_world()
    env.reset()
    assert not torch.equal(env.ground_truth()["objects"], first["objects"])
    assert [bool(env.step(torch.tensor([2, 0])).done.all()) for _ in range(3)] == [
        False,
        False,
        True,
    ]
    env.close()
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match="option of vizdoom-fixed"):
        registry.make("vizdoom-fixed", 1, wheels=3)
