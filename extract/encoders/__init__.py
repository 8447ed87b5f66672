"""Frozen encoders: names -> weights on this disk -> vectors. A family is one class; the catalogue names encoders.

Which class is meant by a located encoder stands in the catalogue; nobody else asks for families. No torch is needed
until an encoder is loaded.
"""

import os
import shutil
from typing import Any

from extract.encoders import catalogue
from extract.encoders.family import Encoder, Located
from extract.errors import Refused
from extract.images import Squeeze


def settings(located: Located, *, dtype: str, max_tokens: int) -> dict[str, str | int]:
    """All that changes a vector, for a fingerprint.

    max_tokens: word pieces a text, specials included. Raises Refused if the encoder does not read as many.
    """
    return catalogue.family_of(located).settings(located, dtype=dtype, max_tokens=max_tokens)


def load(located: Located, *, device: str, dtype: str, max_tokens: int, compile: bool = False) -> Encoder:
    """Load a located encoder. compile: with torch.compile, slower to start.

    Raises Refused if the weights are not what the vector that is asked for needs, or no compiler is installed.
    """
    settings(located, dtype=dtype, max_tokens=max_tokens)  # refuses too many word pieces
    compilers = (os.environ.get("CXX"), os.environ.get("CC"), "c++", "g++", "gcc", "clang++", "clang", "cl")
    if compile and not any(shutil.which(name) for name in compilers if name):
        raise Refused("--compile needs a C++ compiler, and none is found. Install one, as g++, or leave --compile out")
    return catalogue.family_of(located).load(
        located, device=device, dtype=dtype, max_tokens=max_tokens, compile=compile
    )


def unfrozen(located: Located) -> Any:
    """The same network as `load` has (an nn.Module with `dim`), to go on training: float32, on the CPU, in eval mode.

    Raises Refused as `load` does.
    """
    return catalogue.family_of(located).unfrozen(located)


def decoder(located: Located) -> Squeeze | None:
    """What prepares this encoder's images, for processes that hold no encoder; None for texts."""
    return catalogue.family_of(located).decoder(located)
