"""ZIP archives: members are read in place, bounded by what they say, and hostile ones refused."""

import io
import stat
import zipfile

import pytest
import torch

from scalable_binding.data import zips
from scalable_binding.data.frames import images
from scalable_binding.errors import UserError


def pack(path, contents, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_read_as_zipfile_reads_them(tmp_path, method):
    contents = {f"a/{number}.bin": bytes(range(256)) * (40 * number) for number in range(4)}
    path = pack(tmp_path / "a.zip", contents, method)
    members = zips.index(path)
    assert {member.name: member.open().read() for member in members} == contents
    assert str(members[1]) == f"{path}:a/1.bin"


def test_images_are_read_from_inside(tmp_path):
    image = torch.randint(0, 256, (3, 6, 8), dtype=torch.uint8)
    images.write(tmp_path / "image.png", image)
    path = pack(tmp_path / "a.zip", {"b.png": (tmp_path / "image.png").read_bytes()})
    assert torch.equal(images.read(zips.index(path)[0]), image)


@pytest.mark.parametrize("name", ["../x.png", "a/../../x.png", "/etc/x.png", "C:/x.png"])
def test_names_that_lead_outside_are_refused(tmp_path, name):
    path = pack(tmp_path / "hostile.zip", {"good.png": b"", name: b""})
    with pytest.raises(UserError, match="is refused: expected names of files inside"):
        zips.index(path)


def test_links_are_left_out(tmp_path):
    link = zipfile.ZipInfo("link.png")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("real.png", b"real")
    assert [member.name for member in zips.index(tmp_path / "a.zip")] == ["real.png"]


def test_a_member_never_unpacks_beyond_its_size(tmp_path):
    path = pack(tmp_path / "bomb.zip", {"a.png": bytes(50_000_000)})
    content = bytearray(path.read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = (1000).to_bytes(4, "little")
    path.write_bytes(content)
    (member,) = zips.index(path)
    assert member.size == 1000
    with pytest.raises(UserError, match="damaged"):
        member.open()


def test_a_member_that_says_it_is_huge_is_refused_unread(tmp_path, monkeypatch):
    path = pack(tmp_path / "a.zip", {"a.png": bytes(2000)})
    monkeypatch.setattr(images, "MAX_BYTES", 1999)
    with pytest.raises(UserError, match="at most 1999 bytes, got 2000"):
        images.read(zips.index(path)[0])


def test_a_picture_of_too_many_pixels_is_refused(tmp_path, monkeypatch):
    images.write(tmp_path / "image.png", torch.zeros(3, 40, 50, dtype=torch.uint8))
    path = pack(tmp_path / "a.zip", {"a.png": (tmp_path / "image.png").read_bytes()})
    monkeypatch.setattr(images, "MAX_PIXELS", 1999)
    with pytest.raises(UserError, match="1 to 1999 pixels, got 40 x 50"):
        images.read_middle(zips.index(path)[0], 8, 8)


def test_damage_is_told_wherever_it_is(tmp_path):
    path = pack(tmp_path / "a.zip", {"a.bin": bytes(range(256)) * 9}, zipfile.ZIP_STORED)
    sound = path.read_bytes()
    for place in (0, 45):
        broken = bytearray(sound)
        broken[place] ^= 0xFF
        (tmp_path / "b.zip").write_bytes(broken)
        with pytest.raises(UserError, match=r"b.zip:a.bin: this part of the archive is damaged"):
            zips.index(tmp_path / "b.zip")[0].open()


def test_archives_that_cannot_be_read_are_told(tmp_path):
    (tmp_path / "text.zip").write_text("hello")
    (tmp_path / "cut.zip").write_bytes(
        pack(tmp_path / "a.zip", {"a": bytes(999)}).read_bytes()[:90]
    )
    for name in ("text.zip", "cut.zip"):
        with pytest.raises(UserError, match="expected a ZIP archive"):
            zips.index(tmp_path / name)
    with pytest.raises(UserError, match="no such file"):
        zips.index(tmp_path / "missing.zip")
    with pytest.raises(UserError, match="stored or deflated"):
        zips.index(pack(tmp_path / "bz.zip", {"a": bytes(99)}, zipfile.ZIP_BZIP2))
    content = bytearray(pack(tmp_path / "locked.zip", {"a": b"a"}).read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(content)
    with pytest.raises(UserError, match="encrypted"):
        zips.index(tmp_path / "locked.zip")


def test_an_archive_in_an_archive_is_just_bytes(tmp_path):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("x.png", b"x")
    path = pack(tmp_path / "outer.zip", {"inner.zip": inner.getvalue()}, zipfile.ZIP_STORED)
    assert [member.name for member in zips.index(path)] == ["inner.zip"]
