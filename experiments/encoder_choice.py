"""Which encoders of a features folder are meant, and which splits they have in common. No vector is read."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from extract import store
from extract.dataset import SIDES
from extract.errors import Refused, listing
from extract.places import Place
from extract.store import EncoderFolder, EncoderIdentity

NO_ENCODER = "none"  # the name of a side that is left out
EVERY = "all"  # of the encoders of a side
GRID = "grid"  # the pooling that keeps the whole feature map
Folders = Mapping[str, EncoderFolder]  # by name: all that a features folder holds


def no_encoder(kind: str) -> EncoderIdentity:
    """What stands for a side that is left out: its vectors have no columns."""
    return EncoderIdentity(kind, NO_ENCODER, 0, "", {}, {})


def lacks(folders: Folders, kind: str, name: str | None) -> bool:
    """Whether a side is left out: asked for as none, or not named where all features are of the other side."""
    return name == NO_ENCODER or (name is None and {folder.kind for folder in folders.values()} == {*SIDES} - {kind})


def candidates(folders: Folders, kind: str) -> list[EncoderFolder]:
    """The encoders of that kind that heads can be trained on: those with one vector a meme, not a grid of them."""
    return [folder for folder in folders.values() if folder.kind == kind and folder.pooling != GRID]


def chosen(folders: Folders, kind: str, name: str | None, features: Place) -> list[EncoderFolder]:
    """The encoders of a kind whose vectors stand side by side: "a+b", or "all" there are; else the one of `choose`.

    Raises Refused, naming every encoder of a sum that is not there, or that is named twice.
    """
    if name == EVERY and candidates(folders, kind):
        return candidates(folders, kind)
    if name is None or "+" not in name:
        return [choose(folders, kind, name, features)]
    folders_chosen, faults = [], []
    for part in name.split("+"):
        try:
            folders_chosen.append(choose(folders, kind, part.strip(), features))
        except Refused as refusal:
            faults.append(str(refusal))
    if faults:
        raise Refused("\n\n".join(faults))
    if twice := [each for each, count in Counter(folder.name for folder in folders_chosen).items() if count > 1]:
        raise Refused(f"--{kind}-encoder {name} names {', '.join(twice)} twice")
    return folders_chosen


def choose(folders: Folders, kind: str, name: str | None, features: Place) -> EncoderFolder:
    """The encoder of that kind that was named, or the only one there is with a vector a meme."""
    of_kind = candidates(folders, kind) if name is None else called(folders, kind, name)
    if any(folder.pooling == GRID for folder in of_kind):
        raise Refused(
            f"{name} holds grids of vectors, and a head takes one vector a meme.\n"
            "Name the same encoder without :grid, here and before that in python -m extract --image-encoder"
        )
    if len(of_kind) == 1:
        return of_kind[0]
    kinds = {
        folder.name: f"{folder.kind} grids" if folder.pooling == GRID else folder.kind for folder in folders.values()
    }
    there = listing(
        [f"{folder.name} ({kinds[folder.name]}: {', '.join(folder.splits)})" for folder in folders.values()]
    )
    if of_kind:
        several = f"{features} holds {len(of_kind)} {kind} encoders"
        how = "; name one with" if name is None else f" that {name} may mean; name one as it is here with"
        raise Refused(f"{several}{how} --{kind}-encoder:\n{there}")
    if name is not None:
        raise Refused(f"{features} holds no {kind} features of {name}. It holds:\n{there}")
    inside = f"It holds:\n{there}" if folders else "It is empty."
    raise Refused(f"{features} holds no {kind} features. {inside}\nRun: {store.extract_command(features)}")


def called(folders: Folders, kind: str, name: str) -> list[EncoderFolder]:
    """The folder of that name; else those that extract makes for it, a tower's only where there is no other.

    Folders do not mention the pooling that their encoder's family has by default.
    """

    def plain(folder: EncoderFolder) -> set[str]:
        return {_plain(name), _plain(name.removesuffix(f":{folder.pooling}"))}

    of_kind = [folder for folder in folders.values() if folder.kind == kind]
    return (
        [folder for folder in of_kind if folder.name == name]
        or [folder for folder in of_kind if _plain(folder.name) in plain(folder)]
        or [folder for folder in of_kind if _plain(folder.name) in {f"{each}-{kind}" for each in plain(folder)}]
    )


def _plain(name: str) -> str:
    """An encoder's name as asked for and as its folder is called, made alike: org/name, org--name."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")


def sides_of(features: Place, text_encoder: str, image_encoder: str) -> tuple[dict[str, list[str]], list[str]]:
    """Names of the encoders that `pairs` takes, by side, and in words what was left out. No test file is opened."""
    folders = store.encoders(features, tests=False)
    asked = {"text": text_encoder, "image": image_encoder}
    sides: dict[str, list[str]] = {"text": [], "image": []}
    notes = []
    for kind, name in asked.items():
        of_kind = candidates(folders, kind)
        if lacks(folders, kind, None if name == EVERY else name):
            sides[kind] = [NO_ENCODER]
            continue
        for each in dict.fromkeys(part.strip() for part in name.split(",")):
            if each != EVERY or len(of_kind) < 2:
                beside = chosen(folders, kind, None if each == EVERY else each, features)
                sides[kind].append("+".join(folder.name for folder in beside))
                continue
            for folder in of_kind:
                whole = "train" in folder.splits and {"dev", "dev_seen"} & set(folder.splits)
                sides[kind] += [folder.name] if whole else []
                notes += [] if whole else [f"{folder.name} is left out: it has no train and dev."]
        sides[kind] = list(dict.fromkeys(sides[kind]))
    if not all(sides.values()):
        raise Refused(f"{features} holds no pair of encoders with train and dev:\n{listing(notes)}")
    return sides, notes


def splits_of(sides: list[EncoderFolder]) -> tuple[str, str, list[str]]:
    """Names of train, dev and the test splits that every encoder has."""
    both = [split for split in sides[0].splits if all(split in side.splits for side in sides)]
    dev = next((split for split in ("dev", "dev_seen") if split in both), None)
    if "train" in both and dev:
        return "train", dev, sorted(split for split in both if split.startswith("test"))
    missing = [name for name, there in (("train", "train" in both), ("dev", dev)) if not there]
    why = "; dev decides when training stops, and test must not" if "dev" in missing else ""
    held = listing([f"{side.name}: {', '.join(side.splits)}" for side in sides])
    features = next(iter(sides[0].splits.values())).parent.parent
    encoders = {1: sides[0].name, 2: "both encoders"}.get(len(sides), f"all {len(sides)} encoders")
    raise Refused(
        f"no features of {' and '.join(missing)} for {encoders}{why}. There are:\n{held}\n"
        f"Run, with the same encoders: {store.extract_command(features)} --split {','.join(missing)}"
    )


def agreed(side: EncoderFolder, files: list[store.Features]) -> EncoderIdentity:
    """What all of an encoder's files agree on. Raises StoreError when they come from different encoders or settings."""
    first, encoders = files[0].identity, [file.identity for file in files]
    if len({(each.kind, each.fingerprint, each.dim) for each in encoders}) == 1:
        return replace(first, name=side.name)
    keys = sorted({key for each in encoders for key in each.settings})
    differ = [key for key in keys if len({repr(each.settings.get(key)) for each in encoders}) > 1]
    lines = [
        f"{file.split}: fingerprint {each.fingerprint[:12]}, {each.kind}, {each.dim:,} dims"
        + "".join(f", {key} {each.settings.get(key)}" for key in differ)
        for file, each in zip(files, encoders, strict=True)
    ]
    raise store.StoreError(
        f"features of two encoders or settings are mixed up in {side.splits[files[0].split].parent}:\n"
        f"{listing(lines)}\n"
        "Their vectors cannot be compared. Delete the odd ones and run extract again."
    )


def lone_tests(sides: list[EncoderFolder]) -> list[str]:
    """Test splits that not all of the encoders have."""
    tests = dict.fromkeys(split for side in sides for split in side.splits if split.startswith("test"))
    having = {split: [side.name for side in sides if split in side.splits] for split in tests}
    return [
        f"{split} is left out: {' and '.join(names)} {'has' if len(names) == 1 else 'have'} it, "
        f"{' and '.join(lack)} {'does' if len(lack) == 1 else 'do'} not."
        for split, names in having.items()
        if (lack := [side.name for side in sides if side.name not in names])
    ]
