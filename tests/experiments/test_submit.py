"""A submission holds every id of its source once, as written there, in that order; else there is none."""

import csv
import json
import shutil

import pytest
import trained

from experiments import submit
from extract import errors

pytestmark = pytest.mark.usefixtures("fakes")


def command(world, *options, data=None) -> int:
    where = ["--model", world / "reports", "--data", data or world / "data", *options]
    return errors.run(lambda: submit.main(list(map(str, where))))


def source(folder, split="test") -> list[dict]:
    return [json.loads(line) for line in (folder / f"{split}.jsonl").read_text().splitlines()]


def test_every_id_as_in_the_source_in_its_order(world, tmp_path, capsys):
    assert command(world, "--head", "early") == 0
    text = (tmp_path / "submission.csv").read_text()
    assert text.startswith("id,proba,label\n0")
    compared = trained.compared(world)["early"]
    rows = [line.split(",") for line in text.splitlines()[1:]]
    assert [row[0] for row in rows] == [row["id"] for row in source(world / "data")]
    assert {row[0]: float(row[1]) for row in rows} == pytest.approx(compared, abs=1e-6)
    assert "submission.csv: 12 memes of test by the head early, " in capsys.readouterr().err


def test_labels_are_those_of_the_threshold(world, tmp_path):
    assert command(world, "--threshold", "0.5") == 0
    with open(tmp_path / "submission.csv") as file:
        for row in csv.DictReader(file):
            assert row["label"] == str(int(float(row["proba"]) >= 0.5))


def test_whole_numbers_and_odd_ids_stay_as_they_are(world, tmp_path):
    data = shutil.copytree(world / "data", tmp_path / "data")
    rows = source(data)
    for row, name in zip(rows, [7, "007", "a,b", 'say "x"', " 1"], strict=False):
        row["id"] = name
    (data / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert command(world, data=data) == 0
    with open(tmp_path / "submission.csv", newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)][:5] == ["7", "007", "a,b", 'say "x"', " 1"]


def test_unlabelled_splits_are_what_it_is_for(world, tmp_path):
    data = shutil.copytree(world / "data", tmp_path / "data")
    rows = source(data)
    for row in rows:
        del row["label"]
    (data / "test_unseen.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert command(world, "--split", "test_unseen", data=data) == 0
    assert len((tmp_path / "submission.csv").read_text().splitlines()) == 13


def test_one_row_that_cannot_be_used_refuses_all(world, tmp_path, capsys):
    data = shutil.copytree(world / "data", tmp_path / "data")
    rows = source(data)
    (data / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[3]]))
    (tmp_path / "submission.csv").write_text("the old one")
    assert command(world, data=data) == 2
    said = capsys.readouterr().err
    assert "2 of 13 rows cannot be scored, and a submission needs each:" in said
    assert f"test.jsonl:4  {rows[3]['id']}  id also on line 13" in said
    (data / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (data / rows[0]["img"]).write_bytes(b"torn")
    assert command(world, data=data) == 1
    assert "1 of 12 images cannot be decoded; nothing was written." in capsys.readouterr().err
    assert (tmp_path / "submission.csv").read_text() == "the old one"


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        (["1", "2"], "1 ids missing: 3"),
        (["1", "2", "3", "3"], "1 ids twice: 3"),
        (["1", "2", "3", "03"], "1 ids not in the source: 03"),
        (["1", "3", "2"], "ids are not in the order of the source"),
    ],
)
def test_what_would_be_turned_down_is_not_written(written, fault):
    with pytest.raises(errors.Failed, match=f"^the submission was not written:\n  {fault}$"):
        submit.check(["1", "2", "3"], "id,proba,label\n" + "".join(f"{name},0.5,1\n" for name in written))


def test_several_splits_at_once_are_refused(world, capsys):
    assert command(world, "--split", "all") == 2
    assert "--split all is train, dev, test: name one of them" in capsys.readouterr().err
