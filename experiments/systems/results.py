"""What a system came to: the record that tables are made from, and the files of a run."""

import csv
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from experiments.evaluate import statistics
from experiments.evaluate.runs import mean_threshold, records, scores_of
from experiments.evaluate.scores import row, statistic
from experiments.results.records import Row, code_version, revive, to_lines, without_nan
from experiments.systems import scored
from experiments.systems.build import Side
from experiments.systems.job import Job, run_folder
from experiments.systems.memes import NO_LABEL, Memes, digest_of
from experiments.systems.published import Published
from experiments.training import Trained
from extract.files import write_text
from heads.metrics import probabilities

RESULT = "result.json"


@dataclass(frozen=True)
class Encoder:
    """One side, for the table."""

    name: str
    published: str  # the encoder it stands for
    stand_in: bool
    trains: bool
    slug: str  # its folder under features/, whether it has one or not
    dim: int  # of its cached vectors; 0 where none were read
    fingerprint: str  # of its cached vectors, or the digest of the weights that training began with
    settings: dict[str, Any]  # what the fingerprint of cached vectors covers


@dataclass(frozen=True)
class Result:
    """One system under one setting, or memefuse's own heads on one pair of encoders."""

    system: str
    setting: str
    text: Encoder
    image: Encoder
    data: str  # folder
    features: str  # folder
    content: str  # sha256 of the memes of all splits, before any draw: what runs on the same memes share
    train_memes: int  # that were trained on
    train_of: int  # that train holds
    drawn: int  # memes that --rows drew of them; 0: all
    balanced: bool  # by undersampling
    memes: dict[str, int]  # labelled memes by split, dev first
    seeds: int
    steps: int  # of the optimiser, the most of any seed; 0 where nothing counts them
    capped: bool  # whether --steps ended it
    epochs: int  # at most
    seconds: float  # wall time of training, all seeds together
    device: str
    precision: str
    rows: list[Row]  # by head and split
    threshold: float  # of the seeds' mean probability, tuned on dev; of the first head where there are several
    published: list[Published]
    notes: list[str]
    code: str
    key: str  # of all that changes a number


def conclude(job: Job, trained: Sequence[Trained]) -> Result:
    """Score what was trained, write the run's files, and its record last."""
    splits, request = job.splits, job.request
    with_labels = [each for each in splits.scored if (each.label != NO_LABEL).any()]
    steps = max((settings.get("steps", 0) for each in trained for settings in each.settings), default=0)
    result = Result(
        system=job.system.name,
        setting=job.name,
        text=encoder(splits.sides[0], job.system.text),
        image=encoder(splits.sides[1], job.system.image),
        data=str(request.data),
        features=str(request.features),
        content=digest_of(job.whole.all),
        train_memes=len(splits.train),
        train_of=len(job.whole.train),
        drawn=request.rows if request.rows is not None and request.rows < len(job.whole.train) else 0,
        balanced=job.setting.training.balance != "none",
        memes={each.split: int((each.label != NO_LABEL).sum()) for each in with_labels},
        seeds=job.seeds,
        steps=steps,
        capped=request.steps is not None and steps >= request.steps,
        epochs=job.setting.training.epochs,
        seconds=sum(each.seconds for each in trained),
        device=job.device,
        precision=job.precision,
        rows=rows(trained, with_labels),
        threshold=mean_threshold(trained[0], splits.dev.split, splits.dev.label),
        published=list(job.setting.published),
        notes=splits.notes + diverged(job.name, trained),
        code=code_version(),
        key=job.key,
    )
    features = {side.name: side.fingerprint for side in splits.sides}
    labels = {each.split: each.label for each in splits.scored}
    write_text(job.folder / "runs.jsonl", to_lines(records(trained, labels, features, result.code)))
    for each in splits.scored:
        write_text(job.folder / f"predictions_{each.split}.csv", predictions(each, trained, splits.dev))
    scored.save(job.folder, trained, with_labels)
    write_text(job.folder / "report.md", report(result, trained, with_labels))
    save(job.folder, result)
    return result


def diverged(setting: str, trained: Sequence[Trained]) -> list[str]:
    """A sentence on each head with runs whose logits are no numbers."""
    found = []
    for each in trained:
        lost = torch.stack([logit.isnan().any(dim=1) for logit in each.logit.values()]).any(dim=0)
        if lost.any():
            seeds = ", ".join(str(each.settings[run]["seed"]) for run in lost.nonzero().flatten().tolist())
            found.append(f"{each.name} {setting}: training diverged (seed {seeds}), so there is nothing to measure.")
    return found


def folder(out: Path, result: Result) -> Path:
    """Where a run's files are."""
    return run_folder(out, result.system, result.setting, result.key)


def save(folder: Path, result: Result) -> None:
    """As `read_result` reads it."""
    write_text(folder / RESULT, json.dumps(without_nan(asdict(result)), indent=1, ensure_ascii=False) + "\n")


def encoder(side: Side, published: str) -> Encoder:
    return Encoder(
        side.name, published, side.stand_in, side.trains, side.slug, side.dim, side.fingerprint, dict(side.settings)
    )


def read_result(folder: Path) -> Result | None:
    """None where no run has ended, or one of another version of memefuse: its trainings can still be used."""
    path = folder / RESULT
    if not path.is_file():
        return None
    try:
        return revive(Result, json.loads(path.read_text(encoding="utf-8")))
    except KeyError as error:
        print(f"{path} has no {error}: another version wrote it; run the system again, it is quick", file=sys.stderr)
        return None


def all_results(out: Path) -> list[Result]:
    """Of every run under reports/systems, in the order of their folders."""
    found = [read_result(path.parent) for path in sorted((out / "systems").glob(f"*/*/{RESULT}"))]
    return [result for result in found if result is not None]


def rows(trained: Sequence[Trained], splits: Sequence[Memes]) -> list[Row]:
    """A row for each head and split, with intervals over memes as `compare` has them."""
    found = []
    for memes in splits:
        scores = {each.name: scores_of(each, memes.split, memes.label) for each in trained}
        group = memes.group[memes.label != NO_LABEL]
        draws = statistics.bootstrap(group, {name: statistic(each) for name, each in scores.items()})
        found += [row(each, draws[name]) for name, each in scores.items()]
    return found


def predictions(memes: Memes, trained: Sequence[Trained], dev: Memes) -> str:
    """id, head, the runs' mean probability, and the label at the threshold tuned on dev; the true one where known."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["id", "head", "proba", "label", "true_label"])
    for each in trained:
        mean = probabilities(each.logit[memes.split]).mean(dim=0).tolist()
        threshold = mean_threshold(each, dev.split, dev.label)
        for name, probability, true in zip(memes.ids, mean, memes.label, strict=True):
            said = int(probability >= threshold)
            writer.writerow([name, each.name, f"{probability:.6f}", said, "" if true == NO_LABEL else true])
    return out.getvalue()


def report(result: Result, trained: Sequence[Trained], splits: Sequence[Memes]) -> str:
    """Confusion matrices and scikit-learn's classification reports, of the runs' mean probability."""
    from sklearn.metrics import classification_report, confusion_matrix

    lines = [f"# {result.system} ({result.setting})"]
    dev = splits[0]
    for each in trained:
        tuned = mean_threshold(each, dev.split, dev.label)
        for memes in splits:
            known = memes.label != NO_LABEL
            mean = probabilities(each.logit[memes.split]).mean(dim=0).numpy()[known]
            for word, threshold in (("0.5", 0.5), ("the threshold tuned on dev", tuned)):
                said = (mean >= threshold).astype(int)
                matrix = confusion_matrix(memes.label[known], said, labels=[0, 1])
                told = classification_report(memes.label[known], said, labels=[0, 1], digits=3, zero_division=0)
                lines += [f"\n## {each.name}, {memes.split}, at {word} ({threshold:.3f})\n"]
                lines += ["| | said 0 | said 1 |", "| --- | ---: | ---: |"]
                lines += [f"| is {label} | {row[0]:,} | {row[1]:,} |" for label, row in enumerate(matrix)]
                lines += ["\n```", told.rstrip(), "```"]
    return "\n".join(lines) + "\n"
