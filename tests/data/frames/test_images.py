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


@pytest.mark.parametrize("kind", ["jfif", "jpe", "gif", "avif", "webp", "tiff", "pgm", "jp2"])
def test_kinds_of_images_are_read_as_pillow_reads_them(tmp_path, kind):
    form = {"jfif": "JPEG", "jpe": "JPEG", "pgm": "PPM", "jp2": "JPEG2000", "tiff": "TIFF"}
    wave = np.linspace(0, 255, 24 * 20).reshape(20, 24).astype(np.uint8)
    path = tmp_path / f"image.{kind}"
    Image.fromarray(wave).convert("L" if kind == "pgm" else "RGB").save(
        path, format=form.get(kind, kind.upper())
    )
    assert kind in {suffix[1:] for suffix in images.SUFFIXES}
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(images.read(path).permute(1, 2, 0).numpy(), expected)


def test_no_program_is_started_for_a_picture(tmp_path, monkeypatch):
    def start(*_, **__):
        raise AssertionError("a program was started")

    monkeypatch.setattr("subprocess.Popen", start)
    monkeypatch.setattr("os.system", start)
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\nshowpage\n"
    for name in ("frame.png", "frame.jpg", "frame.eps"):
        (tmp_path / name).write_bytes(script)
        for attempt in (images.read, images.probe):
            with pytest.raises(UserError, match="of no known kind"):
                attempt(tmp_path / name)


def test_transparent_pixels_are_white_and_half_clear_ones_are_mixed(tmp_path):
    pixels = np.zeros((1, 3, 4), dtype=np.uint8)
    pixels[0] = [(200, 10, 10, 0), (100, 0, 200, 255), (0, 0, 0, 127)]
    Image.fromarray(pixels).save(tmp_path / "layer.png")
    shown = images.read(tmp_path / "layer.png")[:, 0].T.tolist()
    assert shown == [[255, 255, 255], [100, 0, 200], [128, 128, 128]]
    palette = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), mode="P")
    palette.putpalette([9, 9, 9, 50, 60, 70])
    palette.save(tmp_path / "clear.png", transparency=0)
    shown = images.read(tmp_path / "clear.png")[:, 0].T.tolist()
    assert shown == [[255, 255, 255], [50, 60, 70]]


@pytest.mark.parametrize(
    ("most", "kind"), [(4095, np.uint16), (3001, np.uint16), (200, np.uint16), (4095, np.int32)]
)
def test_few_bits_in_wide_integers_are_no_black_picture(tmp_path, most, kind):
    levels = np.linspace(0, most, 30).reshape(5, 6).astype(kind)
    Image.fromarray(levels).save(tmp_path / "camera.tif")
    with pytest.warns(images.DarkImageWarning, match=f"no brighter than {most}"):
        image = images.read(tmp_path / "camera.tif")
    white = 255 if most <= 255 else 4095
    assert np.array_equal(image[0].numpy(), np.rint(levels * (255 / white)))


def test_integers_beyond_sixteen_bits_are_refused(tmp_path):
    for name, level in (("large.tif", 70_000), ("negative.tif", -3)):
        Image.fromarray(np.array([[0, level]], dtype=np.int32)).save(tmp_path / name)
        with pytest.raises(UserError, match="convert it to 8 or 16 bits"):
            images.read(tmp_path / name)


def test_a_frame_and_its_mask_in_one_folder_are_told(tmp_path):
    for name in ("00000.jpg", "00001.jpg", "00000.png"):
        images.write(tmp_path / name, torch.zeros(3, 8, 8, dtype=torch.uint8))
    with pytest.raises(UserError, match=r"00000\.jpg and 00000\.png would be one frame"):
        images.list_frames(tmp_path)
    (tmp_path / "00000.png").rename(tmp_path / "mask.png")
    with pytest.warns(images.MixedFilesWarning, match=r"2 \.jpg, 1 \.png are taken as frames"):
        assert len(images.list_frames(tmp_path)) == 3


def test_pictures_that_are_left_out_are_counted(tmp_path):
    images.write(tmp_path / "0.png", torch.zeros(3, 8, 8, dtype=torch.uint8))
    for name in ("1.heic", "2.HEIC", "3.exr", "notes.txt"):
        (tmp_path / name).touch()
    with pytest.warns(images.MixedFilesWarning, match=r"3 pictures .* 2 \.heic, 1 \.exr"):
        assert [path.name for path in images.list_frames(tmp_path)] == ["0.png"]
