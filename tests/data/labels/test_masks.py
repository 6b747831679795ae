"""Masks: every coding a user has comes to the same ids, and what is no mask is told."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from scalable_binding.data.frames import images
from scalable_binding.data.labels import masks
from scalable_binding.errors import UserError

IDS = torch.tensor([[0, 0, 1], [2, 3, 3]], dtype=torch.uint8)


def save(path, array, mode=None):
    image = Image.fromarray(np.asarray(array, dtype=np.uint8))
    (image if mode is None else image.convert(mode)).save(path)
    return path


def test_palette_is_that_of_davis():
    palette = masks.palette()
    first = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128]]
    assert palette[:6].tolist() == first
    assert palette[8].tolist() == [64, 0, 0]
    assert palette[255].tolist() == [224, 224, 192]
    assert len(palette.unique(dim=0)) == 256


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None
)
@given(height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 1000))
def test_what_is_written_is_read(tmp_path, height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 256, (height, width), generator=generator, dtype=torch.uint8)
    masks.write(tmp_path / "mask.png", ids)
    torch.testing.assert_close(masks.read(tmp_path / "mask.png"), ids, rtol=0, atol=0)


def test_the_file_is_an_indexed_png_with_the_palette(tmp_path):
    masks.write(tmp_path / "mask.png", IDS.T)  # a view whose rows are not contiguous
    with Image.open(tmp_path / "mask.png") as image:
        assert (image.mode, image.size) == ("P", (2, 3))
        assert image.getpalette()[: 3 * 4] == masks.palette()[:4].flatten().tolist()


def test_indices_count_whatever_the_palette(tmp_path):
    image = Image.fromarray(IDS.numpy())
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette([9] * 768)
    image.save(tmp_path / "mask.png")
    assert torch.equal(masks.read(tmp_path / "mask.png"), IDS)


def test_gray_holds_ids(tmp_path):
    assert torch.equal(masks.read(save(tmp_path / "gray.png", IDS)), IDS)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "1", "RGBA"])
def test_white_on_black_is_one_object(tmp_path, mode):
    path = save(tmp_path / "white.png", [[0, 255], [255, 255]], mode)
    assert masks.read(path).tolist() == [[0, 1], [1, 1]]


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colors_of_the_palette_are_ids(tmp_path, mode):
    colors = masks.palette()[IDS.long()].numpy()
    assert torch.equal(masks.read(save(tmp_path / "davis.png", colors, mode)), IDS)


def test_other_colors_are_numbered_in_their_order(tmp_path):
    blue, red, white = (0, 0, 255), (255, 0, 0), (255, 255, 255)
    path = save(tmp_path / "own.png", [[(0, 0, 0), red], [blue, white]])
    assert masks.read(path).tolist() == [[0, 2], [1, 3]]


def test_transparent_pixels_are_background(tmp_path):
    colors = np.full((1, 2, 4), 255, dtype=np.uint8)
    colors[0, 1, 3] = 0
    assert masks.read(save(tmp_path / "layer.png", colors)).tolist() == [[1, 0]]


@pytest.mark.parametrize("clear", [2, b"\xff\xff\x00"])
def test_clear_indices_are_background(tmp_path, clear):
    image = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8), mode="P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    image.save(tmp_path / "layer.png", transparency=clear)
    assert masks.read(tmp_path / "layer.png").tolist() == [[0, 1, 0]]


def test_sixteen_bits_hold_ids_up_to_255(tmp_path):
    Image.fromarray(np.array([[0, 255, 7]], dtype=np.uint16)).save(tmp_path / "deep.png")
    assert masks.read(tmp_path / "deep.png").tolist() == [[0, 255, 7]]
    Image.fromarray(np.array([[0, 256]], dtype=np.uint16)).save(tmp_path / "deeper.png")
    with pytest.raises(UserError, match="got id 256"):
        masks.read(tmp_path / "deeper.png")


def test_an_empty_mask_is_all_background(tmp_path):
    assert not masks.read(save(tmp_path / "empty.png", np.zeros((4, 5)))).any()


def test_an_id_above_the_number_known_is_told(tmp_path):
    path = save(tmp_path / "mask.png", IDS)
    assert masks.read(path, num_ids=3).max() == 3
    with pytest.raises(UserError, match="expected ids 0 to 2, got id 3"):
        masks.read(path, num_ids=2)


def test_what_is_no_mask_is_told(tmp_path):
    photograph = np.random.default_rng(0).integers(0, 255, (64, 64, 3))
    for name, match in (("photo.png", "256 colors"), ("photo.jpg", "JPEG")):
        with pytest.raises(UserError, match=match):
            masks.read(save(tmp_path / name, photograph))
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(UserError, match="cannot be read as an image"):
        masks.read(tmp_path / "text.png")
    with pytest.raises(UserError, match="no such file"):
        masks.read(tmp_path / "missing.png")


def test_a_cut_file_is_told(tmp_path):
    path = save(tmp_path / "cut.png", np.random.default_rng(0).integers(0, 9, (200, 200)))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match="cannot be read as an image"):
        masks.read(path)


def test_a_picture_that_is_too_large_is_refused_before_decoding(tmp_path, monkeypatch):
    path = save(tmp_path / "large.png", np.zeros((100, 100)))
    monkeypatch.setattr(images, "MAX_PIXELS", 9999)
    with pytest.raises(UserError, match="got 100 x 100"):
        masks.read(path)


def test_writing_says_what_is_wrong(tmp_path):
    with pytest.raises(UserError, match=r"\.png"):
        masks.write(tmp_path / "mask.jpg", IDS)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match="cannot write"):
        masks.write(tmp_path / "folder.png", IDS)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


def test_a_color_means_one_object_over_all_files(tmp_path):
    black, red, green, blue = (0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)
    three = save(tmp_path / "three.png", [[black, red], [green, blue]])
    two = save(tmp_path / "two.png", [[red, green], [black, black]])
    first, second = masks.read_many([three, two])
    assert first.tolist() == [[0, 3], [2, 1]]
    assert second.tolist() == [[3, 2], [0, 0]]


def test_colors_of_an_indexed_file_keep_their_ids(tmp_path):
    image = Image.fromarray(np.array([[0, 5, 9]], dtype=np.uint8), mode="P")
    image.putpalette([0, 0, 0] * 5 + [255, 0, 0] + [0, 0, 0] * 3 + [0, 255, 0])
    image.save(tmp_path / "indexed.png")
    colored = save(tmp_path / "own.png", [[(0, 255, 0), (255, 0, 0), (0, 0, 255)]])
    first, second = masks.read_many([tmp_path / "indexed.png", colored])
    assert first.tolist() == [[0, 5, 9]]
    assert second.tolist() == [[9, 5, 1]]


def test_black_is_background_wherever_a_palette_has_it(tmp_path):
    image = Image.fromarray(np.array([[0, 0, 1], [1, 2, 1]], dtype=np.uint8), mode="P")
    image.putpalette([255, 0, 0, 0, 0, 0, 0, 0, 255])
    image.save(tmp_path / "paint.png")
    assert masks.read(tmp_path / "paint.png").tolist() == [[2, 2, 0], [0, 1, 0]]


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_soft_edges_in_few_levels_are_told(tmp_path, mode):
    disk = Image.new("L", (200, 160))
    ImageDraw.Draw(disk).ellipse((40, 30, 150, 120), fill=255)
    small = np.asarray(disk.resize((50, 40), Image.Resampling.BOX))
    shades = (small // 64 * 64).clip(0, 255) + (small == 255) * 63
    path = save(tmp_path / "soft.png", shades, mode)
    with pytest.warns(masks.SoftEdgesWarning, match="soft edges"):
        masks.read(path)


def test_objects_that_touch_are_no_soft_edges(tmp_path, recwarn):
    ids = np.zeros((40, 60), dtype=np.uint8)
    ids[5:30, 5:25], ids[5:30, 25:50], ids[10:14, 30:34] = 1, 2, 3
    ids[34, 10:50] = 7  # a rope
    masks.read(save(tmp_path / "hard.png", ids))
    assert not recwarn.list


@pytest.mark.parametrize(("name", "options"), [("a.webp", {"quality": 80}), ("a.avif", {})])
def test_lossy_kinds_are_refused(tmp_path, name, options):
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / name, **options)
    with pytest.raises(UserError, match="blurs labels"):
        masks.read(tmp_path / name)


def test_lossless_webp_is_read(tmp_path):
    colors = masks.palette()[IDS.long()].numpy()
    Image.fromarray(colors).save(tmp_path / "mask.webp", lossless=True)
    assert torch.equal(masks.read(tmp_path / "mask.webp"), IDS)
