import io
import struct
import zipfile

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scalable_binding.data.frames import images
from scalable_binding.data.labels import flow_files
from scalable_binding.errors import UserError

SUFFIXES = (".flo", ".pfm", ".png", ".npz")


def example(height=5, width=7, reach=60.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    flow = (2 * torch.rand(2, height, width, generator=generator) - 1) * reach
    return flow, torch.rand(height, width, generator=generator) > 0.3


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (64, 33)])
def test_what_is_written_is_read_again(tmp_path, suffix, size):
    flow, known = example(*size)
    flow_files.write(tmp_path / f"a{suffix}", flow, known)
    found = flow_files.read(tmp_path / f"a{suffix}")
    assert torch.equal(found.known, known)
    step = 1 / 128 + 1e-4 if suffix == ".png" else 0
    torch.testing.assert_close(found.flow, torch.where(known, flow, 0.0), atol=step, rtol=0)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_not_finite_is_not_known(tmp_path, suffix):
    flow, _ = example()
    flow[0, 1, 2], flow[1, 3, 3] = float("nan"), float("inf")
    flow_files.write(tmp_path / f"a{suffix}", flow)
    found = flow_files.read(tmp_path / f"a{suffix}")
    assert not found.known[1, 2] and not found.known[3, 3] and found.known.sum() == 33
    assert found.flow.isfinite().all()


def test_bytes_of_a_flo_file_are_middleburys(tmp_path):
    flow = torch.arange(12.0).view(2, 2, 3)
    flow_files.write(tmp_path / "a.flo", flow)
    content = (tmp_path / "a.flo").read_bytes()
    assert struct.unpack("<f", content[:4])[0] == 202021.25
    assert struct.unpack("<ii", content[4:12]) == (3, 2)
    assert struct.unpack("<12f", content[12:]) == (0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11)


def test_a_pfm_file_lies_upside_down_and_in_the_order_its_scale_says(tmp_path):
    rows = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    for scale, order in ((b"-1.0", "<f4"), (b"1", ">f4"), (b"-1e-05", "<f4")):
        (tmp_path / "a.pfm").write_bytes(
            b"PF\n2 2\n" + scale + b"\n" + rows.astype(order).tobytes()
        )
        found = flow_files.read(tmp_path / "a.pfm").flow
        assert found.tolist() == [[[6, 9], [0, 3]], [[7, 10], [1, 4]]]


def test_a_png_as_another_program_writes_it(tmp_path):
    """ffmpeg's encoder filters rows, ours does not."""
    levels = np.random.default_rng(0).integers(0, 2**16, (20, 30, 3), dtype=np.uint16)
    levels[..., 2] = levels[..., 2] % 2
    with av.open(str(tmp_path / "a.png"), "w", format="image2") as container:
        stream = container.add_stream("png", width=30, height=20, pix_fmt="rgb48be")
        frame = av.VideoFrame.from_ndarray(levels, format="rgb48le").reformat(format="rgb48be")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    found = flow_files.read(tmp_path / "a.png")
    known = torch.from_numpy(levels[..., 2] > 0)
    truth = torch.from_numpy((levels[..., :2].astype(np.float32) - 2**15) / 64).movedim(-1, 0)
    assert torch.equal(found.known, known)
    assert torch.equal(found.flow, torch.where(known, truth, 0.0))


def test_displacements_that_do_not_fit_a_png_are_unknown_in_it(tmp_path):
    flow = torch.tensor([[[511.9, 512.0, -512.5]], [[0.0, 0.0, 0.0]]])
    flow_files.write(tmp_path / "a.png", flow)
    assert flow_files.read(tmp_path / "a.png").known.tolist() == [[True, False, False]]


def flo(width, height, content=b""):
    return b"PIEH" + struct.pack("<ii", width, height) + content


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def bomb():
    """An archive of few bytes that would fill gigabytes."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("flow.npy", "w", force_zip64=True) as file,
    ):
        for _ in range(5):
            file.write(bytes(2**28))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.flo", b"", "no .flo file"),
        ("a.flo", b"PIEG" + bytes(20), "no .flo file"),
        ("a.flo", b"PIEH" + bytes(4), "cut off"),
        ("a.flo", flo(2, 2, bytes(31)), "cut off"),
        ("a.flo", flo(2, 2, bytes(33)), "behind its end"),
        ("a.flo", flo(-3, 2), "picture size"),
        ("a.flo", flo(0, 2), "picture size"),
        ("a.flo", flo(2**30, 2**30), "picture size"),
        ("a.pfm", b"P6\n2 2\n1\n", "no PFM file"),
        ("a.pfm", b"Pf\n2 2\n-1\n" + bytes(16), "three channels"),
        ("a.pfm", b"PF\n2 2\n-1\n" + bytes(47), "cut off"),
        ("a.pfm", b"PF\n999999999 999999999\n-1\n", "picture size"),
        ("a.png", b"GIF89a", "no PNG file"),
        ("a.npz", b"PK", "cannot be read"),
        ("a.npz", npz(other=np.zeros(3)), "named flow"),
        ("a.npz", npz(flow=np.zeros((3, 4))), "shape"),
        ("a.npz", npz(flow=np.zeros(())), "shape"),
        ("a.npz", npz(flow=np.zeros((3, 4, 2)), known=np.zeros((4, 3), bool)), "known"),
        ("a.npz", npz(flow=np.array([object()])), "read as .npz"),
        ("a.txt", b"", "ends in .flo"),
    ],
)
def test_files_that_are_none_are_refused_in_one_line(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said) as error:
        flow_files.read(tmp_path / name)
    assert "\n" not in str(error.value) and name in str(error.value)


@pytest.mark.slow
def test_an_archive_that_would_fill_the_memory_is_refused(tmp_path):
    (tmp_path / "a.npz").write_bytes(bomb())
    with pytest.raises(UserError, match="bytes"):
        flow_files.read(tmp_path / "a.npz")


def test_a_missing_file_and_a_picture_of_8_bits_are_named(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        flow_files.read(tmp_path / "a.flo")
    images.write(tmp_path / "a.png", torch.zeros(3, 4, 4, dtype=torch.uint8))
    with pytest.raises(UserError, match="16 bits, got 8"):
        flow_files.read(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_damaged_bytes_are_the_files_fault(tmp_path_factory, suffix, data):
    """Whatever a few bytes are changed to, and wherever the file is cut."""
    path = tmp_path_factory.mktemp("flow") / f"a{suffix}"
    flow_files.write(path, *example())
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        found = flow_files.read(path)
    except UserError:
        return
    assert found.flow.shape[0] == 2 and found.known.dtype == torch.bool
