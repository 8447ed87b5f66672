"""img.tar.gz: unpacked once, whole or not at all, and nothing outside its folder."""

import errno
import fcntl
import io
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from extract.archive import unpack_images
from extract.errors import Refused


def archive(path, members):
    with tarfile.open(path, "w:gz") as file:
        for member, content in members:
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("prefix", ["", "img/"])
def test_unpacks_the_archive_once_whether_or_not_img_is_inside(tmp_path, prefix):
    archive(tmp_path / "img.tar.gz", [(tarfile.TarInfo(f"{prefix}1.png"), b"one")])
    assert unpack_images(tmp_path)
    assert (tmp_path / "img/1.png").read_bytes() == b"one"
    assert not unpack_images(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["img", "img.tar.gz"]


def hostile(kind):
    member = tarfile.TarInfo("../out.png" if kind == "up" else f"img/{kind}")
    types = {"link": tarfile.SYMTYPE, "inner link": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE}
    types |= {"device": tarfile.CHRTYPE, "pipe": tarfile.FIFOTYPE}
    member.type = types.get(kind, tarfile.REGTYPE)
    member.linkname = {"link": "../../../etc", "inner link": "1.png", "hard link": "img/1.png"}.get(kind, "")
    return member


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("up", r"'\.\./out\.png' would be extracted to .*, which is outside the destination"),
        # a link inside the folder is refused, too: chains of those have led tarfile's own filter outside
        *((kind, f"img/{kind} is neither a file nor a folder") for kind in ("link", "inner link", "hard link", "pipe")),
        ("device", "img/device is neither a file nor a folder"),
    ],
)
def test_a_hostile_archive_writes_nothing(tmp_path, kind, reason):
    data = tmp_path / "data"
    data.mkdir()
    archive(data / "img.tar.gz", [(tarfile.TarInfo("img/1.png"), b"one"), (hostile(kind), b"")])
    with pytest.raises(Refused, match=rf"img\.tar\.gz cannot be unpacked: {reason}.*Nothing was written"):
        unpack_images(data)
    assert os.listdir(data) == ["img.tar.gz"]
    assert os.listdir(tmp_path) == ["data"]


def damage(data: bytes, how: str) -> bytes:
    middle = len(data) // 2
    return {
        "cut": data[:middle],
        "flipped": data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :],  # only the checksum tells
        "foreign": data[:10] + b"\xff" * 99,  # gzip's header, and no deflate stream behind it
    }[how]


@pytest.mark.parametrize("how", ["cut", "flipped", "foreign"])
def test_a_damaged_archive_writes_nothing(tmp_path, how):
    archive(tmp_path / "img.tar.gz", [(tarfile.TarInfo(f"img/{number}.png"), os.urandom(9999)) for number in range(3)])
    (tmp_path / "img.tar.gz").write_bytes(damage((tmp_path / "img.tar.gz").read_bytes(), how))
    with pytest.raises(Refused, match="cannot be unpacked"):
        unpack_images(tmp_path)
    assert os.listdir(tmp_path) == ["img.tar.gz"]


def test_what_a_killed_run_left_half_unpacked_is_removed(tmp_path):
    archive(tmp_path / "img.tar.gz", [(tarfile.TarInfo("1.png"), b"one")])
    (tmp_path / ".img.123456789.partial/img").mkdir(parents=True)
    assert unpack_images(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["img", "img.tar.gz"]


def test_who_comes_second_waits_and_finds_it_unpacked(tmp_path):
    archive(tmp_path / "img.tar.gz", [(tarfile.TarInfo("1.png"), b"one")])
    (tmp_path / ".img.1.partial").mkdir()  # the first one's
    with open(tmp_path / "img.tar.gz", "rb") as first, ThreadPoolExecutor(1) as pool:
        fcntl.flock(first, fcntl.LOCK_EX)
        second = pool.submit(unpack_images, tmp_path)
        with pytest.raises(TimeoutError):
            second.result(timeout=0.2)
        (tmp_path / ".img.1.partial").rename(tmp_path / "img")
        fcntl.flock(first, fcntl.LOCK_UN)
        assert second.result(timeout=60) is False


def test_without_locks_it_is_unpacked_and_nobodys_work_is_removed(tmp_path, monkeypatch):
    archive(tmp_path / "img.tar.gz", [(tarfile.TarInfo("1.png"), b"one")])
    (tmp_path / ".img.1.partial").mkdir()

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert unpack_images(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".img.1.partial", "img", "img.tar.gz"]
