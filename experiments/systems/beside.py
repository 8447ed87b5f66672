"""memefuse's own heads on the same encoders' frozen vectors: what every system is set beside."""

import hashlib
import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from experiments import compare, training
from experiments import data as loading
from experiments.evaluate.runs import mean_threshold
from experiments.results.records import code_version
from experiments.systems import results, scored
from experiments.systems.job import run_folder
from experiments.systems.memes import Memes, digest_of
from experiments.systems.published import FASTTEXT
from experiments.systems.results import Encoder, Result
from extract import store
from extract.errors import Failed, Refused
from extract.machine import resolve_device
from extract.places import place
from heads.train import HeadSettings

NAME = "memefuse"
SEEDS = 5


def beside(result: Result, out: Path, device: str) -> Result | str:
    """The heads of `compare` on `result`'s encoders: trained now, or read if that was done before.

    Returns in words why there are none where the encoders' vectors are not in the features folder.
    """
    text, image = result.text.slug, result.image.slug.removesuffix("-grid")
    try:
        data = loading.load(place(result.features), text, image)
        found = [as_memes(split) for split in splits(data)]
        refuse_others(result, data, digest_of(found))
    except Failed as error:
        return why_not(result, f"{text} + {image}", str(error).partition(" It ")[0].splitlines()[0])
    recipe, digests = asdict(HeadSettings()), [each.digest() for each in found]
    about = json.dumps([recipe, SEEDS, data.text.fingerprint, data.image.fingerprint, digests])
    key = hashlib.sha256(about.encode()).hexdigest()
    folder = run_folder(out, NAME, f"{text}+{image}", key)
    done = results.read_result(folder)
    if done is not None:
        return done
    device = resolve_device(device)
    start = time.perf_counter()  # heads train side by side: their own seconds overlap
    trained = training.heads(data, training.runs(compare.HEADS, SEEDS, {}), device, "none")
    made = record(data, found, trained, time.perf_counter() - start, result, device, key)
    scored.save(folder, trained, found[1:])
    results.save(folder, made)
    return made


def refuse_others(result: Result, data: loading.Data, content: str) -> None:
    """Raise Refused where the features are no more of the memes, or the vectors, that the run had."""
    if content != result.content:
        raise Refused(f"{result.features} holds other memes than this run had; if they have changed, run it again.")
    for used, now in ((result.text, data.text), (result.image, data.image)):
        if used.slug == now.name and used.dim and used.fingerprint != now.fingerprint:
            raise Refused(f"the vectors of {now.name} are others than this run had; run it again.")


def why_not(result: Result, pair: str, why: str) -> str:
    text = "none" if result.text.name == FASTTEXT else result.text.name
    names = f"--text-encoder {text} --image-encoder {result.image.name.removesuffix(':grid')}"
    where = f"--data {result.data} --features {result.features}"
    return f"memefuse's heads on {pair} are not shown: {why} Run: python -m extract {where} {names}"


def as_memes(split: loading.Split) -> Memes:
    content = np.stack([split.pairs.text_content, split.pairs.image_content], axis=1).astype("S64")
    return Memes(split.name, split.pairs.ids, split.pairs.label.astype(int), split.group, content, {})


def splits(data: loading.Data) -> list[loading.Split]:
    return [data.train, data.dev, *(test for test in data.tests if len(test.labelled))]


def record(
    data: loading.Data, found: list[Memes], trained: list[training.Trained], seconds: float, beside: Result,
    device: str, key: str,
) -> Result:  # fmt: skip
    judged = found[1:]
    [precision] = {each.fitted.precision for each in trained if each.fitted}
    return Result(
        system=NAME,
        setting=f"{data.text.name}+{data.image.name}",
        text=frozen(data.text, beside.text),
        image=frozen(data.image, beside.image),
        data=beside.data,
        features=beside.features,
        content=beside.content,
        train_memes=len(found[0]),
        train_of=len(found[0]),
        drawn=0,
        balanced=False,
        memes={each.split: int((each.label != store.NO_LABEL).sum()) for each in judged},
        seeds=SEEDS,
        steps=0,
        capped=False,
        epochs=HeadSettings().max_epochs,
        seconds=seconds,
        device=device,
        precision=precision,
        rows=results.rows(trained, judged),
        threshold=mean_threshold(trained[0], judged[0].split, judged[0].label),
        published=[],
        notes=data.notes,
        code=code_version(),
        key=key,
    )


def frozen(encoder: loading.Encoder, used: Encoder) -> Encoder:
    return Encoder(
        encoder.name,
        used.published,
        used.stand_in,
        False,
        encoder.name,
        encoder.dim,
        encoder.fingerprint,
        encoder.settings,
    )
