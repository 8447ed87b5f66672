"""A model card tells what a head is."""

import json
import re
import shutil
from dataclasses import replace

import planted

from experiments.model_card import card
from experiments.operating_points import operating_points
from experiments.results import folder, models
from experiments.words.comparison import FIGURES_READING, SLICES_READING
from extract import store

FILES = {"head.py": "a module"}


def test_the_card_tells_what_it_is(every_head, tmp_path):
    home = shutil.copytree(every_head, tmp_path / "home")
    out = home / "out"
    operating_points(out, costs=(5.0, 1.0))
    results, saved = folder.read_results(out), models.load(out)["early"]
    results = replace(results, comparison=replace(results.comparison, features=str(home / "features")))
    text = card(results, saved, out, FILES)
    front = dict(line.split(": ", 1) for line in text.split("---\n")[1].splitlines())
    [index] = json.loads(front["model-index"])
    area = results.rows("test")["early, mean of 2 runs"].metrics["auc_roc"].mean
    assert {"type": "auc_roc", "value": round(area, 4), "name": "AUC-ROC, test"} in index["results"][0]["metrics"]
    parts = ("Use", "Limits", "Data", "Encoders", "Slices of test", "Thresholds for a moderator, on test", "Training")
    assert [part for part in parts if f"\n## {part}\n" not in text] == []
    assert "\n## Figures on test: 40 memes" in text
    digests = [size.digest for size in results.comparison.splits]
    digests += [encoder.fingerprint for encoder in saved.encoders.values()]
    assert all(len(digest) == 64 and f"`{digest}`" in text for digest in digests)
    assert "4 of 40 memes of test stand in train, too" in text
    assert "A miss costs 5, a false alarm 1" in text
    vectors = f"{planted.TEXT} (6) + {planted.IMAGE} (9)"
    assert f"\nDataset: of unknown name; vectors by {vectors}.\n" in text
    assert "| --- | ---: | ---: | ---: | --- |" in text  # of the data
    assert "| --- | --- | ---: | --- | --- |" in text  # of the encoders
    assert not {"Holm", "kNN"} & {*re.findall(r"\w+", text)}  # nor what is told of tests and references
    assert text.endswith(f"{FIGURES_READING}\n\n{SLICES_READING}\n")
    uncut = replace(results, comparison=replace(results.comparison, slices=[]))
    assert card(uncut, saved, out, FILES).endswith(f"{FIGURES_READING}\n")
    recorded = home / "features" / planted.TEXT / store.DATASET
    recorded.write_text(json.dumps({"data": "../../my_memes", "splits": {}}))
    assert f"\nDataset: my_memes; vectors by {vectors}.\n" in card(results, saved, out, FILES)
