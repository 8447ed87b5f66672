"""Shapes in signatures are checked here, and only here: jaxtyping's import hook with beartype."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads starve each other where cores are shared

from jaxtyping import install_import_hook

install_import_hook(["heads", "experiments", "extract.text_encoders", "extract.text_model"], "beartype.beartype")
install_import_hook(
    ["extract.image_encoders", "extract.image_model", "extract.resnet", "extract.onednn"], "beartype.beartype"
)
