"""Labeled images: the same from folders, ZIPs and shards; classes, crops, damage."""

import io
import os
import shutil
import tarfile
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from scalable_binding.data.datasets.image_catalog import find_images
from scalable_binding.data.datasets.labeled_images import LabeledImages, UnusableImageWarning
from scalable_binding.data.frames import images
from scalable_binding.errors import UserError

LAYOUT = {"cat/1.png": 10, "cat/2.png": 20, "cat/10.png": 30, "dog/1.png": 40, "dog/2.png": 50}


def draw(level, height=12, width=16):
    image = torch.full((3, height, width), level, dtype=torch.uint8)
    image[0, :, : width // 2] = 255
    return image


@pytest.fixture
def folder(tmp_path):
    """Cats of levels 10, 20, 30 and dogs of 40, 50; red on the left, below a folder 'train'."""
    for name, level in LAYOUT.items():
        images.write(tmp_path / "photos" / "train" / name, draw(level))
    return tmp_path / "photos" / "train"


def pack_zip(folder, path):
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*.png")):
            archive.write(file, Path("photos") / file.relative_to(folder))
        archive.writestr("__MACOSX/photos/cat/._1.png", b"resource fork")
    return path


def pack_shard(folder, path, *, numbered):
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for number, file in enumerate(sorted(folder.rglob("*.png"))):
            name = f"{number:04}.png" if numbered else str(file.relative_to(folder))
            tar.add(file, name)
            if numbered:
                text = b"3\n" if file.parent.name == "dog" else b"0"
                entry = tarfile.TarInfo(f"{number:04}.cls")
                entry.size = len(text)
                tar.addfile(entry, io.BytesIO(text))
    return path


def levels(dataset, count):
    return [(int(dataset[i]["image"][1, 0, 0]), int(dataset[i]["label"])) for i in range(count)]


def test_folders_zips_and_shards_give_the_same_images_and_classes(folder, tmp_path):
    roots = [
        folder,
        folder.parent,
        pack_zip(folder, tmp_path / "zipped" / "a.zip"),
        pack_shard(folder, tmp_path / "shards" / "plain.tar", numbered=False),
    ]
    expected = {(10, 0), (20, 0), (30, 0), (40, 1), (50, 1)}
    for root in roots:
        dataset = LabeledImages(root, size=8)
        assert dataset.classes == ("cat", "dog") and dataset.num_classes == 2
        assert len(dataset) == 5 and set(levels(dataset, 5)) == expected
        assert dataset.failures == {}


def test_numbers_in_cls_files_are_classes(folder, tmp_path):
    shard = pack_shard(folder, tmp_path / "s.tar", numbered=True)
    dataset = LabeledImages(shard, size=8)
    assert dataset.classes == ("0", "1", "2", "3")
    assert set(levels(dataset, 5)) == {(10, 0), (20, 0), (30, 0), (40, 3), (50, 3)}


def test_archives_inside_a_folder_are_opened_and_several_roots_are_one(folder, tmp_path):
    (tmp_path / "shards").mkdir()
    for name in ("0.tar", "1.tar"):
        pack_shard(folder, tmp_path / "shards" / name, numbered=True)
    assert len(LabeledImages(tmp_path / "shards", size=8)) == 10
    (tmp_path / "shards" / "2.tar").write_text("no tar")
    with pytest.warns(UnusableImageWarning, match=r"left out: .*2.tar"):
        assert len(LabeledImages(tmp_path / "shards", size=8)) == 10
    both = LabeledImages([folder, pack_zip(folder, tmp_path / "a.zip")], size=8)
    assert len(both) == 10 and both.classes == ("cat", "dog")


def test_items_are_pure_in_seed_and_index_and_every_pass_shows_all(folder):
    dataset = LabeledImages(folder, size=(6, 8), flip=True, seed=1)
    items = [dataset[index] for index in range(40)]
    assert items[0]["image"].shape == (3, 6, 8) and items[0]["image"].dtype == torch.uint8
    again = LabeledImages(folder, size=(6, 8), flip=True, seed=1)
    for index in (33, 2, 17):
        assert all(torch.equal(again[index][name], items[index][name]) for name in items[index])
    passes = [levels(dataset, 40)[first : first + 5] for first in range(0, 40, 5)]
    assert all(len(set(one)) == 5 for one in passes)
    assert len({tuple(one) for one in passes}) > 3
    mirrored = [bool(item["image"][0, 0, 0] != 255) for item in items]
    assert 8 < sum(mirrored) < 32
    assert not any(
        LabeledImages(folder, size=8)[index]["image"][0, 0, 0] != 255 for index in range(20)
    )


def test_the_middle_is_cut_out_and_resized(tmp_path):
    image = torch.zeros(3, 20, 60, dtype=torch.uint8)
    image[:, :, 20:40] = 200
    images.write(tmp_path / "wide.png", image)
    dataset = LabeledImages(tmp_path, size=10)
    assert (dataset[0]["image"][:, :, 2:8] == 200).all() and (dataset[0]["image"] > 150).all()
    wide = LabeledImages(tmp_path, size=(10, 30))[0]["image"].float()
    assert (wide[:, :, 12:18] == 200).all() and (wide[:, :, :8] == 0).all()


def test_mixed_sizes_and_kinds_come_out_alike(tmp_path):
    for number, (height, width) in enumerate([(5, 9), (40, 7), (200, 300)]):
        images.write(tmp_path / f"{number}.jpg", draw(100, height, width))
    from PIL import Image

    Image.new("L", (20, 10), 77).save(tmp_path / "gray.png")
    Image.new("RGBA", (20, 10), (1, 2, 3, 4)).save(tmp_path / "alpha.png")
    dataset = LabeledImages(tmp_path, size=16)
    batch = next(iter(DataLoader(dataset, batch_size=5, sampler=range(5))))
    assert batch["image"].shape == (5, 3, 16, 16)
    assert dataset.num_classes == 0 and not batch["label"].any()


def test_a_large_jpeg_keeps_what_it_shows(tmp_path):
    ramp = torch.linspace(0, 255, 1024).round().byte().expand(3, 1024, 1024)
    images.write(tmp_path / "ramp.jpg", ramp.contiguous())
    small = images.read_middle(tmp_path / "ramp.jpg", 16, 16).float()
    assert torch.allclose(small, (torch.arange(16) + 0.5) * 255 / 16 * torch.ones(3, 16, 1), atol=3)


def test_damaged_images_are_replaced_warned_of_once_and_counted(folder):
    content = (folder / "cat" / "1.png").read_bytes()
    (folder / "cat" / "3.png").write_bytes(content[:60])
    (folder / "cat" / "4.png").write_text("hello")
    dataset = LabeledImages(folder, size=8)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        seen = levels(dataset, 14)
    assert len(caught) == 2 and all(w.category is UnusableImageWarning for w in caught)
    assert set(seen) == {(10, 0), (20, 0), (30, 0), (40, 1), (50, 1)}
    assert {Path(name).name: n for name, n in dataset.failures.items()} == {
        "3.png": 2,
        "4.png": 2,
    } or (sum(dataset.failures.values()) >= 4)
    loader = DataLoader(dataset, batch_size=7, sampler=range(14), num_workers=2)
    before = sum(dataset.failures.values())
    batches = torch.cat([batch["image"] for batch in loader])
    assert [int(image[1, 0, 0]) for image in batches] == [level for level, _ in seen]
    assert sum(dataset.failures.values()) > before


def test_what_gives_no_images_is_told(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no images under"):
        LabeledImages(tmp_path / "empty", size=8)
    with pytest.raises(UserError, match="no such file or folder"):
        LabeledImages(tmp_path / "missing", size=8)
    for size in (0, (8, -1), 10**6):
        with pytest.raises(UserError, match="size of the images"):
            LabeledImages(folder, size=size)
    shutil.rmtree(folder / "dog")
    for file in (folder / "cat").iterdir():
        file.write_text("no image")
    dataset = LabeledImages(folder, size=8)
    with pytest.warns(UnusableImageWarning), pytest.raises(UserError, match="none of the 3 images"):
        dataset[0]
    with pytest.raises(IndexError):
        dataset[-1]


def test_a_zip_with_a_path_outside_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "hostile.zip", "w") as archive:
        archive.writestr("../../a.png", b"")
    with pytest.raises(UserError, match="is refused"):
        LabeledImages(tmp_path / "hostile.zip", size=8)


def test_images_beside_class_folders_have_no_class(folder):
    images.write(folder / "loose.png", draw(60))
    with pytest.warns(UserWarning, match="no classes are taken"):
        found = find_images([folder])
    assert found.classes == () and len(found.images) == 6 and not found.labels.any()


def test_classes_are_in_natural_order(tmp_path):
    for name in ("10", "2", "1"):
        images.write(tmp_path / name / "a.png", draw(9))
    assert find_images([tmp_path]).classes == ("1", "2", "10")


def test_bad_cls_files_are_told(folder, tmp_path):
    shard = pack_shard(folder, tmp_path / "s.tar", numbered=True)
    with tarfile.open(shard, "a") as tar:
        tar.add(folder / "cat" / "1.png", "more.png")
    with pytest.raises(UserError, match=r"more.png: expected a .cls file"):
        find_images([shard])
    with tarfile.open(shard, "a") as tar:
        entry = tarfile.TarInfo("more.cls")
        entry.size = 3
        tar.addfile(entry, io.BytesIO(b"cat"))
    with pytest.raises(UserError, match="expected a number from 0 to"):
        find_images([shard])


@pytest.mark.skipif("SBIND_DATA" not in os.environ, reason="SBIND_DATA names no folder of data")
def test_real_images():
    dataset = LabeledImages(Path(os.environ["SBIND_DATA"]) / "cifar10" / "train.zip", size=32)
    assert len(dataset) == 50_000 and dataset.classes[3] == "cat"
    assert torch.stack([dataset[index]["image"] for index in range(200)]).shape == (200, 3, 32, 32)
    assert dataset.failures == {}
