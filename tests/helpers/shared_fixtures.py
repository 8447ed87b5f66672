"""Fixtures that test files of several folders share; a file's own of the same name goes before them."""

import pytest


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A small dataset, its features, and heads trained on them; to be read, not written."""
    import trained

    with trained.encoders():
        return trained.everything(tmp_path_factory.mktemp("world"))


@pytest.fixture
def fakes(monkeypatch, tmp_path):
    """Encoders that count, an empty cache, and a working folder without features/."""
    import trained

    monkeypatch.setenv("MEMEFUSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    with trained.encoders() as found:
        yield found


@pytest.fixture
def toy(monkeypatch):
    """A head that is in HEADS and nowhere else."""
    from heads.models import HEADS

    monkeypatch.setitem(HEADS, "toy", type("ToyHead", (HEADS["early"],), {"name": "toy"}))
    return "toy"
