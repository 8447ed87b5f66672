"""Every command answers --help at once, with an example; packages import only whom they may."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
COMMANDS = [
    "extract",
    "extract.sample",
    "extract.inspect",
    "experiments.compare",
    "experiments.sweep",
    "experiments.bench",
    "experiments.report",
    "experiments.explore",
    "experiments.predict",
    "experiments.submit",
    "experiments.serve",
    "experiments.systems",
]
HEAVY = {"torch", "transformers", "torchvision", "pandas", "sklearn", "scipy", "matplotlib", "ray", "pyarrow"}
SHARED_ROOMS = {"errors", "store", "dataset", "catalogue", "encoders", "images", "device"}
SHARED_ROOMS |= {"contents", "lock", "places"}

PROBE = """
import runpy, sys
sys.argv = ["x", "--help"]
try:
    runpy.run_module({name!r}, run_name="__main__")
except SystemExit as stop:
    status = stop.code
heavy = sorted(set(sys.modules) & {heavy!r})
print("STATUS", status, "HEAVY", heavy)
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example_and_imports_nothing_heavy(name):
    code = PROBE.format(name=name, heavy=HEAVY)
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"python -m {name}" in answer.stdout.split("example")[-1]
    assert answer.stdout.endswith("STATUS 0 HEAVY []\n")


def test_every_extra_that_a_message_names_is_there():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    files = [path for room in ("extract", "experiments") for path in ROOT.glob(f"{room}/**/*.py")]
    named = {extra for path in files for extra in re.findall(r"memefuse\[(\w+)\]", path.read_text())}
    assert {"report", "serve"} <= named <= set(extras)


def imported(path):
    """Full names of the project's modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sorted(ROOT.glob("heads/**/*.py")) + sorted(ROOT.glob("extract/**/*.py")), ids=str)
def test_the_two_stages_import_neither_each_other_nor_experiments(path):
    own = path.relative_to(ROOT).parts[0]
    strangers = {"extract", "heads", "experiments"} - {own}
    assert not [name for name in imported(path) if name.split(".")[0] in strangers]


@pytest.mark.parametrize("path", sorted(ROOT.glob("experiments/**/*.py")), ids=str)
def test_experiments_use_only_the_shared_rooms_of_extract(path):
    if path.parent.name == "bench":
        pytest.skip("a benchmark of stage 1 needs stage 1")
    rooms = {name.split(".")[1] for name in imported(path) if name.startswith("extract.")}
    assert rooms <= SHARED_ROOMS
