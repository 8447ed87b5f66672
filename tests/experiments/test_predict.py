"""New memes get what the comparison gave the same memes; another encoder is refused; nothing is encoded twice."""

import csv
import io
import json
import shutil
from dataclasses import replace
from importlib import util

import fake_reader
import numpy as np
import pytest
import trained

from experiments import predict, submit
from experiments.operating_points import operating_points
from experiments.scoring.scorer import Scorer
from experiments.words import bare
from extract import errors, images
from extract.dataset import read_split
from extract.ocr.words import Words
from extract.remote import Remote


def command(world, *options) -> int:
    return errors.run(lambda: predict.main(["--model", str(world / "reports"), *map(str, options)]))


def table(text: str) -> dict[str, dict[str, str]]:
    return {row["id"]: row for row in csv.DictReader(io.StringIO(text))}


@pytest.mark.parametrize("features", [False, True], ids=["encoded", "published"])
def test_a_split_gets_what_compare_gave_it(world, fakes, capsys, features):
    options = ["--features", world / "features"] if features else []
    assert command(world, "--data", world / "data", "--split", "test", *options) == 0
    found = table(capsys.readouterr().out)
    for head, expected in trained.compared(world).items():
        assert found.keys() == expected.keys()
        ours = np.array([float(found[name][head]) for name in expected])
        np.testing.assert_allclose(ours, list(expected.values()), atol=1.1e-6)  # both are rounded to six digits
    assert (fakes.texts, fakes.images) == ((0, 0) if features else (10, 12))  # two texts occur twice


def test_rows_keep_their_order_and_zeros(world, fakes, capsys):
    assert command(world, "--data", world / "data", "--split", "test") == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows[0] == ["id", "probability", "label", "head", "text", "image", "early", "late"]
    assert [row[0] for row in rows[1:]] == [meme.id for meme in read_split(world / "data", "test").memes]
    assert rows[1][0].startswith("03")


def test_one_meme_is_told_in_words(world, fakes, capsys):
    meme = trained.first_meme(world)
    assert command(world, "--image", meme.image, "--text", meme.text, "--head", "early") == 0
    shown = capsys.readouterr().out
    score = Scorer.load(world / "reports", head="early").score(image=meme.image, text=meme.text)
    assert f"{score.probability:.3f}".lstrip("0") in shown.splitlines()[0]
    assert f"label {score.label} (head early, mean of 3 runs; label 1 from ." in shown
    assert "tuned on dev)" in shown
    for head, words in (("text", "text alone"), ("image", "image alone"), ("early", "both together")):
        line = next(line for line in shown.splitlines() if line.startswith(head))
        assert words in line
        assert f"{score.opinions[head].probability:.3f}".lstrip("0") in line
    assert "alone" in shown.splitlines()[-1]


def test_a_second_call_encodes_nothing(world, fakes, capsys):
    meme = trained.first_meme(world)
    one = ["--image", meme.image, "--text", meme.text]
    assert command(world, *one) == 0
    first = capsys.readouterr().out
    assert (fakes.texts, fakes.images, fakes.loaded) == (1, 1, ["image", "text"])
    assert command(world, *one) == 0
    assert capsys.readouterr().out == first
    assert (fakes.texts, fakes.images, fakes.loaded) == (1, 1, ["image", "text"])
    assert command(world, "--image", meme.image, "--text", "other words") == 0
    assert (fakes.texts, fakes.images, fakes.loaded) == (2, 1, ["image", "text", "text"])


def test_without_a_cache_everything_is_encoded_again(world, fakes, tmp_path):
    meme = trained.first_meme(world)
    for _ in range(2):
        assert command(world, "--image", meme.image, "--text", meme.text, "--cache", "none") == 0
    assert (fakes.texts, fakes.images) == (2, 2)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("module", [predict, submit], ids=["predict", "submit"])
@pytest.mark.parametrize("address", ["memory", "file"])
def test_features_may_lie_at_an_address(world, fakes, tmp_path, module, address):
    features = f"file://{world / 'features'}"
    if address == "memory":
        pytest.importorskip("fsspec")
        features = Remote(f"memory://{tmp_path.name}-{module.__name__}")
        for path in (world / "features").rglob("*.*"):
            if path.is_file():
                (features / str(path.relative_to(world / "features"))).write_bytes(path.read_bytes())
    options = ["--model", world / "reports", "--data", world / "data", "--split", "test", "--out", tmp_path / "out.csv"]
    assert errors.run(lambda: module.main([*map(str, options), "--features", str(features)])) == 0
    assert (fakes.texts, fakes.images) == (0, 0)


@pytest.fixture
def text_world(world, tmp_path):
    """A comparison whose one saved head sees texts, and memes without any image file."""
    (tmp_path / "reports" / "models").mkdir(parents=True)
    for ending in ("json", "safetensors"):
        shutil.copy(world / "reports" / "models" / f"text.{ending}", tmp_path / "reports" / "models")
    (tmp_path / "data").mkdir()
    shutil.copy(world / "data" / "test.jsonl", tmp_path / "data")
    return tmp_path


@pytest.mark.parametrize("source", ["split", "lines"])
def test_heads_that_see_texts_ask_for_no_image(world, text_world, fakes, capsys, source):
    data = text_world / "data"
    options = ["--data", data, "--split", "test"] if source == "split" else [data / "test.jsonl"]
    assert command(text_world, *options) == 0
    probabilities = {name: float(row["text"]) for name, row in table(capsys.readouterr().out).items()}
    assert probabilities == pytest.approx(trained.compared(world)["text"], abs=1.1e-6)  # six digits are written
    assert fakes.loaded == ["text"]


def test_a_submission_of_texts_asks_for_no_image(text_world, fakes):
    rows = submit.submit(text_world / "data", split="test", model=text_world / "reports")
    assert len(rows) == 12
    assert fakes.loaded == ["text"]


def test_features_in_the_working_folder_are_used(world, fakes, monkeypatch):
    monkeypatch.chdir(world)
    meme = trained.first_meme(world)
    assert command(world, "--image", meme.image, "--text", meme.text) == 0
    assert (fakes.asked, fakes.loaded) == ([], [])


def test_json_lines_from_stdin(world, fakes, monkeypatch, capsys):
    lines = (world / "data" / "test.jsonl").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines)))
    assert command(world, "--data", world / "data", "-") == 0
    assert table(capsys.readouterr().out).keys() == trained.compared(world)["text"].keys()


def test_nothing_on_stdin_is_refused(world, fakes, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\n\n")))
    assert command(world, "-") == 2
    assert "error: stdin holds no rows" in capsys.readouterr().err


def test_memes_of_which_none_can_be_used_make_an_empty_table(world, fakes, tmp_path, capsys):
    (tmp_path / "torn.png").write_bytes(b"")
    (tmp_path / "new.jsonl").write_text('{"id": 1, "img": "torn.png", "text": "a"}')
    assert command(world, tmp_path / "new.jsonl", "--on-error", "skip") == 0
    told = capsys.readouterr()
    assert told.out == "id,probability,label,head\n"
    assert "1 memes left out:\n  1  " in told.err


def test_a_file_s_images_lie_beside_it(world, fakes, tmp_path, capsys):
    assert command(world, world / "data" / "test.jsonl", "--out", tmp_path / "new" / "predictions.csv") == 0
    assert len(table((tmp_path / "new" / "predictions.csv").read_text())) == 12
    assert "12 memes written to" in capsys.readouterr().err


def test_one_side_alone_is_enough_for_its_own_head(world, fakes, capsys):
    meme = trained.first_meme(world)
    assert command(world, "--text", meme.text, "--head", "text") == 0
    assert "image" not in capsys.readouterr().out
    assert fakes.loaded == ["text"]
    assert command(world, "--text", meme.text, "--head", "late") == 2
    said = capsys.readouterr().err
    assert "the head late looks at text and image, and image is missing" in said
    assert "or choose the head text" in said


def test_no_words_are_words_too(world, fakes, capsys):
    assert command(world, "--image", trained.first_meme(world).image, "--text", "", "--head", "early") == 0
    assert capsys.readouterr().out.startswith("probability ")


def test_an_encoder_with_other_weights_is_refused_with_both_values(world, fakes, capsys):
    fakes.found["text"] = trained.replace(trained.TEXT, weights="cc" * 32)
    meme = trained.first_meme(world)
    assert command(world, "--image", meme.image, "--text", meme.text) == 2
    said = capsys.readouterr().err
    assert f"weights: trained on {'aa' * 32}, here {'cc' * 32}" in said
    assert "fingerprint: trained on " in said
    assert "--text-encoder" in said
    assert fakes.loaded == ["image"]


def test_another_pooling_or_transform_is_refused_with_both_values(world, fakes, capsys, monkeypatch):
    meme = trained.first_meme(world)
    one = ["--image", meme.image, "--text", meme.text]
    assert command(world, *one, "--text-encoder", "all-MiniLM-L6-v2:mean") == 2
    assert "pooling: trained on cls, here mean" in capsys.readouterr().err
    monkeypatch.setattr(images.Squeeze, "transform", "cropped")
    assert command(world, *one, "--cache", "none") == 2
    assert "transform: trained on first frame, upright by EXIF" in (said := capsys.readouterr().err)
    assert ", here cropped" in said


def test_the_same_encoder_under_another_name_will_do(world, fakes):
    meme = trained.first_meme(world)
    fakes.found["text"] = trained.replace(trained.TEXT, slug="copy-aaaaaaaa")
    assert command(world, "--image", meme.image, "--text", meme.text, "--text-encoder", "/some/copy") == 0
    assert fakes.asked == ["resnet50-keras", "/some/copy"]


@pytest.mark.parametrize("skip", [False, True])
def test_all_that_cannot_be_used_is_named(world, fakes, tmp_path, capsys, skip):
    data = shutil.copytree(world / "data", tmp_path / "data")
    lines = (data / "test.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    (data / rows[0]["img"]).write_bytes(b"")
    (data / rows[1]["img"]).write_text("<html>")
    options = [
        "--data",
        data,
        "--split",
        "test",
        "--out",
        tmp_path / "out.csv",
        *(["--on-error", "skip"] if skip else []),
    ]
    assert command(world, *options) == (0 if skip else 1)
    said = capsys.readouterr().err
    assert f"{rows[0]['id']}  {data / rows[0]['img']}: empty file" in said
    assert f"{rows[1]['id']}  {data / rows[1]['img']}: not an image of a known format" in said
    if skip:
        assert "2 memes left out" in said
        assert len(table((tmp_path / "out.csv").read_text())) == 10
    else:
        assert "2 of 12 images cannot be decoded; nothing was written." in said
        assert not (tmp_path / "out.csv").exists()
    (data / "test.jsonl").write_text("\n".join([*lines, "{broken", '{"id": 5, "img": "img/none.png", "text": ""}']))
    assert command(world, *options) == (0 if skip else 2)
    said = capsys.readouterr().err
    assert "test.jsonl:13  ?  broken JSON" in said
    assert "test.jsonl:14  5  img/none.png is missing" in said


def test_one_bad_image(world, fakes, tmp_path, capsys):
    (tmp_path / "torn.png").write_bytes(trained.picture((1, 2, 3))[:40])
    assert command(world, "--image", tmp_path / "torn.png", "--text", "a") == 1
    assert f"error: {tmp_path / 'torn.png'} cannot be scored: " in capsys.readouterr().err
    assert command(world, "--image", tmp_path / "none.png", "--text", "a") == 1
    assert "none.png cannot be scored: cannot be read: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "nothing to score: give --image and --text"),
        (["--text", "a", "--split", "test"], "what to score is not clear"),
        (["--split", "test"], "no data folder data/hateful_memes"),
        (["none.jsonl"], "none.jsonl cannot be read: No such file or directory"),
        (["--text", "a", "--features", "nowhere"], "no features folder nowhere"),
        (["--text", "a", "--out", "/dev/null/x.csv"], "--out /dev/null/x.csv: cannot write there"),
    ],
)
def test_refusals(world, fakes, capsys, options, says):
    assert command(world, "--head", "text", *options) == 2
    assert f"error: {says}" in capsys.readouterr().err


def test_only_the_heads_that_were_trained_speak(world, fakes, tmp_path, capsys):
    model = shutil.copytree(world / "reports", tmp_path / "reports")
    for head in ("image", "late"):
        (model / "models" / f"{head}.json").unlink()
    meme = trained.first_meme(world)
    assert command(tmp_path, "--image", meme.image, "--text", meme.text) == 0
    shown = capsys.readouterr().out
    assert "text alone" in shown
    assert "image alone" not in shown


@pytest.fixture
def reads(monkeypatch):
    """Words are read from pictures by a reader that need not be installed."""
    found = fake_reader.words()
    monkeypatch.setattr(Words, "installed", lambda cache: found)
    return found.reader


@pytest.fixture
def reads_nothing(monkeypatch):
    there = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == "rapidocr" else there(name))


def test_a_meme_without_a_text_has_its_words_read_and_shown(world, fakes, reads, capsys, tmp_path):
    (tmp_path / "red.png").write_bytes(trained.picture((255, 0, 0)))
    (tmp_path / "white.png").write_bytes(trained.picture((255, 255, 255)))
    assert command(world, "--image", tmp_path / "red.png", "--head", "early") == 0
    first, _, rest = capsys.readouterr().out.partition("\n\n")
    assert first == "Read from the picture: Red, and WARM below"
    assert command(world, "--image", tmp_path / "red.png", "--head", "early", "--text", "Red, and WARM below") == 0
    assert capsys.readouterr().out == rest
    assert command(world, "--image", tmp_path / "white.png", "--head", "early") == 0
    assert capsys.readouterr().out.startswith("No words were read from the picture.\n\n")
    scorer = Scorer.load(world / "reports", head="early")
    assert scorer.score(tmp_path / "white.png") == replace(scorer.score(tmp_path / "white.png", ""), read="")
    with pytest.raises(images.Undecodable, match="empty file"):
        scorer.score(b"")


def test_rows_without_a_text_have_their_words_read(world, fakes, reads, tmp_path):
    for name, colour in (("a", (255, 0, 0)), ("b", (0, 0, 255))):
        (tmp_path / f"{name}.png").write_bytes(trained.picture(colour))
    (tmp_path / "c.png").write_bytes(b"no image")
    rows = [{"id": "a", "img": "a.png"}, {"id": "b", "img": "b.png", "text": "typed"}, {"id": "c", "img": "c.png"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    how = {"model": world / "reports", "head": "early", "on_error": "skip"}
    result = predict.predict(str(tmp_path / "rows.jsonl"), **how)
    assert result.table["read"].tolist()[:1] == ["Red, and WARM below"]
    assert [score.read for score in result.scores] == ["Red, and WARM below", None]
    assert result.left_out == [f"c  {tmp_path}/c.png: not an image of a known format"]
    assert reads.read == [(255, 0, 0)]
    typed = [{**rows[0], "text": "Red, and WARM below"}, rows[1]]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in typed))
    again = predict.predict(str(tmp_path / "rows.jsonl"), **how).table
    assert result.table.drop(columns="read").equals(again)


def test_without_a_reader_the_ways_out_are_named(world, fakes, reads_nothing, capsys, tmp_path):
    (tmp_path / "red.png").write_bytes(trained.picture((255, 0, 0)))
    assert command(world, "--image", tmp_path / "red.png", "--head", "early") == 2
    assert capsys.readouterr().err == (
        'error: the head early looks at text and image, and text is missing: give it (text "" is a meme without '
        "words), or choose the head image. To read it from the picture takes rapidocr, not installed here. Run: pip "
        "install 'memefuse[ocr]'\n"
    )
    (tmp_path / "rows.jsonl").write_text('{"id": "a", "img": "red.png"}\n')
    assert command(world, tmp_path / "rows.jsonl") == 2
    told = capsys.readouterr().err
    assert "1 row has no text: memefuse[ocr], once installed, reads it from the pictures." in told


@pytest.mark.parametrize("at", ["recall=.5", "review=.3", "cost"])
def test_an_operating_point_decides(world, fakes, tmp_path, capsys, at):
    if at == "cost":
        world = shutil.copytree(world, tmp_path / "world")
        operating_points(world / "reports", costs=(5.0, 1.0))
    asked = ["--data", world / "data", "--split", "test", "--head", "early"]
    assert command(world, *asked) == 0
    plain = table(capsys.readouterr().out)
    assert command(world, *asked, "--at", at) == 0
    found = table(capsys.readouterr().out)
    [(low, high)] = {tuple(Scorer.load(world / "reports", head="early", at=at).bands["early"])}
    assert list(next(iter(found.values())))[:4] == ["id", "probability", "label", "decision"]
    for name, row in found.items():
        chance = float(row["probability"])
        assert row.pop("decision") == ("block" if chance >= high else "allow" if chance < low else "review")
        assert row == plain[name]
    meme = trained.first_meme(world)
    assert command(world, "--image", meme.image, "--text", meme.text, "--head", "early", "--at", at) == 0
    [first, *_] = capsys.readouterr().out.splitlines()
    reviewed = f"reviewed from {bare(low)}, " if low < high else ""
    assert first.endswith(f", tuned on dev; {reviewed}blocked from {bare(high)}, for {at} on dev)")


def test_an_operating_point_that_cannot_be_had_is_refused(world, fakes, tmp_path, capsys):
    def said(*options) -> str:
        assert command(world, "--text", "a", "--head", "text", *options) == 2
        return capsys.readouterr().err

    assert "--at often is none of recall=R" in said("--at", "often")
    assert "--at recall=.5 and --threshold 0.3 are both given" in said("--at", "recall=.5", "--threshold", ".3")
    assert "reaches that on dev (20 memes, 10 of label 1)" in said("--at", "precision=.99")
    assert "what a miss and a false alarm cost is not known" in said("--at", "cost")
