"""Games of hide and seek: who is hidden, where, and that training is never told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from scalable_binding.data.synthetic import hiding as clips
from scalable_binding.data.synthetic.clips import scene_seed
from scalable_binding.data.synthetic.games import build, hiding
from scalable_binding.data.synthetic.hiding import (
    CARRIED,
    CONTAINED,
    MOST_OBJECTS,
    OCCLUDED,
    VISIBLE,
    HidingClips,
    conceal,
    hide,
)
from scalable_binding.data.synthetic.plays import KINDS, NOBODY, Kind
from scalable_binding.errors import UserError

WORLD = hiding(size=32, num_frames=16)


def games(kind: Kind, num: int = 2) -> list[clips.Hiding]:
    return [hide(WORLD, scene_seed(0, number), kind) for number in range(num)]


@pytest.fixture(scope="module")
def played() -> dict[Kind, list[clips.Hiding]]:
    return {kind: games(kind) for kind in KINDS}


def test_a_game_is_a_function_of_its_seed(played: dict[Kind, list[clips.Hiding]]) -> None:
    again = hide(WORLD, scene_seed(0, 0), "carrying")
    other = hide(WORLD, scene_seed(0, 1), "carrying")
    first = played["carrying"][0]
    assert torch.equal(again.frames, first.frames) and torch.equal(again.boxes, first.boxes)
    assert torch.equal(again.states, first.states) and not torch.equal(other.frames, first.frames)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_hides_something_in_its_own_way(
    kind: Kind, played: dict[Kind, list[clips.Hiding]]
) -> None:
    states = torch.cat([game.states.flatten() for game in played[kind]])
    counts = {state: int((states == state).sum()) for state in range(4)}
    assert counts[VISIBLE] > 0
    if kind == "occlusion":
        assert counts[OCCLUDED] > 0 and counts[CONTAINED] == counts[CARRIED] == 0
    elif kind == "containment":
        assert counts[CONTAINED] > counts[CARRIED]
    else:
        assert counts[CARRIED] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_states_follow_from_what_is_shown(
    kind: Kind, played: dict[Kind, list[clips.Hiding]]
) -> None:
    for game in played[kind]:
        t, o = game.states.shape
        assert game.frames.shape == (t, 3, 32, 32) and game.boxes.shape == (t, o, 4)
        assert o == len(game.roles) <= MOST_OBJECTS
        assert torch.equal(game.visible, game.shares >= clips.SEEN_SHARE)
        assert bool((game.boxes[..., 2:] > game.boxes[..., :2]).all())


@pytest.mark.parametrize("kind", ["containment", "carrying", "shell game"])
def test_what_is_in_a_cup_goes_with_it_and_stays_when_it_is_lifted(kind: Kind) -> None:
    for number in range(3):
        world, game = build(WORLD, scene_seed(0, number), kind)
        times = world.times
        inside, center = game.inside(times), game.choreography(times).center
        held = (inside != NOBODY).nonzero()
        assert len(held) > 2
        for t, o in held.tolist():
            torch.testing.assert_close(center[t, o], center[t, inside[t, o]])
        last = held[-1].tolist()
        after = center[last[0] + 1 :, last[1]]
        torch.testing.assert_close(
            after, center[last[0], last[1]].expand_as(after), atol=1e-6, rtol=0
        )
        moved = center[held[0, 0], last[1]] - center[last[0], last[1]]
        assert (float(moved.norm()) > 0.2) == (kind == "carrying") or kind == "shell game"


def test_the_cups_of_a_shell_game_look_the_same_and_change_places() -> None:
    world, game = build(WORLD, 3, "shell game")
    cups = [i for i, role in enumerate(game.roles) if role == "cup"]
    bodies = [world.bodies[world.first_object + cup] for cup in cups]
    assert len(cups) == 3 and all(body is bodies[0] for body in bodies)
    center = game.choreography(world.times).center[:, cups]
    went = (center - center[:1]).norm(dim=-1).amax(dim=0)
    assert int((went > 0.2).sum()) >= 2


def test_concealed_boxes_are_known_where_something_is_seen_and_nowhere_else() -> None:
    game = games("shell game", 1)[0]
    shown = conceal(game.boxes, game.visible)
    assert torch.equal(shown.isnan().any(-1), ~game.visible)
    assert torch.equal(shown[game.visible], game.boxes[game.visible])


def test_training_clips_hold_no_hidden_position() -> None:
    dataset = HidingClips(WORLD, num_games=4, seed=1)
    hidden = 0
    for index in range(8):
        item = dataset[index]
        assert item["boxes"].shape == (16, MOST_OBJECTS, 4)
        seen = item["visible"] & item["exists"]
        assert torch.equal(item["boxes"].isnan().all(-1), ~seen)
        hidden += int((~item["visible"] & item["exists"]).sum())
    assert hidden > 0


def test_clips_are_a_function_of_seed_and_index() -> None:
    first, again = (HidingClips(WORLD, num_games=4, seed=1) for _ in range(2))
    for name, value in first[5].items():
        torch.testing.assert_close(again[5][name], value, atol=0, rtol=0, equal_nan=True)
    assert not torch.equal(first[1]["frames"], first[5]["frames"])  # turned another way


def test_turned_boxes_go_with_turned_frames() -> None:
    """A frame that is black but for each box's middle stays so, whatever is done to both."""
    frames = torch.zeros(3, 3, 9, 9, dtype=torch.uint8)
    boxes = torch.tensor([[1.0, 2, 3, 4], [4, 5, 6, 7], [5, 0, 7, 2]])[:, None]
    visible = torch.tensor([[True], [False], [True]])
    for t, (x0, y0, x1, y1) in enumerate(boxes[:, 0].tolist()):
        frames[t, :, int(y0 + y1) // 2, int(x0 + x1) // 2] = 50 + t
    for seed in range(16):
        turned, moved, seen = clips._vary(np.random.default_rng(seed), frames, boxes, visible)
        assert bool((moved[..., 2:] > moved[..., :2]).all())
        for t, (x0, y0, x1, y1) in enumerate(moved[:, 0].tolist()):
            value = int(turned[t, 0, int(y0 + y1) // 2, int(x0 + x1) // 2])
            assert value >= 50 and bool(seen[t, 0]) == bool(visible[value - 50, 0])


def test_held_out_games_have_other_textures() -> None:
    assert hiding().split == "train" and hiding(held_out=True).split == "held_out"


def test_bad_arguments_are_named() -> None:
    with pytest.raises(UserError, match="at least 0"):
        build(WORLD, -1, "occlusion")
    with pytest.raises(UserError, match="square frames"):
        HidingClips(replace(WORLD, width=48))
