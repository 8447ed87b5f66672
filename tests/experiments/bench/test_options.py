"""What benchmarks take on their command lines: told at once."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROBE = """
import sys
from experiments.bench.__main__ import main
try:
    main([sys.argv[1], "--help"])
except SystemExit as stop:
    print("STATUS", stop.code, "HEAVY", sorted({"torch", "transformers", "pandas", "sklearn"} & set(sys.modules)))
"""


@pytest.mark.parametrize("name", ["extract", "gpu", "heads", "ray"])
def test_help_shows_an_example_and_imports_nothing_heavy(name):
    command = [sys.executable, "-c", PROBE, name]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f"python -m experiments.bench {name}" in said.split("example")[-1]
    assert said.endswith("STATUS 0 HEAVY []\n")
