"""The benchmarks' command: which there are, and that an unknown one is refused."""

import re

import pytest

from experiments.bench.__main__ import BENCHES, main
from extract.errors import Refused


@pytest.mark.parametrize("typed", [[], ["--help"], ["-h"]])
def test_without_a_name_it_shows_which_there_are(typed, capsys):
    assert main(typed) == 0
    examples = re.findall(r"^  python -m experiments\.bench (\w+)", capsys.readouterr().out, re.MULTILINE)
    assert {*examples} == {*BENCHES}


def test_an_unknown_benchmark_is_refused():
    with pytest.raises(Refused, match=r"no benchmark speed; there are extract, gpu, heads, ray$"):
        main(["speed"])
