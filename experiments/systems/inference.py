"""One meme through the last run of a system: every seed's weights, encoders frozen or trained."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from experiments.scoring.vectors import VectorSource, image_item, text_item
from experiments.systems import build, fasttext, gather, trainer
from experiments.systems.build import GRID, Side, is_grid, reads_vectors
from experiments.systems.memes import NO_LABEL, Column, Memes
from experiments.systems.published import FASTTEXT, System
from experiments.systems.results import RESULT, Encoder, Result, read_result
from experiments.tables import bare
from extract import machine as devices
from extract.dataset import Meme
from extract.encoders import catalogue
from extract.errors import Refused
from extract.places import place
from extract.store import EncoderIdentity


def predict(system: System, setting: str | None, out: Path, image: Path, text: str, device: str) -> str:
    """In words: the seeds' mean probability of label 1, and the label at the threshold tuned on dev.

    Raises Refused when there is no such run, its encoders are not those of the run, or the image is none.
    """
    if system.design == "heads":
        raise Refused(
            f"{system.name}'s heads are stage 2's: experiments.compare keeps such heads, experiments.predict asks them"
        )
    if not image.is_file():
        raise Refused(f"no image {image}")
    folder, result = last_run(system, setting, out)
    device = devices.resolve_device(device)
    sides = (side("text", result.text), side("image", result.image))
    memes = one(Meme("0", text, image, None), sides, result, system, device)
    probabilities = []
    for seed in range(result.seeds):
        model = build.model(system, *sides, seed=seed)
        model.load_state_dict(load_file(folder / f"seed-{seed}" / "model.safetensors"))
        logit = trainer.logits(model.to(device), memes, device, result.precision)
        probabilities.append(torch.sigmoid(logit.double()).item())
    mean = float(np.mean(probabilities))
    said = f"label {int(mean >= result.threshold)}: probability {bare(mean)}, threshold {bare(result.threshold)} (dev)"
    return said + f"; {result.seeds} seeds {bare(min(probabilities))} to {bare(max(probabilities))}; {folder}"


def last_run(system: System, setting: str | None, out: Path) -> tuple[Path, Result]:
    """The newest that ended, of any setting where none is named."""
    key = "[0-9a-f]" * 8
    paths = (out / "systems" / system.name).glob(f"{setting or '*'}-{key}/{RESULT}")
    for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
        if (result := read_result(path.parent)) is not None:
            return path.parent, result
    which = f", setting {setting}," if setting else ""
    raise Refused(
        f"no run of {system.name}{which} under {out}; run: python -m experiments.systems {system.name} --data ..."
    )


def side(kind: str, used: Encoder) -> Side:
    """As the run had it. Raises Refused when weights that training began with are others now."""
    located = None if used.name == FASTTEXT else catalogue.locate(kind, used.name)
    if located is not None and used.dim == 0 and located.weights != used.fingerprint:
        raise Refused(f"{used.name} has other weights than the run began with; take those, or run the system again")
    return Side(kind, used.name, used.trains, located, used.dim, used.fingerprint, used.settings, used.stand_in)


def one(meme: Meme, sides: tuple[Side, Side], result: Result, system: System, device: str) -> Memes:
    """A split of one meme."""
    columns: dict[str, Column] = gather.contents([meme], sides, system.max_tokens)
    for each in sides:
        if reads_vectors(each, sides):
            vector = fasttext_vector(meme, result) if each.name == FASTTEXT else encoded(each, meme, result, device)
            grid = each.kind == "image" and is_grid(each)
            columns["grid" if grid else f"{each.kind}_vec"] = vector.reshape(1, GRID, -1) if grid else vector
    content = np.full((1, 2), b"", dtype="S64")  # of no record: nothing is looked up by it
    return Memes("meme", np.array([meme.id]), np.array([NO_LABEL]), np.array([0]), content, columns)


def encoded(side: Side, meme: Meme, result: Result, device: str) -> np.ndarray:
    """[1, dim] from the encoder that made the run's vectors, or from the vectors that stage 1 keeps."""
    encoder = EncoderIdentity(side.kind, side.slug, side.dim, side.fingerprint, dict(side.settings), {})
    features = place(result.features)
    source = VectorSource(encoder, device, side.name, features if features.is_dir() else None)
    item = text_item(meme.text) if side.kind == "text" else image_item(meme.image)
    vector, bad = source.vectors([item], lambda count: None)
    if bad:
        raise Refused(f"{meme.image}: {bad[item.content]}")
    return vector


def fasttext_vector(meme: Meme, result: Result) -> np.ndarray:
    """Learned again from the run's texts: the same texts give the same vectors. Raises Refused when they are others."""
    texts = [each.text for each in gather.read(place(result.data), "skip")["train"]]
    if fasttext.settings(texts) != result.text.settings:
        raise Refused(f"{result.data}: train's texts are not those that fastText learned from; run the system again")
    return fasttext.vectors([meme.text], fasttext.trained(texts))
