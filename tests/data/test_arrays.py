"""Archives of arrays from strangers: what cannot be read safely ends in one line."""

import io
import zipfile

import numpy as np
import pytest

from scalable_binding.data.arrays import read_npz
from scalable_binding.errors import UserError


def header(shape, descr="<f4"):
    file = io.BytesIO()
    fields = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, fields)
    return file.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back(tmp_path, save):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.asfortranarray(np.eye(3) > 0)}
    save(tmp_path / "a.npz", **arrays, other=np.zeros(2))
    found = read_npz(tmp_path / "a.npz", ("a", "b", "c"))
    assert set(found) == {"a", "b"}
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


def test_terabytes_are_refused_before_they_are_allocated(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", header((10**6, 10**6, 2)))
    with pytest.raises(UserError, match="bytes, as it announces"):
        read_npz(tmp_path / "a.npz", ("a",))
    np.savez(tmp_path / "b.npz", a=np.zeros(1000))
    with pytest.raises(UserError, match="expected at most 1000 bytes"):
        read_npz(tmp_path / "b.npz", ("a",), most=1000)


def test_other_packings_encryption_and_objects_are_refused(tmp_path):
    content = header((2,)) + bytes(8)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.npy", content)
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("a.npy", content)
    locked = bytearray((tmp_path / "b.npz").read_bytes())
    locked[6] |= 1
    locked[locked.rindex(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "b.npz").write_bytes(locked)
    np.savez(tmp_path / "c.npz", a=np.array([{}], dtype=object))
    (tmp_path / "d.npz").write_bytes(b"PK\x03\x04 no archive")
    for name, match in (
        ("a", "compression 14"),
        ("b", "encrypted"),
        ("c", "objects"),
        ("d", "npz"),
    ):
        with pytest.raises(UserError, match=match):
            read_npz(tmp_path / f"{name}.npz", ("a",))


@pytest.mark.parametrize(
    "fields", [b"{'descr': (\n", b"{'descr': '<f4', 'shape':", b"[1, 2", b"\xff"]
)
def test_damaged_headers_are_one_line(tmp_path, fields):
    content = np.lib.format.magic(1, 0) + len(fields).to_bytes(2, "little") + fields
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", content)
    with pytest.raises(UserError, match=r"cannot be read as \.npz"):
        read_npz(tmp_path / "a.npz", ("a",))
