"""Fixtures that test files of several folders share; a file's own of the same name goes before them."""

import json

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


@pytest.fixture(scope="session")
def leaderboard_home(tmp_path_factory):
    """Where a leaderboard was written; to be read, not written."""
    import leaderboards

    return leaderboards.ran(tmp_path_factory.mktemp("leaderboard"))


@pytest.fixture
def board(leaderboard_home):
    from experiments.results import boards

    return boards.read_leaderboard(leaderboard_home / "out")


@pytest.fixture(scope="session")
def every_head(tmp_path_factory):
    """A comparison of all heads on planted memes, recalibrated, as features/ and out/; to be read, not written."""
    import planted

    from experiments import compare
    from heads.models import HEADS

    where = tmp_path_factory.mktemp("every_head")
    planted.features(where / "features", {"train": 60, "dev": 40, "test": 40})
    heads = {head: {"hidden": 8, "max_epochs": 4, "batch_size": 32} for head in HEADS}
    (where / "choice.json").write_text(json.dumps({"heads": heads}))
    compare.compare(
        where / "features", heads="all", seeds=2, out=where / "out", device="cpu", references="none",
        from_sweep=where / "choice.json", calibrate="temperature",
    )  # fmt: skip
    return where


@pytest.fixture(scope="session")
def comparison_out(tmp_path_factory):
    """What compare wrote of its own heads and references, beside features/; to be read, not written."""
    import planted

    from experiments import compare
    from experiments.options import DEFAULT_HEADS

    folder = tmp_path_factory.mktemp("findings")
    planted.features(folder / "features", {"train": 60, "dev": 40, "test": 40})
    heads = {"heads": {head: {"hidden": 8, "max_epochs": 3} for head in DEFAULT_HEADS.split(",")}}
    (folder / "choice.json").write_text(json.dumps(heads))
    out = folder / "out"
    command = ["--features", folder / "features", "--out", out, "--from-sweep", folder / "choice.json", "--seeds", 3]
    compare.main([*map(str, command), "--device", "cpu"])
    return out
