"""Image encoders: what changes their numbers, told without loading them, and the ways to load them."""

from typing import TYPE_CHECKING

from extract.encoders.catalogue import Located

if TYPE_CHECKING:
    import extract.encoders.image_model


def settings(located: Located, *, dtype: str) -> dict[str, str | int]:
    """All that changes a vector once an image is decoded and resized, for a fingerprint. Needs no torch."""
    settings: dict[str, str | int] = {
        "weights": located.weights,
        "family": located.family,
        "pooling": located.pooling,
        "precision": dtype,
    }
    if dtype != "float32":
        settings["stem"] = "float32, in two summands"
    return settings


def load(
    located: Located, *, device: str, dtype: str, compile: bool = False
) -> "extract.encoders.image_model.ImageEncoder":
    """Load a located encoder. compile: with torch.compile, slower to start.

    Raises Refused if the weights are not those of a ResNet.
    """
    from extract.encoders import image_model

    return image_model.load(located, device=device, dtype=dtype, compile=compile)


def unfrozen(located: Located) -> "extract.encoders.image_model.ImageModel":
    """The same network as `load` has, to go on training: in float32 on the CPU, and in eval mode as loaded.

    Raises Refused as `load` does.
    """
    from extract.encoders import image_model

    return image_model.ImageModel(*image_model.read(located))
