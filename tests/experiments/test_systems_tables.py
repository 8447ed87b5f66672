"""Which runs stand in one table, what they are called there, and how they are tested against each other."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from systems_command import lines, quicken, tiny

from experiments.data import Split
from experiments.evaluate import resampling, tests
from experiments.evaluate.scores import Scores, statistic
from experiments.systems import inputs, results, run, tables
from experiments.systems.__main__ import main
from experiments.training import Trained
from extract import store
from extract.errors import Failed
from extract.files import write_text
from heads.settings import HeadSettings

pytest_plugins = ["systems_folder"]
pytestmark = pytest.mark.usefixtures("quick")

MLP = "distilbert-resnet50-mlp"


@pytest.fixture(scope="module")
def ran(folder) -> Path:
    """lab; the MLP with one step and with two; and with one step more under another dev text."""
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch)
        patch.setattr(run.Job, "recipe", HeadSettings(max_epochs=3))
        main(["lab", *tiny(folder, "--seeds", "2")])
        for steps in ("1", "2"):
            main([MLP, *tiny(folder, "--seeds", "1", "--steps", steps)])
        shutil.copytree(folder, folder / "before")
        rows = (folder / "data/dev.jsonl").read_text()
        (folder / "data/dev.jsonl").write_text(rows.replace(json.loads(rows.splitlines()[0])["text"], "another", 1))
        main([MLP, *tiny(folder, "--seeds", "1", "--steps", "1")])
    return folder


def in_sections(folder: Path) -> list[tables.SystemsTable]:
    out = folder / "reports"
    every = [each for each in results.all_results(out) if not each.is_own]
    return tables.sections(every, {each.key: run.own_heads(each, out, "cpu") for each in every}, out)


@pytest.mark.slow
def test_a_folder_that_has_changed_has_a_section_for_each_of_its_states(ran):
    old, new = sorted(in_sections(ran), key=lambda section: -len(section.results))
    assert [each.system for each in old.results] == [MLP, MLP, "lab"]
    assert [each.system for each in new.results] == [MLP]
    assert f"(memes {old.results[0].content[:8]}): train 48, dev 20, test 32 memes" in old.heading


def test_runs_on_memes_that_are_no_more_are_not_set_beside_heads_of_todays(ran):
    old, new = sorted(in_sections(ran), key=lambda section: -len(section.results))
    assert old.own == []
    why = old.beside[old.results[0].key]
    assert "holds other memes than this run had; if they have changed, run it again. Run: python -m extract" in why
    assert len(new.own) == 1


def test_vectors_made_otherwise_since_are_not_set_beside_a_run(ran):
    [new] = [section for section in in_sections(ran) if section.own]
    result = new.results[0]
    identity = replace(result.text.identity, fingerprint="0" * 64)
    other = replace(result, text=replace(result.text, identity=identity))
    assert "are others than this run had; run it again." in run.own_heads(other, ran / "reports", "cpu")


def test_runs_that_would_have_one_name_have_their_keys_beginning_added(ran):
    old, new = sorted(in_sections(ran), key=lambda section: -len(section.results))
    names = [old.label(each, MLP) for each in old.results if each.system == MLP]
    assert sorted(names) == sorted(f"{MLP} * + {each.key[:8]}" for each in old.results if each.system == MLP)
    assert new.label(new.results[0], MLP) == f"{MLP} * +"


def test_the_table_names_its_split_tests_in_pairs_and_says_what_they_show(ran, capsys):
    place = ran / "before" / "reports"
    capsys.readouterr()
    main(["table", "--out", str(place), "--device", "cpu"])
    said = " ".join(capsys.readouterr().out.split())
    assert "dev acc. AUC-ROC test acc. AUC-ROC 95% memefuse published" in said
    for pair in (r"lab early \* vs lab (text|image) \*", r"lab mean \* vs lab (text|image) \*"):
        assert re.search(rf"{pair}, test AUC-ROC: [-+.\d]+ \[.*?\], Holm's p \S+: (no|a) ", said), said
    page = (place / "systems.md").read_text()
    assert "|  | split | measure | reached | against it | difference | 95% interval | p | p (Holm) | shows |" in page
    assert {row["key"] for row in lines(place / "systems.csv")} == {
        each.key[:8] for each in results.all_results(place) if not each.is_own
    }


def split_of(ids: np.ndarray, label: np.ndarray, text: np.ndarray, image: np.ndarray, name: str = "test") -> Split:
    """Memes of these contents, without vectors."""
    nothing = np.zeros((len(ids), 0), np.float32)
    sides = [
        store.Features(
            store.EncoderIdentity(kind, kind, 0, "", {}, {}), name, ids, label.astype(np.int8), content, [],
            vector=nothing,
        )
        for kind, content in (("text", text), ("image", image))
    ]  # fmt: skip
    return Split(store.join(*sides))


def planted(rng: np.random.Generator, noise: dict[str, float]) -> tuple[list[Trained], Split]:
    """Heads that see the label through so much noise, on memes of which some have no label and two share a text."""
    label = rng.integers(0, 2, 300)
    text = np.array([f"{row // 2:064d}" for row in range(300)], dtype="S64")
    known = np.where(np.arange(300) < 280, label, -1)
    image = np.array([f"{row:064d}" for row in range(300)], dtype="S64")
    split = split_of(np.array([f"{row:03d}" for row in range(300)]), known, text, image)
    trained = []
    for name, size in noise.items():
        logit = torch.from_numpy((label * 2 - 1 + rng.normal(size=(2, 300), scale=size)).astype(np.float32))
        ones = torch.ones(2).double()
        trained.append(Trained(name, "system", [{}, {}], [1, 1], {"test": logit}, ones / 2, ones, 1.0, None))
    return trained, split


def test_kept_scores_are_tested_as_those_in_memory_are(tmp_path):
    trained, split = planted(np.random.default_rng(0), {"good": 1.0, "bad": 3.0})
    results.write_scores(tmp_path, trained, [split])
    kept, group = results.read_scores(tmp_path, "test")
    good, bad = (Scores.of(each, "test", split.pairs.label) for each in trained)
    assert len(group) == 280
    draws = resampling.bootstrap(group, {each.name: statistic(each) for each in (good, bad)})
    wanted = [tests.by_auc_roc(good, bad, group), tests.by_accuracy(good, bad, group, draws)]
    assert tables.both_measures(kept["good"], kept["bad"], group) == wanted
    assert tests.corrected(wanted)[0].conclusion == "gain"
    by_auc_roc, _ = tests.corrected(tables.both_measures(kept["bad"], kept["good"], group))
    loss = r"-\.\d{3} \[-\.\d{3}, -\.\d{3}\], Holm's p <\.001: a loss\."
    assert re.fullmatch(rf"bad vs good, test AUC-ROC: {loss}", tables.sentence(by_auc_roc))


def test_scores_that_were_removed_are_missed_in_words(tmp_path):
    with pytest.raises(Failed, match=r"has lost its scores\.safetensors: remove the folder and run the system again"):
        results.read_scores(tmp_path, "test")


def test_memes_are_told_apart_by_all_that_figures_hang_on():
    ids, label, text = np.array(["a", "b"]), np.array([0, 1]), np.array([b"0" * 64, b"1" * 64])
    split = split_of(ids, label, text, text)
    others = [
        split_of(np.array(["a", "c"]), label, text, text),
        split_of(ids, 1 - label, text, text),
        split_of(ids, label, text[::-1], text),
        split_of(ids, label, text, text[::-1]),
    ]
    assert len({inputs.digest_of([each]) for each in [split, *others]}) == 5
    nothing = split_of(ids, np.full(2, -1), text, text, "test_unseen")
    assert inputs.digest_of([split, nothing]) == inputs.digest_of([split])


def test_a_record_of_another_version_is_passed_over(tmp_path, capsys):
    write_text(tmp_path / "systems" / "lab" / "published-00000000" / "result.json", "{}")
    assert results.all_results(tmp_path) == []
    assert "another version wrote it" in capsys.readouterr().err


def test_a_record_of_the_version_before_is_read(ran):
    """It had the parts of an encoder's identity side by side, and no versions of libraries."""
    [new] = [each.results[0] for each in in_sections(ran) if each.own]
    path = results.folder_of(ran / "reports", new) / "result.json"
    about = written = json.loads(path.read_text())
    for kind in ("text", "image"):
        identity = about[kind].pop("identity")
        about[kind] |= {"slug": identity["name"]} | {key: identity[key] for key in ("dim", "fingerprint", "settings")}
    before = path.parent.parent / "before" / "result.json"
    write_text(before, json.dumps(written))
    try:
        read = results.read_result(before.parent)
    finally:
        shutil.rmtree(before.parent)
    versions = {kind: replace(getattr(new, kind).identity, versions={}) for kind in ("text", "image")}
    assert read == replace(
        new, **{kind: replace(getattr(new, kind), identity=identity) for kind, identity in versions.items()}
    )


def test_holms_family_is_all_pairs_of_a_section(ran):
    """As its reading says: of both measures together."""
    [section] = [each for each in in_sections(ran) if each.own]
    pairs = section.tested
    assert {pair.measure for pair in pairs} == {"auc_roc", "accuracy"}
    wanted = tests.holm(np.array([pair.p for pair in pairs]))
    assert [pair.p_holm for pair in pairs] == pytest.approx(wanted)
    assert "over all pairs of the section, of both measures together" in " ".join(tables.READING.split())
