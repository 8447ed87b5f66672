"""What commands read from their options."""

import pytest

from experiments import options, predict, submit
from experiments.options import model_arguments
from experiments.serve import __main__ as serve
from extract.errors import Refused
from heads.models import HEADS
from heads.settings import BALANCES


@pytest.mark.parametrize("module", [predict, submit, serve], ids=["predict", "submit", "serve"])
def test_an_address_of_features_stays_whole(module):
    def given(address):
        return str(model_arguments(module.parser().parse_args(["--features", address]))["features"])

    assert (given("s3://memes/features"), given("file:///memes/features")) == ("s3://memes/features", "/memes/features")


def test_ways_to_balance_are_heads_own():
    assert options.BALANCES == BALANCES


def test_heads_are_shown_in_the_table_s_order():
    assert options.head_names("late, text,late") == options.head_names(["late", "text"]) == ("text", "late")
    assert options.head_names("all") == tuple(HEADS)


def test_it_is_asked_for_by_name_or_with_all():
    assert options.compared("early,ensemble,text") == (("text", "early"), True)
    assert options.compared("early") == (("early",), False)
    assert options.compared("all")[1]
    with pytest.raises(Refused, match="--heads ensemble: it is made of heads; name those, too"):
        options.compared("ensemble")
