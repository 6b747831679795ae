"""Shards: members are read in place, and a hostile archive reaches nothing else."""

import io
import tarfile

import pytest
import torch

from reference.numbered import numbered_frames, numbers_of
from scalable_binding.data import shards
from scalable_binding.data.frames import images, videos
from scalable_binding.errors import UserError


def add(tar, name, content):
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def test_members_read_like_files_of_their_own(tmp_path):
    contents = {f"{number}.bin": bytes([number]) * (700 * number) for number in range(5)}
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        for name, content in contents.items():
            add(tar, name, content)
    members = shards.index(tmp_path / "shard.tar")
    assert [member.name for member in members] == list(contents)
    for member in members:
        with member.open() as file:
            assert file.read() == contents[member.name]
            assert file.seek(0, io.SEEK_END) == member.size
            assert file.read(1) == b""
            file.seek(max(0, member.size - 3))
            assert file.read() == contents[member.name][-3:]


def test_videos_and_images_read_from_inside(tmp_path):
    videos.write(tmp_path / "video.mp4", numbered_frames(30), fps=10.0)
    image = torch.full((3, 6, 8), 9, dtype=torch.uint8)
    images.write(tmp_path / "image.png", image)
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        tar.add(tmp_path / "image.png", "a.png")
        tar.add(tmp_path / "video.mp4", "b.mp4")
    picture, video = shards.index(tmp_path / "shard.tar")
    assert torch.equal(images.read(picture), image)
    assert numbers_of(videos.stream(video)) == list(range(30))
    assert numbers_of(videos.stream(video, fps=5.0, start=10, stop=13)) == [20, 22, 24]
    assert videos.probe(video).num_frames == 30


def test_links_devices_and_folders_are_left_out_and_names_lead_nowhere(tmp_path):
    (tmp_path / "secret.jpg").write_text("secret")
    with tarfile.open(tmp_path / "hostile.tar", "w") as tar:
        for kind, target in ((tarfile.SYMTYPE, "../secret.jpg"), (tarfile.LNKTYPE, "/etc/passwd")):
            entry = tarfile.TarInfo("link.jpg")
            entry.type, entry.linkname = kind, target
            tar.addfile(entry)
        for kind in (tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
            entry = tarfile.TarInfo("odd.jpg")
            entry.type = kind
            tar.addfile(entry)
        add(tar, "../../secret.jpg", b"inside")
        add(tar, "/etc/passwd.jpg", b"inside too")
    members = shards.index(tmp_path / "hostile.tar")
    contents = []
    for member in members:
        with member.open() as file:
            contents.append(file.read())
    assert contents == [b"inside", b"inside too"]


def test_a_member_larger_than_the_archive_is_left_out(tmp_path):
    entry = tarfile.TarInfo("huge.mp4")
    entry.size = 2**40
    (tmp_path / "lying.tar").write_bytes(entry.tobuf() + bytes(1024))
    with pytest.warns(shards.DamagedShardWarning, match="the archive is cut"):
        assert shards.index(tmp_path / "lying.tar") == []


def test_a_huge_image_member_is_refused_before_it_is_read(tmp_path, monkeypatch):
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        add(tar, "a.jpg", bytes(2000))
    monkeypatch.setattr(images, "MAX_BYTES", 1999)
    with pytest.raises(UserError, match="at most 1999 bytes, got 2000"):
        images.read(shards.index(tmp_path / "shard.tar")[0])


def test_what_is_no_plain_tar_is_told(tmp_path):
    (tmp_path / "text.tar").write_text("hello" * 500)
    with tarfile.open(tmp_path / "packed.tar", "w:gz") as tar:
        add(tar, "a.jpg", bytes(100))
    for name in ("text.tar", "packed.tar"):
        with pytest.raises(UserError, match="uncompressed tar"):
            shards.index(tmp_path / name)
    with pytest.raises(UserError, match="no such file"):
        shards.index(tmp_path / "missing.tar")


def test_a_cut_archive_gives_its_whole_members(tmp_path):
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        for number in range(6):
            add(tar, f"{number}.bin", bytes(5000))
    content = (tmp_path / "shard.tar").read_bytes()
    (tmp_path / "shard.tar").write_bytes(content[:14_000])
    with pytest.warns(shards.DamagedShardWarning, match="2 whole files"):
        members = shards.index(tmp_path / "shard.tar")
    assert [member.name for member in members] == ["0.bin", "1.bin"]
