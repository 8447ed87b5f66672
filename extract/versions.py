"""The versions of the libraries whose arithmetic is in a vector."""

import importlib.metadata

LIBRARIES = {"text": ("memefuse", "torch", "transformers"), "image": ("memefuse", "torch", "torchvision", "pillow")}


def installed(kind: str) -> dict[str, str]:
    """Library -> version, on this machine. kind: "text" or "image"."""
    return {library: _version(library) for library in LIBRARIES[kind]}


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"  # run from a checkout
