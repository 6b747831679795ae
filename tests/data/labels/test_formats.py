"""Label files of other tools: what is written is read again, and hostile files are one line."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from scalable_binding.data.labels import (
    coco,
    cvat,
    formats,
    keypoints,
    label_studio,
    mask_folders,
    masks,
    rle,
    tracks,
)
from scalable_binding.data.labels.keypoints import Keypoint
from scalable_binding.data.labels.tracks import Point, Shape, Track, Video, VideoTracks
from scalable_binding.errors import UserError

VIDEO = Video(name="walk", height=24, width=32, num_frames=6, fps=10.0)


def _disc(x, y, radius):
    rows, columns = np.mgrid[: VIDEO.height, : VIDEO.width]
    return (columns - x) ** 2 + (rows - y) ** 2 < radius**2


def _masks():
    """A dog in every frame, and a cat in frames 2 and 3 that then is gone."""
    dog = [Shape(frame=t, mask=rle.encode(_disc(6 + t, 8, 4))) for t in range(6)]
    cat = [Shape(frame=t, mask=rle.encode(_disc(24, 15 + t, 3))) for t in (2, 3)]
    return VideoTracks(
        video=VIDEO,
        tracks=(
            Track(id=1, name="dog & <co>", shapes=tuple(dog)),
            Track(id=7, name='"cat"', shapes=(*cat, Shape(frame=4))),
        ),
    )


def _boxes():
    shapes = [Shape(frame=t, box=(2.25 + t, 3.0, 9.5 + t, 11.125)) for t in (0, 1, 4)]
    return VideoTracks(video=VIDEO, tracks=(Track(id=2, name="car", shapes=tuple(shapes)),))


def _poses():
    """Two animals of one kind with three named points, one hidden, one missing at times."""
    found = []
    for number in (1, 2):
        shapes = []
        for frame in (0, 2):
            nose = Point("nose", 4.5 * number + frame, 5.25)
            tail = Point("tail", 9.0, 7.0 + number, confidence=0.0)
            paw = Point("paw", 3.0, 4.0 + frame)
            shapes.append(Shape(frame=frame, points=(nose, tail, paw)[: 3 - frame // 2]))
        found.append(Track(id=number, name="animal", shapes=tuple(shapes)))
    return VideoTracks(video=VIDEO, tracks=tuple(found))


def _without_absence(labels):
    kept = [
        replace(track, shapes=tuple(s for s in track.shapes if not s.is_absent))
        for track in labels.tracks
    ]
    return replace(labels, tracks=tuple(kept))


def _round_trip(tmp_path, labels, kind):
    path = tmp_path / f"labels{formats.FORMATS[kind].suffix}"
    formats.write(path, labels, kind)
    return formats.read(path, VIDEO)


@pytest.mark.parametrize("kind", ["cvat", "coco", "youtube-vos", "png"])
def test_masks_come_back(tmp_path, kind):
    found = _round_trip(tmp_path, _masks(), kind)
    expected = _without_absence(_masks()) if kind in ("coco", "youtube-vos") else _masks()
    if kind == "png":  # has no names
        names = [replace(track, name=str(track.id)) for track in expected.tracks]
        expected = replace(expected, tracks=tuple(names))
    assert found == expected


@pytest.mark.parametrize("kind", ["cvat", "coco", "label-studio"])
def test_boxes_come_back(tmp_path, kind):
    found = _round_trip(tmp_path, _boxes(), kind)
    (before,), (after,) = _boxes().tracks, found.tracks
    assert after.name == before.name
    assert [shape.frame for shape in after.shapes] == [0, 1, 4]
    for shape, given in zip(after.shapes, before.shapes, strict=True):
        assert shape.box == pytest.approx(given.box, abs=1e-9)


def test_masks_become_boxes_in_label_studio_and_an_end_stays(tmp_path):
    found = _round_trip(tmp_path, _masks(), "label-studio")
    cat = found.tracks[1]
    assert [shape.frame for shape in cat.shapes] == [2, 3, 4]
    assert cat.shapes[0].box == pytest.approx((22, 15, 27, 20))
    assert cat.shapes[2].is_absent


@pytest.mark.parametrize("kind", ["cvat", "coco-keypoints"])
def test_points_of_several_animals_come_back(tmp_path, kind):
    assert _round_trip(tmp_path, _poses(), kind) == _poses()


@pytest.mark.parametrize("kind", ["csv", "csv-semicolon", "csv-tab"])
def test_tables_of_points_come_back_with_any_separator(tmp_path, kind):
    points = [
        Keypoint(0, 1, 3.5, 4.25),
        Keypoint(0, 1000, 7.0, 1.125, 0.5),
        Keypoint(4, 1, 9.0, 2.0),
    ]
    labels = formats.of_keypoints(VIDEO, points)
    found = _round_trip(tmp_path, labels, kind)
    assert found == labels
    assert formats.to_keypoints(found) == points
    separator = {"csv": ",", "csv-semicolon": ";", "csv-tab": "\t"}[kind]
    assert (tmp_path / "labels.csv").read_text().startswith(f"frame{separator}id")


def test_named_points_get_numbers_and_back():
    points = formats.to_keypoints(_poses())
    assert [point.id for point in points if point.frame == 0] == [1, 2, 3, 4, 5, 6]
    moved = [replace(point, x=point.x + 1) for point in points]
    found = formats.with_keypoints(_poses(), moved)
    assert formats.to_keypoints(found) == moved
    assert [track.name for track in found.tracks] == ["animal", "animal"]
    assert [point.name for point in found.tracks[0].shapes[0].points] == ["nose", "tail", "paw"]


def test_a_single_mask_is_of_the_frame_asked_for(tmp_path):
    masks.write(tmp_path / "first.png", torch.from_numpy(_disc(5, 5, 3)).byte() * 9)
    found = formats.read(tmp_path / "first.png", VIDEO, frame=5)
    assert [(track.id, track.shapes[0].frame) for track in found.tracks] == [(9, 5)]


def test_names_of_frame_files_tell_their_numbers(tmp_path):
    video = replace(VIDEO, num_frames=3, frames=("00000", "00005", "00010"))
    masks.write(tmp_path / "m" / "00010.png", torch.from_numpy(_disc(5, 5, 3)).byte())
    assert formats.read(tmp_path / "m", video).frames == [2]
    masks.write(tmp_path / "m" / "00007.png", torch.from_numpy(_disc(5, 5, 3)).byte())
    with pytest.raises(UserError, match="00007: expected a frame of the video"):
        formats.read(tmp_path / "m", video)


def test_colors_of_a_folder_are_one_table(tmp_path):
    for frame, colors in enumerate([(200, 9, 9), (9, 200, 9)]):
        picture = np.zeros((24, 32, 3), np.uint8)
        picture[4:9, 4:9] = colors
        Image.fromarray(picture).save(tmp_path / f"{frame}.png")
    found = mask_folders.read(tmp_path, VIDEO)
    assert [(track.id, [s.frame for s in track.shapes]) for track in found.tracks] == [
        (1, [1]),
        (2, [0, 1]),
    ]


def test_objects_of_youtube_vos_may_come_late(tmp_path):
    """A mask with the new object only leaves others alone; a listed frame without says: gone."""
    folder = tmp_path / "Annotations" / "walk"
    masks.write(folder / "00000.png", torch.from_numpy(_disc(5, 5, 3)).byte())
    masks.write(folder / "00003.png", torch.from_numpy(_disc(20, 9, 3)).byte() * 2)
    meta = {"1": {"category": "dog", "frames": ["00000"]}, "2": {"category": "cat"}}
    (tmp_path / "meta.json").write_text(json.dumps({"videos": {"walk": {"objects": meta}}}))
    found = formats.read(tmp_path, VIDEO)
    assert [track.name for track in found.tracks] == ["dog", "cat"]
    assert [[s.frame for s in track.shapes] for track in found.tracks] == [[0], [3]]
    meta["1"]["frames"].append("00003")
    (tmp_path / "meta.json").write_text(json.dumps({"videos": {"walk": {"objects": meta}}}))
    found = formats.read(tmp_path / "meta.json", VIDEO)
    assert found.tracks[0].shapes[1] == Shape(frame=3)


def test_coco_reads_all_its_forms(tmp_path):
    mask = _disc(9, 9, 5)
    encoded = rle.encode(mask)
    counts = rle.counts(encoded).tolist()
    forms = {
        "compressed": {"size": [24, 32], "counts": encoded.text.decode()},
        "uncompressed": {"size": [24, 32], "counts": counts},
        "polygon": [[2, 1, 6, 1, 6, 4, 2, 4], [10, 10, 12, 10, 12, 12, 10, 12]],
    }
    for name, form in forms.items():
        annotation = {"id": 900, "image_id": 4, "category_id": 2, "segmentation": form}
        content = {
            "images": [{"id": 4, "file_name": "x.jpg", "height": 24, "width": 32}],
            "categories": [{"id": 2, "name": "dog"}],
            "annotations": [annotation],
        }
        (tmp_path / "one.json").write_text(json.dumps(content))
        (track,) = formats.read(tmp_path / "one.json", VIDEO).tracks
        assert (track.id, track.name, track.shapes[0].frame) == (1, "dog", 0)
        found = rle.decode(track.shapes[0].mask)
        assert found.sum() == 16 if name == "polygon" else (found == mask).all()


def test_pycocotools_reads_what_is_written(tmp_path, capsys):
    module = pytest.importorskip("pycocotools.coco")
    coco.write_keypoints(tmp_path / "points.json", _poses())
    theirs = module.COCO(str(tmp_path / "points.json"))
    (first,) = theirs.loadAnns(theirs.getAnnIds(imgIds=[1])[:1])
    assert first["keypoints"][:3] == [4.5, 5.25, 2]
    assert theirs.loadCats([1])[0]["keypoints"] == ["nose", "tail", "paw"]


def test_tracks_of_images_are_told_by_their_ids(tmp_path):
    box = [2, 3, 4, 5]
    rows = [
        {"id": i, "image_id": i, "category_id": 1, "bbox": box, "attributes": {"track_id": 3}}
        for i in (1, 2)
    ]
    content = {
        "images": [{"id": i, "file_name": f"frame_00000{i}.PNG"} for i in (1, 2)],
        "annotations": rows,
    }
    path = tmp_path / "images.json"
    path.write_text(json.dumps(content))
    (track,) = formats.read(path, VIDEO).tracks
    assert [shape.frame for shape in track.shapes] == [1, 2]
    assert track.shapes[0].box == (2, 3, 6, 8)
    del rows[0]["attributes"]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="track_id"):
        formats.read(path, VIDEO)


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><size>6</size><original_size><width>32</width>
<height>24</height></original_size></task></meta>
<track id="0" label="dog"><polygon frame="0" outside="0" keyframe="1"
  points="2.0,1.0;6.0,1.0;6.0,4.0;2.0,4.0"/><polygon frame="1" outside="0" keyframe="0"
  points="3.0,1.0;7.0,1.0;7.0,4.0;3.0,4.0"/><polygon frame="2" outside="1" keyframe="1"
  points="3.0,1.0;7.0,1.0;7.0,4.0;3.0,4.0"/></track>
<track id="1" label="cat"><mask frame="1" outside="0" occluded="0" rle="1, 2, 2, 1" left="30"
  top="20" width="3" height="2" z_order="0"/></track>
</annotations>"""


def test_cvat_gives_what_was_drawn(tmp_path):
    path = tmp_path / "annotations.xml"
    path.write_text(CVAT.replace('left="30"', 'left="29"'))
    dog, cat = formats.read(path, VIDEO).tracks
    assert [(s.frame, s.is_absent) for s in dog.shapes] == [(0, False), (2, True)]
    assert rle.decode(dog.shapes[0].mask)[1:4, 2:6].all()
    assert rle.decode(dog.shapes[0].mask).sum() == 12
    assert np.argwhere(rle.decode(cat.shapes[0].mask)).tolist() == [[20, 30], [20, 31], [21, 31]]
    path.write_text(CVAT)
    with pytest.raises(UserError, match="a mask inside 24 x 32"):
        formats.read(path, VIDEO)


def test_label_studio_frames_count_from_one_and_turn(tmp_path):
    keys = {"x": 25, "y": 50, "width": 25, "height": 25}
    sequence = [
        {"frame": 1, "enabled": True, "rotation": 0, **keys},
        {"frame": 3, "enabled": False, "rotation": 90, **keys},
    ]
    region = {"type": "videorectangle", "value": {"sequence": sequence, "labels": ["car"]}}
    task = {"data": {"video": "/data/upload/1/0a1b2c3d-walk.mp4"}, "annotations": []}
    task["annotations"].append({"result": [region]})
    path = tmp_path / "task.json"
    path.write_text(json.dumps([task, {"data": {"video": "other.mp4"}}]))
    (track,) = formats.read(path, VIDEO).tracks
    first, second, gone = track.shapes
    assert (first.frame, first.box) == (0, (8, 12, 16, 18))
    assert (second.frame, tracks.box_of(second)) == (2, (2, 12, 8, 20))
    assert gone == Shape(frame=3)
    path.write_text(json.dumps([{"video": "walk.mp4", "box": [region["value"]], "id": 4}]))
    assert label_studio.read(path, VIDEO).tracks == (track,)


XML = '<?xml version="1.0"?>'
HOSTILE = {
    "entities.xml": f'{XML}<!DOCTYPE a [<!ENTITY b "bb">]><annotations>&b;</annotations>',
    "external.xml": f'{XML}<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotations/>',
    "deep.xml": "<annotations>" + "<a>" * 1000 + "</a>" * 1000 + "</annotations>",
    "other.xml": "<svg/>",
    "cut.xml": CVAT[:300],
    "encoding.xml": '<?xml version="1.0" encoding="nonsense"?><annotations/>',
    "images.xml": '<annotations><image id="0" name="a" width="32" height="24"/></annotations>',
    "empty.xml": "<annotations/>",
    "frame.xml": CVAT.replace('frame="0"', 'frame="99"'),
    "nan.xml": CVAT.replace("2.0,1.0", "nan,1.0"),
    "runs.xml": CVAT.replace("1, 2, 2, 1", "1, 2, 2000000000, 1"),
    "size.xml": CVAT.replace("<width>32", "<width>64"),
    "ellipse.xml": CVAT.replace("<mask", "<ellipse").replace(
        "/></track>\n</ann", "/></track></ann"
    ),
    "deep.json": "[" * 100_000,
    "list.json": "[1, 2]",
    "object.json": '{"a": 1}',
    "nothing.json": '{"annotations": [], "images": []}',
    "kinds.json": '{"annotations": [3], "images": []}',
    "image.json": '{"annotations": [{"image_id": 3, "bbox": [1, 2, 3, 4]}], "images": []}',
    "list_id.json": '{"annotations": [{"image_id": [3], "bbox": [1]}], "images": [{"id": 3}]}',
    "box.json": '{"annotations": [{"image_id": 3, "bbox": [1, 2]}], "images": [{"id": 3}]}',
    "rle.json": json.dumps(
        {
            "annotations": [{"image_id": 1, "segmentation": {"size": [24, 32], "counts": "zz"}}],
            "images": [{"id": 1}],
        }
    ),
    "huge.json": json.dumps(
        {
            "annotations": [{"image_id": 1, "segmentation": {"size": [2**40, 9], "counts": [9]}}],
            "images": [{"id": 1}],
        }
    ),
    "videos.json": '{"videos": [{"id": 1}, {"id": 2}], "annotations": [{"segmentations": [null]}]}',
    "vos.json": '{"videos": {"../../etc": {"objects": {}}}}',
    "studio.json": '[{"data": {"video": "a"}, "annotations": [{"result": 3}]}]',
    "sequence.json": '[{"data": {}, "annotations": [{"result": [{"value": {"sequence": [7]}}]}]}]',
    "frame.json": '[{"data": {}, "annotations": [{"result": [{"value": {"sequence": '
    '[{"frame": 1e99, "x": 1, "y": 1, "width": 2, "height": 2}]}}]}]}]',
    "table.csv": "a,b\n1,2\n",
    "binary.dat": "\0\1\2",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_cannot_be_used_is_one_line(tmp_path, name):
    path = tmp_path / name
    path.write_text(HOSTILE[name])
    with pytest.raises(UserError) as caught:
        formats.read(path, VIDEO)
    assert "\n" not in str(caught.value)
    assert (
        name.split(".")[0] in str(caught.value)
        or "etc" in HOSTILE[name]
        or "meta" in str(caught.value)
    )


def test_cut_files_are_one_line(tmp_path):
    """Any beginning of a file is labels or one line."""
    for kind, labels in (("coco", _masks()), ("cvat", _masks()), ("label-studio", _boxes())):
        whole = tmp_path / f"whole{formats.FORMATS[kind].suffix}"
        formats.write(whole, labels, kind)
        content = whole.read_bytes()
        for length in range(0, len(content) - 2, max(1, len(content) // 40)):
            (tmp_path / "cut").write_bytes(content[:length])
            with pytest.raises(UserError):
                formats.read(tmp_path / "cut", VIDEO)


@pytest.mark.parametrize(
    ("kind", "labels"),
    [("csv", _masks()), ("coco", _poses()), ("coco-keypoints", _masks()), ("png", _poses()),
     ("label-studio", _poses()), ("youtube-vos", _poses())],
)  # fmt: skip
def test_labels_that_a_format_cannot_hold_are_refused(tmp_path, kind, labels):
    path = tmp_path / f"labels{formats.FORMATS[kind].suffix}"
    with pytest.raises(UserError, match=r"expected (points|masks or boxes)"):
        formats.write(path, labels, kind)
    assert not path.exists()


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(UserError, match="one of png, youtube-vos, coco"):
        formats.write(tmp_path / "x", _masks(), "excel")


def test_skeletons_between_key_frames_are_left_out(tmp_path):
    path = tmp_path / "skeleton.xml"
    cvat.write(path, _poses())
    text = path.read_text()
    path.write_text(text.replace('<skeleton frame="2" outside="0" keyframe="1"',
                                 '<skeleton frame="2" outside="0" keyframe="0"'))  # fmt: skip
    assert formats.read(path, VIDEO).frames == [0]


def test_points_are_read_from_tables_and_json(tmp_path):
    points = [Keypoint(0, 1, 3.5, 4.25), Keypoint(3, 1, 4.5, 4.25)]
    keypoints.write(tmp_path / "points.json", points)
    assert formats.to_keypoints(formats.read(tmp_path / "points.json", VIDEO)) == points
