"""The session: labels, propagation, corrections and their reach, undo, and what is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app import scenes
from app.scenes import COUNT, HEIGHT, WIDTH, overlap
from scalable_binding.app.session import Session
from scalable_binding.errors import UserError

TRUTH = scenes.scene()[1].numpy()


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return scenes.session(tmp_path)


def label_first(session: Session) -> None:
    """Both squares in frame 0, as objects 1 and 2."""
    for number in (1, 2):
        session.add_object()
        session.set_mask(0, number, TRUTH[0] == number)


def frames_made(session: Session, object_id: int) -> dict[int, int | None]:
    """The anchor of each frame in which an object was propagated to."""
    return {s.frame: s.anchor for s in session.statuses() if s.object == object_id and not s.given}


def test_labels_spread_to_all_frames(session: Session) -> None:
    label_first(session)
    steps = list(session.propagate())
    assert [step.frame for step in steps] == list(range(1, COUNT))
    assert (steps[0].done, steps[-1].done, steps[-1].total) == (1, COUNT - 1, COUNT - 1)
    assert steps[-1].seconds_left == 0
    for number in range(COUNT):
        for object_id in (1, 2):
            truth = TRUTH[number] == object_id
            assert overlap(session.mask(number, object_id), truth) > 0.9, number
    confidence = session.confidence()
    assert confidence[0] == 1
    assert (confidence[1:] > 0.8).all()


def test_labels_spread_backward_and_both_ways(session: Session) -> None:
    session.add_object()
    session.set_mask(6, 1, TRUTH[6] == 1)
    assert [step.frame for step in session.propagate("backward")] == [5, 4, 3, 2, 1, 0]
    assert [step.frame for step in session.propagate("both")] == list(range(7, COUNT))
    assert overlap(session.mask(0, 1), TRUTH[0] == 1) > 0.9
    assert overlap(session.mask(COUNT - 1, 1), TRUTH[-1] == 1) > 0.9


def test_between_two_labeled_frames_the_nearer_one_leads(session: Session) -> None:
    session.add_object()
    session.set_mask(0, 1, TRUTH[0] == 1)
    session.set_mask(10, 1, TRUTH[10] == 1)
    list(session.propagate("both"))
    anchors = frames_made(session, 1)
    assert anchors == {n: 0 if n <= 5 else 10 for n in range(1, COUNT) if n != 10}


def test_a_propagation_that_was_stopped_goes_on(session: Session) -> None:
    label_first(session)
    steps = session.propagate()
    assert [next(steps).frame for _ in range(4)] == [1, 2, 3, 4]
    steps.close()
    before = session.ids(3)
    assert [step.frame for step in session.propagate()] == list(range(5, COUNT))
    np.testing.assert_array_equal(session.ids(3), before)
    assert list(session.propagate()) == []


def test_stopping_changes_nothing_in_the_result(tmp_path: Path) -> None:
    clip = scenes.write(tmp_path)
    whole = scenes.session(tmp_path / "a", clip)
    parts = scenes.session(tmp_path / "b", clip)
    for each in (whole, parts):
        label_first(each)
    list(whole.propagate())
    for stop in (3, 7, COUNT):
        list(parts.propagate(frames=range(stop)))
    for number in range(COUNT):
        assert overlap(parts.ids(number) == 1, whole.ids(number) == 1) > 0.98


def test_a_correction_makes_only_what_depends_on_it_again(session: Session) -> None:
    label_first(session)
    list(session.propagate())
    edits = {(s.frame, s.object): s.edit for s in session.statuses()}
    steps = list(session.correct(5, 1, TRUTH[5] == 1))
    assert [(step.frame, step.objects) for step in steps] == [(n, (1,)) for n in range(6, COUNT)]
    changed = {
        (s.frame, s.object) for s in session.statuses() if s.edit != edits[s.frame, s.object]
    }
    assert changed == {(n, 1) for n in range(5, COUNT)}
    assert not any(s.stale for s in session.statuses())


def test_a_correction_ends_at_the_next_labeled_frame(session: Session) -> None:
    label_first(session)
    list(session.propagate())
    list(session.correct(8, 1, TRUTH[8] == 1))
    steps = list(session.correct(4, 1, TRUTH[4] == 1))
    assert [step.frame for step in steps] == [5, 6, 7]


def test_a_wrong_mask_spreads_and_its_correction_mends_it(session: Session) -> None:
    session.add_object()
    session.set_mask(0, 1, TRUTH[0] == 2)
    list(session.propagate())
    assert overlap(session.mask(9, 1), TRUTH[9] == 2) > 0.9
    list(session.correct(3, 1, TRUTH[3] == 1))
    assert overlap(session.mask(9, 1), TRUTH[9] == 1) > 0.9
    assert overlap(session.mask(2, 1), TRUTH[2] == 2) > 0.9, "frames before stay"


def test_an_object_added_late_leaves_the_others_alone(session: Session) -> None:
    session.add_object()
    session.set_mask(0, 1, TRUTH[0] == 1)
    list(session.propagate())
    before = [session.mask(number, 1) for number in range(COUNT)]
    late = session.add_object("late")
    session.set_mask(6, late.id, TRUTH[6] == 2)
    assert {step.objects for step in session.propagate("both", objects=[late.id])} == {(late.id,)}
    assert overlap(session.mask(1, late.id), TRUTH[1] == 2) > 0.9
    for number in range(COUNT):
        assert overlap(session.mask(number, 1), before[number]) > 0.99


def test_an_object_that_is_not_there_stays_away(session: Session) -> None:
    label_first(session)
    session.set_mask(4, 1, np.zeros((HEIGHT, WIDTH)))
    list(session.propagate())
    assert session.mask(3, 1).any()
    assert not session.mask(6, 1).any()
    assert overlap(session.mask(6, 2), TRUTH[6] == 2) > 0.9


def test_locked_frames_refuse_edits_and_hold_against_propagation(session: Session) -> None:
    label_first(session)
    list(session.propagate())
    session.lock(5)
    with pytest.raises(UserError, match="frame 5 is locked; unlock it"):
        session.set_mask(5, 1, TRUTH[5] == 2)
    before = session.ids(5)
    steps = list(session.correct(2, 1, TRUTH[2] == 2))
    assert [step.frame for step in steps] == [3, 4], "what comes from the lock stays"
    np.testing.assert_array_equal(session.ids(5), before)
    assert session.locked == {5}


def test_an_edit_while_frames_are_made_is_not_overruled(session: Session) -> None:
    label_first(session)
    steps = session.propagate()
    assert next(steps).frame == 1
    session.set_mask(0, 1, TRUTH[0] == 2)  # the labels that the propagation started from
    session.set_mask(4, 2, TRUTH[4] == 1)  # a frame that it comes to
    list(steps)
    assert not any(status.stale for status in session.statuses())
    np.testing.assert_array_equal(session.mask(4, 2), TRUTH[4] == 1)
    assert overlap(session.mask(3, 1), TRUTH[3] == 2) > 0.5


def test_tools_paint_erase_and_fill(session: Session) -> None:
    session.add_object()
    session.fill_box(0, 1, (10, 20), (29, 39))
    assert session.mask(0, 1).sum() == 400
    session.fill_box(0, 1, (10, 20), (19, 39), erase=True)
    assert session.mask(0, 1).sum() == 200
    session.fill_polygon(0, 1, [(100, 10), (120, 10), (120, 30), (100, 30)])
    assert session.mask(0, 1)[20, 110]
    session.paint(0, 1, [(60, 60), (80, 60)], 5)
    mask = session.mask(0, 1)
    assert mask[60, 55:86].all() and mask[56, 70] and not mask[53, 70]
    session.paint(0, 1, [(70, 60)], 5, erase=True)
    assert not session.mask(0, 1)[60, 70]


def test_the_latest_of_two_masks_has_the_pixels_that_both_claim(session: Session) -> None:
    for _ in range(2):
        session.add_object()
    session.fill_box(0, 2, (0, 0), (19, 19))
    session.fill_box(0, 1, (10, 0), (29, 19))
    assert session.mask(0, 1).sum() == 400
    assert session.mask(0, 2).sum() == 200
    session.fill_box(0, 2, (40, 40), (41, 41))
    assert session.mask(0, 1).sum() == 400, "an edit elsewhere takes nothing back"


def test_points_are_set_and_followed(session: Session) -> None:
    corner = session.add_object("corner", kind="point")
    session.set_point(0, corner.id, 40, 32)
    list(session.propagate())
    x, y, confidence = session.points(5)[corner.id]
    assert abs(x - 80) < 6 and abs(y - 32) < 6 and 0 < confidence <= 1
    assert not session.ids(5).any(), "a point is no mask"


def test_clicks_grow_a_mask_and_undo_shrinks_it(session: Session) -> None:
    session.add_object()
    mask = session.click(0, 1, *scenes.CENTERS[1])
    assert overlap(mask, TRUTH[0] == 1) > 0.7
    np.testing.assert_array_equal(session.mask(0, 1), mask)
    session.click(0, 1, *scenes.CENTERS[2])
    assert session.mask(0, 1)[72, 40]
    session.click(0, 1, *scenes.CENTERS[2], positive=False)
    assert not session.mask(0, 1)[72, 40]
    assert session.undo() == "click in frame 0"
    assert session.mask(0, 1)[72, 40]
    assert len(session.labels.clicks(0)[1]) == 2


def test_a_later_click_only_adds_or_only_takes_away(session: Session) -> None:
    session.add_object()
    before = session.click(0, 1, *scenes.CENTERS[1])
    generator = np.random.default_rng(0)
    for number in range(12):
        x, y = generator.uniform((0, 0), (WIDTH - 1, HEIGHT - 1))
        is_on = bool(number % 2)
        after = session.click(0, 1, x, y, positive=is_on)
        assert not (before & ~after if is_on else after & ~before).any()
        assert after[round(y), round(x)] == is_on
        before = after


def test_a_click_leaves_other_objects_what_they_have(session: Session) -> None:
    square = TRUTH[0] == 2
    session.add_object()
    session.fill_box(0, 1, (42, 56), (55, 87))  # the right part of the lower square
    taken = session.mask(0, 1)
    session.add_object()
    mask = session.click(0, 2, 30, 72)
    assert overlap(mask, square & ~taken) > 0.7
    np.testing.assert_array_equal(session.mask(0, 1), taken)
    mask = session.click(0, 2, 50, 72)
    assert mask[72, 50], "unless the click lies on one of them"
    assert session.ids(0)[72, 50] == 2


def test_undo_and_redo_go_through_the_history(session: Session) -> None:
    dog = session.add_object("dog")
    session.fill_box(0, dog.id, (0, 0), (9, 9))
    list(session.propagate())
    session.change_object(dog.id, name="cat", color="#112233")
    session.remove_object(dog.id)
    assert session.objects == []
    assert [session.undo() for _ in range(2)] == ["remove cat", "change dog"]
    assert session.objects == [dog]
    assert session.undo() == "box in frame 0"
    assert not session.mask(0, dog.id).any()
    assert all(status.stale for status in session.statuses()), "its origin is gone"
    assert session.redo() == "box in frame 0"
    assert session.mask(0, dog.id).sum() == 100
    session.lock(3)
    assert session.history() == ("lock", None), "a new edit forgets what was undone"
    assert session.undo() == "lock"
    assert session.locked == set()
    assert [session.undo() for _ in range(3)] == ["box in frame 0", "add dog", None]


def test_all_is_there_when_the_project_is_opened_again(tmp_path: Path) -> None:
    with scenes.session(tmp_path) as session:
        label_first(session)
        list(session.propagate())
        session.lock(2)
        before = [session.ids(number) for number in range(COUNT)]
    with Session(None, tmp_path / "project", config=scenes.SHARP) as again:
        for number in range(COUNT):
            np.testing.assert_array_equal(again.ids(number), before[number])
        assert again.locked == {2}
        assert again.undo() == "lock"


def test_features_are_computed_once_and_bounded(tmp_path: Path) -> None:
    counted = Counting()
    clip = scenes.write(tmp_path)
    first = Session(clip, tmp_path / "p", model=counted, config=scenes.SHARP)
    label_first(first)
    list(first.propagate())
    computed = counted.calls
    assert 0 < computed <= COUNT
    list(first.correct(3, 1, TRUTH[3] == 1))
    assert counted.calls == computed, "a correction encodes nothing again"
    small = Session(clip, tmp_path / "q", model=counted, config=scenes.SHARP, cache_bytes=200_000)
    label_first(small)
    list(small.propagate())
    kept = sum(file.stat().st_size for file in (tmp_path / "q" / "cache").rglob("*.npy"))
    assert 0 < kept <= 200_000


class Counting(scenes.RawPatches):
    calls = 0

    def features(self, frame: scenes.Tensor) -> scenes.Tensor:
        self.calls += 1
        return super().features(frame)


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda s: s.set_mask(0, 1, np.zeros((3, 4))), "mask: expected 96 x 160 pixels, got 3 x 4"),
        (lambda s: s.set_mask(99, 1, TRUTH[0]), "frame: expected 0 to 11, got 99"),
        (lambda s: s.set_mask(0, 7, TRUTH[0]), "no object 7: expected one of 1"),
        (lambda s: s.set_point(0, 1, 3, 3), "object 1 is a mask: expected a point"),
        (lambda s: s.click(0, 1, -4, 3), "place: expected inside the frame of 96 x 160"),
        (lambda s: s.click(0, 1, 4, 3, positive=False), "clicks: expected one on the object first"),
        (lambda s: s.paint(0, 1, [], 4), "stroke: expected at least one point, got none"),
        (lambda s: s.paint(0, 1, [(3, 3)], 0), "radius: expected above 0"),
        (lambda s: s.fill_polygon(0, 1, [(3, 3)]), "polygon: expected at least 3 corners, got 1"),
        (lambda s: s.fill_box(0, 1, (900, 3), (950, 4)), "box: expected inside the frame"),
        (lambda s: s.propagate(), "nothing is labeled yet; mark an object"),
        (lambda s: s.propagate("up"), "direction: expected forward, backward or both, got up"),
        (lambda s: s.add_object("object 1"), "there is an object 'object 1' already"),
        (lambda s: s.add_object(" "), "name: expected 1 to 80 characters, got 0"),
        (lambda s: s.add_object(color="red"), "color: expected #rrggbb"),
    ],
)
def test_what_cannot_be_done_is_one_line(session: Session, call, line: str) -> None:  # type: ignore[no-untyped-def]
    session.add_object()
    before = session.history()
    with pytest.raises(UserError, match="^" + line.replace("(", r"\(")):
        call(session)
    assert session.history() == before


def test_a_project_of_another_video_is_refused(tmp_path: Path) -> None:
    scenes.session(tmp_path).close()
    other = scenes.write(tmp_path / "other", 5)
    with pytest.raises(UserError, match="of another video: expected 12 frames"):
        Session(other, tmp_path / "project")
    with pytest.raises(UserError, match="no project in"):
        Session(None, tmp_path / "nothing")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "project.db").write_bytes(b"no database" * 500)
    with pytest.raises(UserError, match="cannot open the project"):
        Session(other, tmp_path / "bad")


class Coarse(scenes.RawPatches):
    """Cells of 16 pixels: every other one of those of 8."""

    stride = 16

    def features(self, frame: scenes.Tensor) -> scenes.Tensor:
        return super().features(frame)[:, ::2, ::2]


def test_the_cells_are_the_models_own(tmp_path: Path) -> None:
    clip = scenes.write(tmp_path)
    with Session(clip, tmp_path / "project", model=Coarse(), config=scenes.SHARP) as session:
        label_first(session)
        list(session.propagate())
        assert session.labels.cells == (HEIGHT // 16, WIDTH // 16)
        assert session.mask(1, 1).any()
    with Session(None, tmp_path / "project", config=scenes.SHARP, model=Coarse()) as again:
        assert again.labels.cells == (HEIGHT // 16, WIDTH // 16) and again.mask(1, 1).any()
    fine = Session(clip, tmp_path / "project", model=scenes.RawPatches(), config=scenes.SHARP)
    with fine, pytest.raises(UserError, match="cells of 16 pixels: got a model with cells of 8"):
        list(fine.correct(2, 1, TRUTH[2] == 1))
