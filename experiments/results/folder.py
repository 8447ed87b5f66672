"""Write a comparison's files, each whole or not at all."""

import csv
import hashlib
import io
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from safetensors.torch import save as serialise

from experiments import comparison_tables
from experiments.data import Data, Split
from experiments.evaluate.comparison import described
from experiments.evaluate.runs import mean_threshold, records
from experiments.results.records import Comparison, to_lines
from experiments.training import Trained
from extract.errors import Refused
from extract.files import replacing, write_text
from extract.store import NO_LABEL
from heads.metrics import probabilities
from heads.models import HEADS


def prepare(out: Path) -> None:
    """Raise Refused where nothing can be written, before any work."""
    try:
        (out / "models").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"--out {out}: cannot write there: {error.strerror}") from None
    if not os.access(out, os.W_OK):
        raise Refused(f"--out {out}: cannot write there: permission denied")


def write(out: Path, data: Data, trained: Sequence[Trained], comparison: Comparison) -> None:
    """comparison.*, runs.jsonl, predictions_<split>.csv and models/ under `out`."""
    kept = [each for each in trained if each.fitted is not None]
    forget_all_but(out / "models", [each.name for each in kept])
    # a hundred runs' weights take longer to hash and write than all that is said of them
    with ThreadPoolExecutor() as pool:
        saved = [pool.submit(save, out / "models", each, data, comparison.code) for each in kept]
        write_texts(out, data, trained, comparison)
        for each in saved:
            each.result()


def forget_all_but(models: Path, heads: Sequence[str]) -> None:
    """Remove heads of an earlier comparison: predict would take their word beside that of the new ones."""
    for head in HEADS:
        if head not in heads:
            for ending in ("json", "safetensors"):
                (models / f"{head}.{ending}").unlink(missing_ok=True)


def write_texts(out: Path, data: Data, trained: Sequence[Trained], comparison: Comparison) -> None:
    """All but models/."""
    for ending, text in (
        ("md", comparison_tables.markdown(comparison)),
        ("csv", comparison_tables.comma_separated(comparison)),
        ("tex", comparison_tables.latex(comparison)),
        ("json", comparison.to_json()),
    ):
        write_text(out / f"comparison.{ending}", text)
    splits = [data.dev, *data.tests]
    features = {side.name: side.fingerprint for side in (data.text, data.image)}
    labels = {split.name: split.pairs.label for split in splits}
    write_text(out / "runs.jsonl", to_lines(records(trained, labels, features, comparison.code)))
    for split in splits:
        write_text(out / f"predictions_{split.name}.csv", predictions(split, trained))


def predictions(split: Split, trained: Sequence[Trained]) -> str:
    """id, label (empty where there is none), head, the mean probability over its runs, and each run's."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["id", "label", "head", "probability", "by_run"])
    for each in trained:
        by_run = probabilities(each.logit[split.name], each.temperature)
        for name, label, runs in zip(split.pairs.ids, split.pairs.label, by_run.T, strict=True):
            said = " ".join(f"{probability:.6f}" for probability in runs.tolist())
            writer.writerow([name, "" if label == NO_LABEL else label, each.name, f"{runs.mean():.6f}", said])
    return out.getvalue()


def save(folder: Path, trained: Trained, data: Data, code: str) -> None:
    """A head's runs, and all that it takes to use them on new memes."""
    assert trained.fitted is not None
    weights = serialise({name: part.contiguous() for name, part in trained.fitted.state().items()})
    with replacing(folder / f"{trained.name}.safetensors") as aside:
        aside.write_bytes(weights)
    about = {
        "head": trained.name,
        # two files are not renamed at once: this tells a reader whether they belong together
        "weights": hashlib.sha256(weights).hexdigest(),
        "runs": trained.settings,
        "text": described(data.text),
        "image": described(data.image),
        "threshold": trained.threshold.tolist(),
        "mean_threshold": mean_threshold(trained, data.dev.name, data.dev.pairs.label),
        "temperature": trained.temperature.tolist(),
        "code": code,
    }
    write_text(folder / f"{trained.name}.json", json.dumps(about, indent=1, ensure_ascii=False) + "\n")
