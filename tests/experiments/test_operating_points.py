"""The command: points chosen on dev alone, written, reported, and refused where they cannot be meant."""

import json

import pandas as pd
import planted
import pytest

from experiments import compare, operating_points
from experiments.evaluate import operating_points as points
from experiments.options import costs
from experiments.pages import moderation
from experiments.results import answers, folder
from extract import errors
from heads.models import HEADS


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A small comparison, one whose test holds a single label, and one whose test has none."""
    folder = tmp_path_factory.mktemp("points")
    (folder / "choice.json").write_text(
        json.dumps({"heads": {head: {"hidden": 8, "max_epochs": 4, "batch_size": 32} for head in HEADS}})
    )
    for name, label in (("both", {}), ("one", {"test": 0}), ("none", {"test": -1})):
        planted.features(folder / name, {"train": 60, "dev": 40, "test": 40}, label=label)
        compare.compare(
            folder / name, heads="text,early", seeds=2, out=folder / f"{name}-out", device="cpu", references="none",
            from_sweep=folder / "choice.json",
        )  # fmt: skip
    return folder


def command(folder, *options) -> int:
    return errors.run(lambda: operating_points.main(["--reports", str(folder / "both-out"), *map(str, options)]))


def test_the_command_writes_and_the_report_shows(compared, capsys):
    assert command(compared, "--costs", "5,1", "--error", ".2") == 0
    shown = capsys.readouterr().out
    assert "Operating points of" in shown
    assert "Dev is too small to place" in shown  # 40 memes
    assert "A miss costs 5, a false alarm 1" in shown
    out = compared / "both-out"
    frame = pd.read_csv(out / "operating_points.csv")
    assert set(frame["split"]) == {"dev", "test"}
    assert {"recall=0.8", "precision=0.9", "review=0.1", "error=0.2", "cost"} <= set(frame["goal"])
    kept = answers.read_answer(out, "operating_points", points.OperatingPoints, folder.read_results(out).comparison.run)
    assert kept.stakes.miss == 5
    assert answers.read_answer(out, "operating_points", points.OperatingPoints, "another run") is None
    assert r"\begin{tabular}" in (out / "operating_points.tex").read_text()
    first = (out / "operating_points.json").read_bytes()
    assert command(compared, "--costs", "5,1", "--error", ".2") == 0
    assert (out / "operating_points.json").read_bytes() == first
    section = moderation.section(folder.read_results(out), out)
    assert section.title == "Where to set the threshold"
    [drawn] = section.blocks[-1].panels
    assert drawn.alt.startswith("Error of the rest by share reviewed on test: text ")
    (out / "operating_points.json").write_text("{}")
    with pytest.raises(
        errors.Refused, match=r"operating_points.json is not what this version writes \(KeyError: 'run'\)"
    ):
        moderation.section(folder.read_results(out), out)
    (out / "operating_points.json").unlink()
    assert moderation.section(folder.read_results(out), out) is None


def test_thresholds_are_dev_s_alone(compared):
    """Another test split, the same thresholds."""
    frames = [operating_points.operating_points(compared / f"{name}-out", write=False) for name in ("both", "one")]
    both, one = (frame[frame["split"] == "dev"][["head", "goal", "low", "high"]] for frame in frames)
    pd.testing.assert_frame_equal(both, one)
    test = frames[1][frames[1]["split"] == "test"]
    assert test["recall_mean"].isna().all()  # no meme of label 1
    assert test["false_alarms_mean"].notna().any()


def test_without_a_labelled_test_points_are_told_on_dev_alone(compared, capsys):
    frame = operating_points.operating_points(compared / "none-out", write=False, quiet=False)
    assert set(frame["split"]) == {"dev"}
    assert (
        f"Operating points of {folder.read_results(compared / 'none-out').best_on_dev} on dev"
        in capsys.readouterr().out
    )


def test_what_cannot_be_meant_is_refused(compared, tmp_path, capsys):
    with pytest.raises(SystemExit):
        command(compared, "--costs", "5")
    assert "5 is not two numbers, MISS,ALARM" in capsys.readouterr().err
    assert costs("5,1") == (5.0, 1.0)
    for asked in ("0,1", "5,0", "5,inf"):
        assert command(compared, "--costs", asked) == 2
        assert capsys.readouterr().err == (
            f"error: --costs {asked}: both must be numbers above 0. Where a mistake costs nothing, one answer to every "
            "meme is the cheapest, and no threshold is needed\n"
        )
    with pytest.raises(SystemExit):
        command(compared, "--prevalence", "1")
    assert "1 is not between 0 and 1" in capsys.readouterr().err
    assert command(compared, "--features", compared / "one") == 2
    assert "does not hold the memes that were compared, in test" in capsys.readouterr().err
    assert errors.run(lambda: operating_points.main(["--reports", str(tmp_path)])) == 2
    assert "holds no comparison.json" in capsys.readouterr().err
