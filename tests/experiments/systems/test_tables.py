"""Which runs stand in one table, what they are called there, and how they are tested against each other."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from systems_command import lines, quicken, tiny

from experiments.evaluate import tests
from experiments.systems import results, run, tables
from experiments.systems.__main__ import main
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


def test_holms_family_is_all_pairs_of_a_section(ran):
    """As its reading says: of both measures together."""
    [section] = [each for each in in_sections(ran) if each.own]
    pairs = section.tested
    assert {pair.measure for pair in pairs} == {"auc_roc", "accuracy"}
    wanted = tests.holm(np.array([pair.p for pair in pairs]))
    assert [pair.p_holm for pair in pairs] == pytest.approx(wanted)
    assert "over all pairs of the section, of both measures together" in " ".join(tables.READING.split())
