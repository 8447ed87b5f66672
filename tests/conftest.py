"""Shapes in signatures are checked here, and only here: jaxtyping's import hook with beartype."""

from jaxtyping import install_import_hook

install_import_hook(["heads", "extract.text_encoders", "extract.image_encoders"], "beartype.beartype")
