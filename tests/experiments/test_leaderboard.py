"""Which encoders: the command on planted features, its rows against compare's, what a killed run leaves."""

import json
import math

import numpy as np
import planted
import pytest
from leaderboards import OPTIONS, OTHER, SIZES, SPEEDS, measured, quick, run, two_texts

from experiments import leaderboard, training
from experiments.compare import compare
from experiments.results import boards, trainings
from experiments.results.records import Leaderboard, revive, to_json
from extract import store
from extract.errors import Refused


@pytest.fixture(scope="module", autouse=True)
def quicker():
    with quick():
        yield


def test_every_head_stands_once_for_each_choice_of_the_encoders_that_it_looks_at(board):
    texts = [planted.TEXT, OTHER, f"{planted.TEXT}+{OTHER}"]
    assert {each.name for each in board.standings} == {
        *(f"text: {text}" for text in texts),
        *(f"early: {text} + {planted.IMAGE}" for text in texts),
        f"image: {planted.IMAGE}",
    }
    assert board.dataset == "features"
    assert (board.dev, board.judged, board.seeds) == ("dev", "test", 2)
    areas = [each.splits["dev"].metrics["auc_roc"].mean for each in board.standings]
    assert areas == sorted(areas, reverse=True)
    assert [pair.against for pair in board.pairs] == [each.name for each in board.standings[1:]]
    assert {pair.head for pair in board.pairs} == {board.standings[0].name}


def test_rows_are_those_of_compare(leaderboard_home, board):
    text = f"{planted.TEXT}+{OTHER}"
    compared = compare(
        leaderboard_home / "features", text_encoder=text, references="none", **OPTIONS | {"heads": "text,early"}
    )
    for split in ("dev", "test"):
        rows = compared.rows(split)
        for head, encoders in {"text": text, "early": f"{text} + {planted.IMAGE}"}.items():
            [mine] = [each for each in board.standings if each.name == f"{head}: {encoders}"]
            assert mine.splits[split].metrics == rows[head].metrics
            assert mine.splits[split].tuned == rows[head].tuned


def test_the_group_to_choose_from_is_what_the_best_does_not_beat_cheapest_first(board):
    beaten = {pair.against for pair in board.pairs if pair.conclusion == "gain"}
    assert beaten  # a text alone tells a part only
    assert {each.name for each in board.standings if not each.level} == beaten
    assert [each.seconds for each in board.level] == sorted(each.seconds for each in board.level)
    [both] = [each for each in board.standings if each.name == f"early: {planted.TEXT}+{OTHER} + {planted.IMAGE}"]
    assert both.seconds == pytest.approx(sum(SPEEDS.values()))
    assert (both.dims, both.device) == (6 + 5 + 9, "cpu (a processor)")
    front = board.frontier
    assert front[-1] == board.standings[0]
    assert front[0].name == f"text: {OTHER}"  # the cheapest of all
    assert [each.seconds for each in front] == sorted(each.seconds for each in front)


def test_every_row_is_set_against_the_same_head_s_best_on_other_encoders(board):
    rows = {each.name: each for each in board.standings}
    pairs = {(pair.split, pair.against): pair for pair in board.others}
    assert set(pairs) == {(split, name) for split in ("dev", "test") for name in rows if not name.startswith("image")}
    for (split, name), pair in pairs.items():
        of_head = [other for other, each in rows.items() if each.head == rows[name].head and other != name]
        assert pair.head == of_head[0]  # rows stand by dev
        one, other = (rows[each].splits[split].metrics["auc_roc"].mean for each in (pair.head, name))
        assert pair.difference == pytest.approx(one - other)
        assert pair.low < pair.difference < pair.high
    beside = [pair for pair in board.pairs if rows[pair.against].head == board.standings[0].head]
    assert len(beside) == 2
    for pair in beside:
        same = pairs["test", pair.against]
        assert (same.head, same.low, same.high, same.p) == (pair.head, pair.low, pair.high, pair.p)


def test_files_say_the_same(leaderboard_home, board):
    out = leaderboard_home / "out"
    assert to_json(revive(Leaderboard, json.loads(to_json(board)))) == (out / "leaderboard.json").read_text()
    page, best = (out / "leaderboard.md").read_text(), board.standings[0]
    assert f"Best on dev of 7 rows: {best.name} (dev AUC-ROC " in page
    assert f"| 1. {best.name} | level | {best.dims:,} | " in page
    assert "Costs are seconds of reading, decoding and encoding a meme on cpu (a processor)" in page
    assert page.count("fingerprint") == 0
    assert r"\begin{tabular}" in (out / "leaderboard.tex").read_text()
    lines = (out / "leaderboard.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 7
    for name in ("leaderboard-cost", "leaderboard-pairs"):
        assert (out / f"{name}.svg").read_text().startswith("<svg")
    table = leaderboard.Leaderboards([board], None).table
    assert (table["best_ahead_detectable"].dropna() > 0).all()
    assert "best_ahead_memes_needed" in table
    assert table["best_ahead_p_holm"].notna().sum() == 6
    assert set(table["dataset"]) == {"features"}


def test_what_is_to_be_minded_is_said_once(tmp_path, capsys):
    sizes = {"train": 30, "dev": 12, "test": 12}
    features = planted.features(tmp_path / "f", sizes)
    for split in sizes:
        planted.rewrite(features, planted.TEXT, split, settings={"max_tokens": 8})
    assert run("--features", features, "--out", tmp_path / "out", "--heads", "text,early", "--seeds", "1") == 0
    told = capsys.readouterr()
    assert (told.out + told.err).count("word pieces are cut") == 1


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(leaderboard_home, tmp_path, monkeypatch):
    train, pairs = training.heads, []

    def killed(data, asked, *rest, **more):
        pairs.append((data.text.name, tuple(asked)))
        if len(pairs) == 2:
            raise KeyboardInterrupt
        return train(data, asked, *rest, **more)

    monkeypatch.setattr(training, "heads", killed)
    what = {"text_encoder": f"all,{planted.TEXT}+{OTHER}", "out": tmp_path, **OPTIONS}
    with pytest.raises(KeyboardInterrupt):
        leaderboard.leaderboard(leaderboard_home / "features", **what)
    assert not (tmp_path / "leaderboard.json").exists()
    leaderboard.leaderboard(leaderboard_home / "features", **what)
    assert pairs == [
        (OTHER, ("text", "image", "early")),
        (planted.TEXT, ("text", "early")),
        (planted.TEXT, ("text", "early")),
        (f"{planted.TEXT}+{OTHER}", ("text", "early")),
    ]
    for name in ("md", "csv", "tex", "json"):
        assert (tmp_path / f"leaderboard.{name}").read_bytes() == (
            leaderboard_home / f"out/leaderboard.{name}"
        ).read_bytes()
    kept = sorted((tmp_path / trainings.FOLDER).iterdir())
    assert len(kept) == 7
    kept[0].write_bytes(kept[0].read_bytes()[:100])  # damaged: trained again
    (tmp_path / trainings.FOLDER / "of-another-code.safetensors").touch()
    leaderboard.leaderboard(leaderboard_home / "features", **what)
    assert [len(asked) for _, asked in pairs[4:]] == [1]
    assert sorted((tmp_path / trainings.FOLDER).iterdir()) == kept


def test_memes_that_an_encoder_lacks_are_left_out_for_all_and_counted(tmp_path):
    features = measured(two_texts(tmp_path / "features"), OTHER)
    planted.rewrite(features, OTHER, "test", rows=slice(6, None))
    for split in ("train", "dev"):
        planted.rewrite(features, OTHER, split, rows=slice(None, -2))
    [board] = leaderboard.leaderboard(features, out=tmp_path / "out", **OPTIONS).boards
    for counted in ("train: 118 of 120", "dev: 58 of 60", "test: 294 of 300"):
        assert f"{counted} memes have a vector by every encoder; the rest is left out." in board.notes
    assert {size.name: size.memes for size in board.sizes} == {"train": 118, "dev": 58, "test": 294}
    assert {each.splits["test"].seeds for each in board.standings} == {2}
    known = {each.name for each in board.standings if not math.isnan(each.seconds)}
    assert known == {f"text: {OTHER}"}
    page = (tmp_path / "out/leaderboard.md").read_text()
    assert f"The cost of encoding is unknown for {planted.TEXT}, {planted.IMAGE}: extract writes it" in page.replace(
        f"{planted.IMAGE}, {planted.TEXT}", f"{planted.TEXT}, {planted.IMAGE}"
    )
    assert "| unknown |" in page


@pytest.mark.parametrize("test", ["unlabelled", "one class", "none"])
def test_without_a_test_of_both_labels_the_best_is_tested_on_dev_and_that_is_said(tmp_path, test):
    sizes = SIZES if test != "none" else {name: SIZES[name] for name in ("train", "dev")}
    features = two_texts(tmp_path / "f", sizes, label={"test": {"unlabelled": -1}.get(test, 1)})
    [board] = leaderboard.leaderboard(features, out=tmp_path / "out", **OPTIONS | {"heads": "text", "seeds": 1}).boards
    assert board.judged == "dev"
    says = "No test split has both labels: the best is tested on dev, which flatters, for it chose the best."
    assert says in board.notes
    assert ("test" in board.standings[0].splits) == (test == "one class")
    assert (tmp_path / "out/leaderboard.md").read_text()


def test_one_encoder_alone_and_thirty_memes(tmp_path):
    features = planted.features(tmp_path / "f", {"train": 30, "dev": 10, "test": 10})
    options = OPTIONS | {"text_encoder": planted.TEXT, "image_encoder": "none", "out": tmp_path / "out"}
    [board] = leaderboard.leaderboard(features, **options).boards
    assert [each.name for each in board.standings] == [f"text: {planted.TEXT}"]
    assert board.pairs == []
    assert "image, early left out: there are no image vectors" in board.notes[0]


def test_several_datasets_have_a_folder_each_and_a_ranking_together(tmp_path):
    folders = [two_texts(tmp_path / f"set{number}", seed=number) for number in range(2)]
    (folders[1] / planted.IMAGE / store.DATASET).write_text(json.dumps({"data": "/data/memes", "splits": {}}))
    options = OPTIONS | {"heads": "text", "seeds": 1, "out": tmp_path / "out"}
    found = leaderboard.leaderboard(",".join(map(str, folders)), **options)
    assert [board.dataset for board in found.boards] == ["set0", "memes"]
    for board in found.boards:
        assert boards.read_leaderboard(tmp_path / "out" / board.dataset) == board
    assert found.across.datasets == ["set0", "memes"]
    assert sorted(found.across.names) == [f"text: {OTHER}", f"text: {planted.TEXT}"]
    assert sum(found.across.mean_rank) == pytest.approx(3)
    assert "2 datasets and 2 rows are too few to test ranks" in (tmp_path / "out/across.md").read_text()
    assert np.isnan(found.across.p)
    assert leaderboard.dataset_names([*folders, tmp_path / "a" / "memes"]) == ["set0", "memes-1", "memes-2"]


def test_what_cannot_be_meant_is_refused(tmp_path, capsys):
    features = planted.features(tmp_path / "f", SIZES)
    assert run("--features", f"{features},{features}", "--out", tmp_path / "out") == 2
    assert run("--features", ",", "--out", tmp_path / "out") == 2
    assert run("--features", tmp_path / "nowhere", "--out", tmp_path / "out") == 2
    assert run("--features", features, "--text-encoder", f"{planted.TEXT},no-such", "--out", tmp_path / "out") == 2
    told = capsys.readouterr().err
    assert f"error: --features names no folder, or one twice: {features}, {features}\n" in told
    assert f"error: no features folder {tmp_path}/nowhere; run: python -m extract" in told
    assert f"error: {features} holds no text features of no-such. It holds:" in told
    assert not (tmp_path / "out").exists()
    for split in SIZES:
        planted.rewrite(features, planted.TEXT, split, ids=np.array([f"x{row}" for row in range(SIZES[split])]))
    with pytest.raises(Refused, match=r"no meme of train has both a text and an image vector"):
        leaderboard.leaderboard(features, out=tmp_path / "out", **OPTIONS)
