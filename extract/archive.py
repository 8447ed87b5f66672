"""Unpack img.tar.gz into img/: once, whole or not at all, and nothing but plain files and folders."""

import lzma
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from extract.errors import Refused
from extract.locks import flock
from extract.places import Place, Remote

ARCHIVE = "img.tar.gz"
DAMAGE = (tarfile.TarError, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError)  # what reading one can raise


def unpack_images(data: Place) -> bool:
    """Unpack img.tar.gz when there is no img/; in a folder of this machine only. Returns whether it did.

    A kill in mid-way leaves no img/; what it has left the next call removes. Of two at once, the second waits.
    Raises Refused for an archive that is damaged, or that holds links, devices or ways out of the folder.
    """
    if isinstance(data, Remote):
        return False
    archive, target = data / ARCHIVE, data / "img"
    if target.exists() or not archive.is_file():
        return False
    aside = data / f".img.{os.getpid()}.partial"
    try:
        with _alone(archive):
            if target.exists():
                return False
            with tarfile.open(archive) as members:
                members.extractall(aside, filter=_plain)
                _read_to_the_end(members)
            # Hateful Memes' archive has img/ inside, others hold the images themselves
            os.replace(aside / "img" if (aside / "img").is_dir() else aside, target)
    except DAMAGE as error:
        raise Refused(
            f"{archive} cannot be unpacked: {error}. Nothing was written; replace it or unpack it to {target}"
        ) from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return True


def _plain(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """A file or a folder inside `folder`. No link at all: through links, Python's own filter has been led outside
    (CVE-2025-4517)."""
    if not (member.isreg() or member.isdir()):
        raise tarfile.TarError(f"{member.name} is neither a file nor a folder")
    return tarfile.data_filter(member, folder)


def _read_to_the_end(members: tarfile.TarFile) -> None:
    """tarfile stops where the last member ends; the checksum of all bytes stands behind."""
    assert members.fileobj is not None
    while members.fileobj.read(1 << 20):
        pass


@contextmanager
def _alone(archive: Path) -> Iterator[None]:
    """Hold a lock that ends with the process, and remove what killed ones have left half unpacked."""
    with open(archive, "rb") as lock:
        try:
            flock(lock, wait=True)
        except OSError:  # a file system without locks: others may be at work
            yield
            return
        for leftover in archive.parent.glob(".img.*.partial"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield
