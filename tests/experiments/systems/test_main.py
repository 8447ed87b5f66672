"""Systems from memes to table, with tiny random encoders; what is refused, and how."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from systems_command import asked, label_and_probability, lines, tiny

from experiments.results import records
from experiments.systems import results
from experiments.systems.__main__ import listed, main, settings
from experiments.systems.published import STAND_INS, SYSTEMS
from extract.encoders import catalogue
from extract.errors import Refused

ROOT = Path(__file__).parents[3]
pytest_plugins = ["systems_folder"]
pytestmark = pytest.mark.usefixtures("quick")


def test_list_names_all_and_needs_no_torch():
    code = "import sys; from experiments.systems.__main__ import main; main(['--list'])\n"
    code += "print('HEAVY', sorted({'torch', 'transformers', 'numpy', 'gensim'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.endswith("HEAVY []\n")
    assert all(re.search(rf"^{name}$", said, re.MULTILINE) for name in SYSTEMS)


def test_lists_say_what_is_published_and_what_is_ours():
    assert "both-frozen (default): encoders frozen; published on Hateful Memes: dev accuracy 0.538" in listed()
    assert "the same job as low-rate-high-regularisation, published at .554" in listed()
    assert listed().count("open in the source: ") == len(SYSTEMS)


def test_every_frozen_system_ends_in_one_table_beside_memefuses_heads(folder, capsys):
    for name, more in (
        ("fasttext-resnet152-concat", ["--image-encoder", str(folder / "resnet")]),
        ("bert-resnet18-linear", ["--text-encoder", str(folder / "bert"), "--image-encoder", str(folder / "resnet")]),
        (
            "distilbert-resnet50-mlp",
            ["--text-encoder", str(folder / "bert"), "--image-encoder", str(folder / "resnet")],
        ),
        ("lab", ["--text-encoder", str(folder / "bert"), "--image-encoder", str(folder / "resnet")]),
    ):
        main([name, *asked(folder, *more, "--seeds", "2")])
    capsys.readouterr()
    main(["table", "--out", str(folder / "reports"), "--device", "cpu"])
    said = capsys.readouterr().out
    for name in ("fasttext-resnet152-concat *", "bert-resnet18-linear both-frozen *", "lab mean *"):
        assert re.search(rf"^{re.escape(name)} ", said, re.MULTILINE), said
    widths = {len(line): line for line in said.splitlines()[1:] if " vs " not in line and str(folder) not in line}
    assert max(widths) <= 120, widths[max(widths)]
    said = " ".join(said.split())
    assert f"distilbert-resnet50-mlp *: {folder / 'bert'} (for distilbert-base-uncased) and" in said
    assert "* with stand-ins for the published encoders" in said
    page = (folder / "reports" / "systems.md").read_text()
    assert "Published figures were measured on Hateful Memes by the authors" in page
    rows = lines(folder / "reports" / "systems.csv")
    assert {row["system"] for row in rows} == {*SYSTEMS, "memefuse"} - {"multimodal-transformer"}
    assert {row["stand_in"] for row in rows} == {"1"}
    published = {row["system"]: row["published"] for row in rows}
    assert published["distilbert-resnet50-mlp"] == "dev acc. .566; dev macro-F1 .502"
    assert published["memefuse"] == ""
    for row in rows:
        assert float(row["accuracy_mean"]) not in (0.534, 0.538, 0.566)  # never a published figure as ours


def test_a_run_leaves_records_predictions_and_confusion_and_is_not_run_again(folder, capsys):
    command = ["distilbert-resnet50-mlp", *tiny(folder, "--seeds", "1", "--rows", "32", "--steps", "1")]
    main(command)
    [place] = [each for each in (folder / "reports/systems/distilbert-resnet50-mlp").iterdir()
               if results.read_result(each).capped]  # fmt: skip
    result = results.read_result(place)
    assert (result.train_memes, result.train_of, result.steps, result.seeds) == (32, 48, 1, 1)
    assert "distilbert-resnet50-mlp * +" in capsys.readouterr().out
    left = records.from_lines((place / "runs.jsonl").read_text())
    assert [(each.split, each.kind, each.memes) for each in left] == [("dev", "system", 20), ("test", "system", 32)]
    rows = lines(place / "predictions_test.csv")
    assert len(rows) == 32
    assert rows[0]["id"].startswith("0")
    assert "| | said 0 | said 1 |" in (place / "report.md").read_text()
    main(command)
    assert "done before" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "train", "trained"),
    [
        pytest.param("distilbert-resnet50-mlp", "text,image", [True, True], marks=pytest.mark.slow),
        ("fasttext-resnet152-concat", "image", [False, True]),
        pytest.param("multimodal-transformer", "text", [True, False], marks=pytest.mark.slow),
    ],
)
def test_systems_that_train_an_encoder_run_end_to_end_and_score_one_meme(name, train, trained, folder, capsys):
    encoders = ["--image-encoder", str(folder / "resnet")]
    encoders += [] if name.startswith("fasttext") else ["--text-encoder", str(folder / "bert")]
    out = folder / f"trained-{name}"
    main([name, *asked(folder, *encoders, "--train", train, "--rows", "20", "--steps", "1"), "--out", str(out)])
    [result] = [each for each in results.all_results(out) if each.system == name]
    assert [result.text.trains, result.image.trains] == trained
    assert (result.train_of, result.steps, result.capped, result.seeds) == (48, 1, True, 1)
    capsys.readouterr()
    image = next((folder / "data" / "img").iterdir())
    main([name, "--out", str(out), "--device", "cpu", "--predict", str(image), "test 3"])
    assert re.match(r"label [01]: probability [.01]\d*, threshold", capsys.readouterr().out)


@pytest.mark.slow
def test_all_ten_published_settings_are_a_row_each(folder, capsys):
    out = str(folder / "ten")
    main(["bert-resnet18-linear", *tiny(folder, "--rows", "20", "--steps", "1", "--settings", "all"), "--out", out])
    said = capsys.readouterr().out
    for name, setting in SYSTEMS["bert-resnet18-linear"].settings.items():
        [row] = re.findall(rf"^bert-resnet18-linear {name} \* \+ .*$", said.partition("train memes")[0], re.MULTILINE)
        assert f"dev {setting.published[0].value:.3f}".replace(" 0.", " .") in row


def test_all_stands_for_every_setting():
    assert settings(SYSTEMS["bert-resnet18-linear"], "all") == list(SYSTEMS["bert-resnet18-linear"].settings)
    assert len(settings(SYSTEMS["bert-resnet18-linear"], "all")) == 10
    assert settings(SYSTEMS["bert-resnet18-linear"], None) == ["both-frozen"]
    assert settings(SYSTEMS["bert-resnet18-linear"], "batch-size,balanced-sgd") == [
        "batch-size",
        "balanced-sgd",
    ]


def test_one_meme_is_scored_as_the_split_was(folder, capsys):
    main(["distilbert-resnet50-mlp", *tiny(folder, "--seeds", "2")])
    [place] = [each for each in (folder / "reports/systems/distilbert-resnet50-mlp").iterdir()
               if results.read_result(each).seeds == 2]  # fmt: skip
    first = lines(place / "predictions_test.csv")[0]["id"]
    meme = next(line for line in (folder / "data/test.jsonl").read_text().splitlines() if first in line)
    image, text = (re.search(rf'"{key}": "([^"]*)"', meme)[1] for key in ("img", "text"))
    capsys.readouterr()
    where = ["--out", str(folder / "reports"), "--device", "cpu"]
    (place / "result.json").touch()
    main(["distilbert-resnet50-mlp", *where, "--predict", str(folder / "data" / image), text])
    said = capsys.readouterr().out
    assert said.startswith(label_and_probability(place, first))


def test_encoders_out_of_reach_are_one_error_with_a_command_that_runs(folder, monkeypatch):
    def refuse(kind, name):
        raise Refused(f"{name}: the hub cannot be reached (no route)\nmany\nlines")

    monkeypatch.setattr(catalogue, "locate", refuse)
    with pytest.raises(Refused) as refusal:
        main(["distilbert-resnet50-mlp", "--data", "my memes"])
    assert str(refusal.value).splitlines()[:4] == [
        "distilbert-base-uncased: the hub cannot be reached (no route)",
        "resnet50: the hub cannot be reached (no route)",
        "To run it with stand-ins that need no hub (every table will say so):",
        "  python -m experiments.systems distilbert-resnet50-mlp --data 'my memes' "
        f"--text-encoder {STAND_INS['text']} --image-encoder {STAND_INS['image']}",
    ]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["lab", "--train", "text"], "lab cannot train its text encoder; it takes --train none"),
        (["multimodal-transformer", "--train", "image"], "cannot train its image encoder; it takes --train text"),
        (
            ["fasttext-resnet152-concat", "--train", "text,image"],
            "cannot train its text encoder; it takes --train image",
        ),
        (["bert-resnet18-linear", "--train", "words"], "--train is words, expected text, image, text,image or none"),
        (
            ["bert-resnet18-linear", "--settings", "11"],
            "has no setting 11; it has both-frozen, adam-moderate, low-rate",
        ),
        ([], "name a system, or table"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_before_any_work(command, why, tmp_path):
    with pytest.raises(Refused, match=re.escape(why)):
        main([*command, "--out", str(tmp_path)])
    assert not list(tmp_path.iterdir())


def test_a_table_of_nothing_says_what_to_run(tmp_path):
    with pytest.raises(Refused, match=r"no system was run yet under .*; run: python -m experiments\.systems lab"):
        main(["table", "--out", str(tmp_path)])
