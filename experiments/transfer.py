"""Another dataset's vectors as further tests of the heads that are trained on this one's: does it carry over?"""

import re
from dataclasses import replace
from shlex import quote

from experiments.data import Data, Split, joined
from extract import places, store
from extract.errors import Refused, listing
from extract.places import Place
from extract.store import EncoderFolder, EncoderIdentity

MARK = "test-on-"  # how the names of such tests begin


def with_tests_on(data: Data, features: Place) -> Data:
    """Return the data with the labelled test splits in `features` (all its labelled splits where none is) as tests.

    They are called test-on-<folder>, and test-on-<folder>-<split> where it is not "test". Nothing is trained or chosen
    on them. Raises Refused unless there are vectors of the same fingerprints, and labels.
    """
    folders = store.encoders(features)
    sides = {
        kind: [same(folders, part, features) for part in each.parts] for kind, each in data.encoders.items() if each.dim
    }
    common = sorted(set.intersection(*(set(folder.splits) for side in sides.values() for folder in side)))
    labelled, name = [], re.sub(r"[^\w.]+", "-", places.name(features))
    for split in common:
        files = {kind: [store.read(folder.splits[split]) for folder in side] for kind, side in sides.items()}
        for kind, of_side in files.items():
            for file, part in zip(of_side, data.encoders[kind].parts, strict=True):
                if file.identity.fingerprint != part.fingerprint:
                    raise Refused(others([file.identity], part, features))
        memes, notes = joined(files)
        text = replace(memes.pairs.text, split=MARK + name + (f"-{split}" if split != "test" else ""))
        if len(memes.labelled):
            labelled.append((Split(replace(memes.pairs, text=text), elsewhere=True), split, notes))
    chosen = [each for each in labelled if each[1].startswith("test")] or labelled
    if not chosen:
        raise Refused(
            f"--test-on {features}: nothing there has both vectors and labels "
            f"({', '.join(common) or 'no split that all its encoders have'}): there is nothing to score"
        )
    there = " and ".join(test.name for test, _, _ in chosen)
    said = f"{there}: another dataset's memes. Nothing was trained or chosen on them; thresholds are {data.dev.name}'s."
    notes = [said, *(f"{name}, {note}" for _, _, its in chosen for note in its)]
    return replace(data, tests=[*data.tests, *(test for test, _, _ in chosen)], notes=[*data.notes, *notes])


def same(folders: dict[str, EncoderFolder], encoder: EncoderIdentity, features: Place) -> EncoderFolder:
    """Return the folder that holds vectors of an encoder's fingerprint, whatever it is called."""
    first = {name: store.read_rows(next(iter(folder.splits.values()))).identity for name, folder in folders.items()}
    for name, identity in first.items():
        if identity.fingerprint == encoder.fingerprint:
            return folders[name]
    of_kind = [identity for identity in first.values() if identity.kind == encoder.kind]
    raise Refused(others(of_kind, encoder, features))


def others(there: list[EncoderIdentity], encoder: EncoderIdentity, features: Place) -> str:
    """Say which encoders are there instead of the one that is wanted, and in which settings they differ from it."""
    lines = []
    for each in there:
        keys = sorted({*each.settings, *encoder.settings})
        differ = [key for key in keys if each.settings.get(key) != encoder.settings.get(key)]
        values = [
            f"{key} {str(each.settings.get(key))[:12]}, not {str(encoder.settings.get(key))[:12]}" for key in differ
        ]
        lines.append(f"{each.name}, fingerprint {each.fingerprint[:12]}: {'; '.join(values)}")
    return (
        f"--test-on {features}: no {encoder.kind} vectors of {encoder.name} with fingerprint {encoder.fingerprint[:12]}"
        f"; heads take no others. {'It holds:' if lines else 'It holds none of that kind.'}\n"
        + (f"{listing(lines)}\n" if lines else "")
        + "Run extract with the same encoder and settings: "
        f"python -m extract --data ... --features {quote(str(features))} --{encoder.kind}-encoder {quote(encoder.name)}"
    )
