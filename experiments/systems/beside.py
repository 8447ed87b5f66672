"""memefuse's own heads on the same encoders' frozen vectors: what every system is set beside."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from experiments import compare, loading, training
from experiments.records import code_version
from experiments.runs import mean_threshold
from experiments.systems import results
from experiments.systems.memes import Memes
from experiments.systems.published import FASTTEXT
from experiments.systems.results import Encoder, Result
from extract import store
from extract.errors import Failed
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
    except Failed as error:
        why = str(error).partition(" It ")[0].splitlines()[0]
        text_name = "none" if result.text.name == FASTTEXT else result.text.name
        names = f"--text-encoder {text_name} --image-encoder {result.image.name.removesuffix(':grid')}"
        where = f"--data {result.data} --features {result.features}"
        return f"memefuse's heads on {text} + {image} are not shown: {why} Run: python -m extract {where} {names}"
    found = [
        Memes(split.name, split.pairs.ids, split.pairs.label.astype(int), split.group, contents(split.pairs), {})
        for split in splits(data)
    ]
    about = json.dumps(
        [asdict(HeadSettings()), data.text.fingerprint, data.image.fingerprint, [memes.digest() for memes in found]]
    )
    key = hashlib.sha256(about.encode()).hexdigest()
    folder = out / "systems" / NAME / f"{text}+{image}-{key[:8]}"
    done = results.read_result(folder)
    if done is not None:
        return done
    made = train(data, found, result, device, key)
    results.save(folder, made)
    return made


def contents(pairs: store.Pairs) -> np.ndarray:
    return np.stack([pairs.text_content, pairs.image_content], axis=1).astype("S64")


def splits(data: loading.Data) -> list[loading.Split]:
    return [data.train, data.dev, *(test for test in data.tests if len(test.labelled))]


def train(data: loading.Data, memes: list[Memes], beside: Result, device: str, key: str) -> Result:
    trained = training.heads(data, training.runs(compare.HEADS, SEEDS, {}), training.device(device), "none")
    scored = memes[1:]
    return Result(
        system=NAME,
        setting=f"{data.text.name} + {data.image.name}",
        text=frozen(data.text, beside.text),
        image=frozen(data.image, beside.image),
        data=beside.data,
        features=beside.features,
        train_memes=len(memes[0]),
        train_of=len(memes[0]),
        drawn=0,
        balanced=False,
        memes={each.split: int((each.label != store.NO_LABEL).sum()) for each in scored},
        seeds=SEEDS,
        steps=0,
        capped=False,
        epochs=HeadSettings().max_epochs,
        seconds=sum(each.seconds for each in trained),
        device=device,
        precision="auto",
        rows=results.rows(trained, scored),
        threshold=mean_threshold(trained[0], memes[1].split, memes[1].label),
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
