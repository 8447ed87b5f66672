"""What a features folder holds."""

from dataclasses import dataclass

from extract import places
from extract.errors import Refused
from extract.places import Place
from extract.store.splits import read_rows


@dataclass(frozen=True)
class EncoderFolder:
    """`features/<encoder>`: which kind of vectors it holds, for which splits."""

    name: str
    kind: str  # "text" or "image"
    pooling: str  # "cls", "pooled", "grid", ...; empty where its files do not say
    splits: dict[str, Place]


def encoders(features: Place, tests: bool = True) -> dict[str, EncoderFolder]:
    """What a features folder holds, by encoder; without `tests` as if it held no test split, and none is opened.

    Raises Refused when there is no such folder.
    """
    places.refuse_unreachable(features)
    if not features.is_dir():
        raise Refused(f"no features folder {features}; run: python -m extract --features {features}")
    found: dict[str, dict[str, Place]] = {}
    for path in places.glob(features, "[!.]*/[!.]*.h5"):
        if tests or not path.stem.startswith("test"):
            found.setdefault(path.parent.name, {})[path.stem] = path
    first = {name: read_rows(next(iter(files.values()))) for name, files in found.items()}
    return {
        name: EncoderFolder(name, first[name].kind, str(first[name].settings.get("pooling", "")), files)
        for name, files in found.items()
    }


def split_path(folder: EncoderFolder, split: str) -> Place:
    """The file of a split; `dev` takes dev.h5, else dev_seen.h5, likewise `test`. Raises Refused without either."""
    for name in (split, f"{split}_seen"):
        if name in folder.splits:
            return folder.splits[name]
    raise Refused(
        f"features of {folder.name} have no split {split}, only {', '.join(folder.splits)}; "
        f"run: python -m extract --split {split}"
    )
