"""Shapes in signatures are checked here, and only here: jaxtyping's import hook with beartype."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads starve each other where cores are shared

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

install_import_hook(["heads", "experiments"], "beartype.beartype")
install_import_hook(
    ["extract.encoders.text_model", "extract.encoders.resnet_model", "extract.encoders.onednn"], "beartype.beartype"
)

pytest_plugins = ["shared_fixtures"]
# plugins from which tests import, too
pytest.register_assert_rewrite("poisoned_decoder", "small_sample", "unread_memes")

# where cores are shared, an example takes as long as it takes
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
