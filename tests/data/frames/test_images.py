"""Images: pixels as they are meant to be seen, hostile files refused."""

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from scalable_binding.data.frames import images
from scalable_binding.errors import UserError


def test_png_gives_back_what_was_written(tmp_path):
    image = torch.randint(0, 256, (3, 7, 5), generator=torch.Generator().manual_seed(0)).byte()
    images.write(tmp_path / "a" / "image.png", image)
    assert torch.equal(images.read(tmp_path / "a" / "image.png"), image)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    path = tmp_path / ("image.tif" if mode == "CMYK" else "image.png")
    Image.new("RGB", (6, 4), (255, 255, 255)).convert(mode).save(path)
    image = images.read(path)
    assert image.shape == (3, 4, 6)
    assert bool((image == 255).all())


def test_sixteen_bits_become_eight(tmp_path):
    Image.fromarray(np.array([[0, 257, 65535]], dtype=np.uint16)).save(tmp_path / "deep.png")
    assert images.read(tmp_path / "deep.png")[0].tolist() == [[0, 1, 255]]


def test_exif_orientation_turns_the_picture(tmp_path):
    picture = Image.new("RGB", (8, 4))
    picture.paste((255, 255, 255), (0, 0, 4, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it upright
    picture.save(tmp_path / "turned.png", exif=exif)
    image = images.read(tmp_path / "turned.png")
    assert image.shape == (3, 8, 4)
    assert bool((image[:, :4] == 255).all()) and not image[:, 4:].any()
    assert images.probe(tmp_path / "turned.png") == (8, 4)


def test_sixteen_bits_are_turned_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = np.array([[0, 257, 514], [771, 1028, 65535]], dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png", exif=exif)
    assert images.read(tmp_path / "deep.png")[0].tolist() == [[3, 0], [4, 1], [255, 2]]
    assert images.probe(tmp_path / "deep.png") == (3, 2)


def test_size_is_the_short_side_and_smooth(tmp_path):
    stripes = (torch.arange(64) % 2 * 255).byte().expand(3, 32, 64)
    images.write(tmp_path / "stripes.png", stripes)
    small = images.read(tmp_path / "stripes.png", size=8)
    assert small.shape == (3, 8, 16)
    assert (small.float() - 127.5).abs().max() < 12


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(png)
    for attempt in (images.read, images.probe):
        with pytest.raises(UserError, match="pixels"):
            attempt(tmp_path / "bomb.png")


def test_bad_files_end_in_one_line(tmp_path):
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "empty.jpg").write_bytes(b"")
    images.write(tmp_path / "cut.jpg", torch.zeros(3, 64, 64, dtype=torch.uint8))
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:400])
    for name in ("text.jpg", "empty.jpg", "cut.jpg"):
        with pytest.raises(UserError, match="cannot be read as an image"):
            images.read(tmp_path / name)
    with pytest.raises(UserError, match="no such file"):
        images.read(tmp_path / "missing.jpg")
    with pytest.raises(UserError, match="expected a name"):
        images.write(tmp_path / "image.mp3", torch.zeros(3, 4, 4, dtype=torch.uint8))


def test_a_field_that_is_not_what_it_should_be_ends_in_one_line(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "words"
    Image.new("RGB", (8, 4)).save(tmp_path / "odd.jpg", exif=exif)
    sound = (tmp_path / "odd.jpg").read_bytes()
    broken = sound.replace(b"\x01\x0e\x00\x02", b"\x01\x01\x00\x02")  # words for a length
    assert broken != sound
    (tmp_path / "odd.jpg").write_bytes(broken)
    with pytest.raises(UserError, match="cannot be read as an image"):
        images.read(tmp_path / "odd.jpg")


def test_floating_point_pixels_are_refused(tmp_path):
    Image.fromarray(np.full((4, 4), 0.5, dtype=np.float32)).save(tmp_path / "shares.tif")
    with pytest.raises(UserError, match="convert it to 8 or 16 bits"):
        images.read(tmp_path / "shares.tif")


def test_natural_order():
    names = ["b1", "a10", "a9", "a", "10", "9", "a9b"]
    expected = ["9", "10", "a", "a9", "a9b", "a10", "b1"]
    assert sorted(names, key=images.natural_order) == expected
    assert images.natural_order("01") != images.natural_order("1")
