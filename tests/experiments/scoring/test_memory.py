"""Labelled examples join a saved head untrained, each content once; remembered memes are found again, or not shown."""

import csv
import hashlib
import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import trained
from PIL import Image

from experiments import predict
from experiments.results import models
from experiments.scoring.scorer import Scorer
from experiments.scoring.vectors import image_item, text_item
from extract import errors
from extract.dataset import Meme, read_split
from heads.rows import Rows

pytestmark = pytest.mark.usefixtures("fakes")
LINEAR = "Dev had chosen the linear output of "


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with trained.encoders():
        return trained.everything(tmp_path_factory.mktemp("world"), "--heads", "text,retrieval")


def load(world, **how):
    return Scorer.load(world / "reports", head="retrieval", **how)


def meme(world, place=0, split="test") -> Meme:
    return read_split(world / "data", split).memes[place]


def file(folder, *rows, name="examples.jsonl"):
    """Rows of (id, colour of the picture, text, label), and their pictures beside them."""
    lines = []
    for name_, colour, text, label in rows:
        (folder / f"{name_}.png").write_bytes(trained.picture(colour))
        lines.append({"id": name_, "img": f"{name_}.png", "text": text, **({} if label is None else {"label": label})})
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / name


def contents(memes):
    return ("text", [text_item(its.text) for its in memes]), ("image", [image_item(its.image) for its in memes])


def of_train(world, folder, *, turned=()):
    """The training split as examples; labels of these places turned round."""
    rows = [json.loads(line) for line in (world / "data" / "train.jsonl").read_text().splitlines()]
    for place in turned:
        rows[place]["label"] = 1 - rows[place]["label"]
    shutil.copytree(world / "data" / "img", folder / "img")
    (folder / "again.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "again.jsonl"


def command(world, *options) -> int:
    return errors.run(lambda: predict.main(["--model", str(world / "reports"), *map(str, options)]))


@pytest.mark.parametrize("label", [0, 1])
def test_a_near_meme_draws_the_score_to_its_label(world, tmp_path, label):
    known = load(world, examples=of_train(world, tmp_path))
    scored = ((its, known.score(its.image, its.text)) for its in read_split(world / "data", "test").memes)
    asked, before = next((its, score) for its, score in scored if score.label != label)
    image = tuple(np.array(Image.open(asked.image))[0, 0] + [0, 0, 1])
    more = load(world, examples=file(tmp_path, ("mine", image, asked.text, label)))
    after = more.score(asked.image, asked.text)
    assert (more.added.memes, more.added.before, known.added.memes) == (1, 40, 0)
    assert (after.probability - before.probability) * (2 * label - 1) > 0.02
    mine = next(its for its in after.nearest if its.id == "mine")
    assert (mine.example, mine.label) == (True, label)
    assert not any(its.example for its in before.nearest)


def test_a_memory_with_examples_is_one_that_had_them_from_the_start(world, tmp_path):
    texts = [meme(world, place).text for place in range(3)]
    examples = file(tmp_path, *((f"e{row}", (9, 9, row), text, row % 2) for row, text in enumerate(texts)))
    scorer = load(world, examples=examples)
    vectors = [
        scorer.sources[side].vectors(items, lambda _: None)[0]
        for side, items in contents(read_split(tmp_path, "examples").memes)
    ]
    by_hand = models.load(world / "reports")["retrieval"].fitted
    text, image = (scale(torch.tensor(vec)) for scale, vec in zip(by_hand.scaling, vectors, strict=True))
    for _, stack in by_hand.stacks:
        new = torch.nn.functional.normalize(stack.hidden(text, image), dim=-1)
        stack.memory = torch.cat([stack.memory, new], dim=1)
        labels = torch.tensor([[0, 1, 0]], dtype=torch.int8).expand(len(new), -1)
        stack.memory_label = torch.cat([stack.memory_label, labels], dim=1)
        stack.neighbours = stack.neighbours.abs()
    rows = Rows(np.tile(vectors[0], (4, 1)), np.repeat(vectors[1], 4, axis=0), np.zeros(12))
    assert torch.equal(scorer.deciding.fitted.logits(rows), by_hand.logits(rows))


def test_train_s_own_memes_are_counted_and_not_kept_twice(world, tmp_path, capsys):
    examples = of_train(world, tmp_path)
    first = json.loads(examples.read_text().splitlines()[0])
    with examples.open("a") as lines:
        lines.write(json.dumps(first | {"id": "twin"}) + "\n")
    known, plain = load(world, examples=examples), load(world)
    assert (known.added.memes, known.added.twice, known.added.relabelled) == (0, 41, 0)
    for ours, theirs in zip(known.deciding.fitted.stacks, plain.deciding.fitted.stacks, strict=True):
        assert torch.equal(ours[1].memory, theirs[1].memory)
    assert command(world, "--examples", examples, "--image", meme(world).image, "--text", "a") == 0
    said = capsys.readouterr().out
    assert (
        f"0 memes of {examples} added to the 40 that retrieval remembers; 41 known already, and counted once." in said
    )
    assert (LINEAR in said) == (known.added.voting < 3)


def test_a_known_meme_of_the_other_label_is_replaced(world, tmp_path):
    scorer = load(world, examples=of_train(world, tmp_path, turned=[0, 5]))
    assert (scorer.added.memes, scorer.added.relabelled, scorer.added.twice) == (2, 2, 38)
    turned = [meme(world, place, "train") for place in (0, 5)]
    known = scorer.memory.known
    assert (known.ids[-2:], known.label[-2:]) == ([its.id for its in turned], [1 - its.label for its in turned])
    assert len(known.ids) == len(set(known.ids)) == 40
    for _, stack in scorer.deciding.fitted.stacks:
        assert stack.memory_label.tolist() == [known.label] * 3


@pytest.mark.parametrize("linear", [0, 2, 3])
def test_examples_make_every_run_vote_and_that_is_said(world, tmp_path, capsys, linear):
    model = tmp_path / "reports"
    shutil.copytree(world / "reports", model)
    saved = chosen(model, linear)
    examples = file(tmp_path, ("mine", (1, 2, 3), "words", 1))
    scorer = Scorer.load(model, examples=examples)
    assert (scorer.deciding.name, scorer.added.voting) == ("retrieval", 3 - linear)
    assert all((stack.neighbours == 5).all() for _, stack in scorer.deciding.fitted.stacks)
    assert scorer.deciding.threshold == (saved.known.threshold if linear else saved.threshold)
    assert command(tmp_path, "--examples", examples, "--data", world / "data", "--split", "test") == 0
    told = capsys.readouterr()
    table = list(csv.DictReader(io.StringIO(told.out)))
    assert list(table[0]) == ["id", "probability", "label", "head", "examples", "text", "retrieval"]
    assert {row["examples"] for row in table} == {"1"}
    assert f"1 meme of {examples} added to the 40 that retrieval remembers" in told.err
    assert (f"{LINEAR}{linear} of 3 runs" in told.err) == bool(linear)


def chosen(model, linear):
    """Rewrite a saved head as if dev had let five neighbours vote, but in the first `linear` runs."""
    from safetensors.torch import load, save

    weights, about = model / "models" / "retrieval.safetensors", model / "models" / "retrieval.json"
    state = load(weights.read_bytes())
    for run in range(3):
        state[f"run.{run}.neighbours"] = torch.tensor(-5 if run < linear else 5)
    weights.write_bytes(save(state))
    told = json.loads(about.read_text())
    told["weights"] = hashlib.sha256(weights.read_bytes()).hexdigest()
    about.write_text(json.dumps(told))
    return models.load(model)["retrieval"]


def test_without_examples_nothing_changes(world, capsys):
    assert command(world, "--data", world / "data", "--split", "test", "--head", "retrieval") == 0
    found = {row["id"]: row for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}
    expected = trained.compared(world)["retrieval"]
    np.testing.assert_allclose(
        [float(found[name]["retrieval"]) for name in expected], list(expected.values()), atol=1.1e-6
    )
    assert "examples" not in next(iter(found.values()))


def test_examples_are_encoded_once_and_by_the_heads_encoders(world, tmp_path, fakes):
    examples = file(tmp_path, ("mine", (1, 2, 3), "words", 1), ("yours", (1, 2, 4), "words", 0))
    for _ in range(2):
        load(world, examples=examples)
        assert (fakes.texts, fakes.images) == (1, 2)


def test_examples_may_be_parquet(world, tmp_path):
    pandas, _ = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    rows = ("mine", (1, 2, 3), "words", 1), ("yours", (1, 2, 4), "words", 1)
    lines = file(tmp_path, *rows)
    table = pandas.DataFrame([json.loads(line) for line in lines.read_text().splitlines()])
    table.to_parquet(tmp_path / "examples.parquet")
    asked = meme(world)
    ours, theirs = (load(world, examples=tmp_path / f"examples.{kind}") for kind in ("parquet", "jsonl"))
    assert ours.score(asked.image, asked.text) == theirs.score(asked.image, asked.text)
    assert ours.added == replace(theirs.added, source=ours.added.source)  # of one label, which is enough for a vote


FAULTY = {
    "there is no such file": None,
    "examples.jsonl holds no rows": "",
    "1 of 1 examples in ": '{"id": "a", "img": "mine.png", "text": "b"}',
    "examples.jsonl:1  a  label ": '{"id": "a", "img": "mine.png", "text": "b", "label": 2}',
    "examples.jsonl:2  a  id also on line 1": '{"id": "a", "img": "mine.png", "text": "b", "label": 1}\n' * 2,
    "examples of one text and image have both labels (1 times); leave one:\n  a (label 1), b (label 0)": "\n".join(
        json.dumps({"id": name, "img": "mine.png", "text": "b", "label": label}) for name, label in (("a", 1), ("b", 0))
    ),
}


@pytest.mark.parametrize("says", FAULTY)
def test_examples_that_cannot_be_meant_are_refused(world, tmp_path, capsys, says):
    (tmp_path / "mine.png").write_bytes(trained.picture((1, 2, 3)))
    if FAULTY[says] is not None:
        (tmp_path / "examples.jsonl").write_text(FAULTY[says])
    assert command(world, "--examples", tmp_path / "examples.jsonl", "--text", "a", "--image", meme(world).image) == 2
    assert says in capsys.readouterr().err


def test_what_cannot_be_used_is_left_out_and_listed_if_asked_for(world, tmp_path, capsys):
    examples = file(
        tmp_path, ("mine", (1, 2, 3), "words", 1), ("torn", (1, 2, 4), "words", 0), ("bare", (1, 2, 5), "", None)
    )
    (tmp_path / "torn.png").write_bytes(b"")
    options = ["--examples", examples, "--data", world / "data", "--split", "test"]
    assert command(world, *options) == 2
    assert "1 of 3 examples in" in capsys.readouterr().err
    assert command(world, *options, "--on-error", "skip") == 0
    said = capsys.readouterr().err
    assert f"2 examples left out:\n  bare  no label\n  torn  {tmp_path / 'torn.png'}: empty file\n" in said
    assert f"1 meme of {examples} added" in said
    examples.write_text("".join(line for line in examples.read_text().splitlines(True) if "bare" not in line))
    assert command(world, *options) == 1
    assert "1 of 2 examples' images cannot be decoded" in capsys.readouterr().err
    examples.write_text(examples.read_text().splitlines()[1])
    assert command(world, *options, "--on-error", "skip") == 2
    assert f"--examples {examples}: none of its 1 rows can be used" in capsys.readouterr().err


def test_heads_that_remember_nothing_are_refused(world, tmp_path, capsys):
    examples = file(tmp_path, ("mine", (1, 2, 3), "words", 1))
    asked = ["--examples", examples, "--text", "a"]
    assert command(world, *asked, "--head", "text") == 2
    assert capsys.readouterr().err == ("error: --examples: the head text remembers no memes; retrieval does: name it\n")
    assert command(world, *asked, "--at", "recall=.5") == 2
    assert "--at recall=.5 and --examples are both given" in capsys.readouterr().err
    shutil.copytree(world / "reports", tmp_path / "reports")
    about = tmp_path / "reports" / "models" / "retrieval.json"
    old = json.loads(about.read_text())
    del old["known"]
    about.write_text(json.dumps(old))
    assert command(tmp_path, *asked) == 2
    told = capsys.readouterr().err
    assert "was saved before examples could join it. Run: python -m experiments.compare --features " in told
    assert command(tmp_path, "--text", "a", "--image", meme(world).image, "--head", "retrieval") == 0
    about.unlink()
    assert command(tmp_path, *asked) == 2
    told = capsys.readouterr().err
    assert "remembers memes (text); retrieval does. Run: python -m experiments.compare --features " in told
    assert f" --heads text,retrieval --out {tmp_path / 'reports'}\n" in told


def test_the_nearest_are_those_that_vote_with_their_shares(world):
    scorer, asked = load(world), meme(world)
    score = scorer.score(asked.image, asked.text)
    share, cosine = np.zeros(40), np.zeros(40)
    vectors = [scorer.sources[side].vectors(items, lambda _: None)[0] for side, items in contents([asked])]
    fitted = scorer.deciding.fitted
    text, image = (scale(torch.tensor(vec)) for scale, vec in zip(fitted.scaling, vectors, strict=True))
    for _, stack in fitted.stacks:
        for run, count in enumerate(stack.neighbours.abs().tolist()):
            here = torch.nn.functional.normalize(stack.hidden(text, image)[run], dim=-1)
            near = (stack.memory[run] @ here[0]).numpy()
            cosine += near / 3
            order = np.argsort(-near)[:count]
            weight = near[order].clip(1e-6) * np.arange(count, 0, -1)
            share[order] += weight / weight.sum() / 3
    assert [its.place for its in score.nearest] == sorted(np.flatnonzero(share), key=lambda at: -share[at])
    for its in score.nearest:
        assert (its.share, its.cosine) == pytest.approx((share[its.place], cosine[its.place]), abs=1e-5)
        assert its.label == int(scorer.memory.known.label[its.place])
    assert Scorer.load(world / "reports", head="text").score(text="a").nearest == ()


def moved(world, tmp_path):
    """A scorer whose dataset lies in tmp_path / "data", and the first meme that it remembers."""
    data = shutil.copytree(world / "data", tmp_path / "data")
    scorer = load(world)
    memory = replace(scorer.memory, known=replace(scorer.memory.known, data=str(data)))
    return memory, next(its for its in read_split(data, "train").memes if its.id == memory.known.ids[0]), data


def test_a_remembered_meme_is_found_where_it_was(world, tmp_path):
    memory, first, data = moved(world, tmp_path)
    assert load(world).memory.known.data == str(world / "data")
    assert (memory.text(0), memory.image(0)) == (first.text, first.image.read_bytes())
    assert memory.thumbnail(0).startswith(b"\xff\xd8")
    shutil.rmtree(data)
    gone = replace(memory)
    assert (gone.text(0), gone.image(0), gone.thumbnail(0)) == (None, None, None)
    nowhere = replace(memory, known=replace(memory.known, data=""))
    assert (nowhere.text(0), nowhere.image(0)) == (None, None)


def test_reports_do_not_tell_where_this_machine_has_its_data(world, tmp_path):
    """Moved with it, they find it again; a head of an older version, which told the full name, does still."""
    there = shutil.copytree(world, tmp_path / "elsewhere/world")
    for file in (*there.glob("reports/models/*.json"), *there.glob("features/*/dataset.json")):
        assert str(world) not in file.read_text()
    memory = load(there).memory
    assert memory.known.data == str(there / "data")
    path = there / "reports/models/retrieval.json"
    about = json.loads(path.read_text())
    assert about["known"]["data"] == "../../data"
    path.write_text(json.dumps(about | {"known": about["known"] | {"data": str(world / "data")}}))
    assert load(there).memory.known.data == str(world / "data")
    assert load(there).memory.image(0) == memory.image(0) is not None


@pytest.mark.parametrize(
    "how", ["another image", "a link that leaves", "a name that leaves", "no image", "other words"]
)
def test_nothing_is_shown_but_what_was_trained_on(world, tmp_path, how):
    memory, first, data = moved(world, tmp_path)
    manifest = data / "train.jsonl"
    kept = first.image.read_bytes()
    (tmp_path / "secret.png").write_bytes(kept)  # byte for byte the same, so that nothing but its place forbids it
    if how == "another image":
        first.image.write_bytes(trained.picture((1, 2, 3)))
    elif how == "a link that leaves":
        first.image.unlink()
        first.image.symlink_to(tmp_path / "secret.png")
    elif how == "a name that leaves":
        manifest.write_text(manifest.read_text().replace(f"img/{first.image.name}", "../secret.png"))
    elif how == "no image":
        first.image.unlink()
    else:
        manifest.write_text(manifest.read_text().replace(f'"{first.text}"', '"other words"'))
    assert memory.image(0) == (kept if how == "other words" else None)
    assert memory.text(0) == (None if how == "other words" else first.text)
    assert (memory.thumbnail(0) is None) == (how != "other words")
