"""What an extraction is asked: requests that cannot be meant are refused, with every fault."""

from pathlib import Path

import pytest

from extract.config import ExtractConfig
from extract.errors import Refused


def test_none_stands_alone_and_a_folder_with_a_comma_is_one(tmp_path):
    with pytest.raises(Refused, match=r"^--text-encoder names none beside a, b; none stands alone$"):
        ExtractConfig(text_encoder="a,none,b")
    with pytest.raises(Refused, match=r"^both encoders are none: nothing to do$"):
        ExtractConfig(text_encoder=("none",), image_encoder="none")
    (tmp_path / "a,b").mkdir()
    assert ExtractConfig(text_encoder=f"{tmp_path}/a,b").encoders("text") == (f"{tmp_path}/a,b",)
    assert ExtractConfig(image_encoder="none").encoders("image") == ()
    assert ExtractConfig(image_encoder="c,d,c").encoders("image") == ("c", "d")


@pytest.mark.parametrize(
    ("request_", "fault"),
    [
        ({"device": "mps", "engine": "ray"}, "--device mps is for this machine alone; leave --engine ray out"),
        ({"address": "auto"}, "--address auto is a Ray cluster's; add --engine ray"),
        ({"engine": "ray", "address": "ray://head:10001"}, "--address is ray://head:10001, expected auto or HOST:PORT"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused(request_, fault):
    with pytest.raises(Refused, match=fault):
        ExtractConfig(**request_)


def test_every_fault_of_a_request_is_named_at_once():
    with pytest.raises(Refused) as refused:
        ExtractConfig.from_args(
            ["--batch-size", "0", "--max-tokens", "2", "--shard-rows", "0", "--text-encoder", "a,none"]
        )
    assert str(refused.value) == (
        "--text-encoder names none beside a; none stands alone; --batch-size is 0, expected at least 1; "
        "--max-tokens is 2, expected at least 3: [CLS], one word piece, [SEP]; --shard-rows is 0, expected at least 1"
    )


def test_a_command_line_says_what_keywords_say():
    assert ExtractConfig.from_args([]) == ExtractConfig()
    line = "--split dev --data memes --features there --on-error skip --compile --quiet --engine ray --address auto"
    assert ExtractConfig.from_args(line.split()) == ExtractConfig(
        split="dev", data=Path("memes"), features=Path("there"), on_error="skip", compile=True, quiet=True,
        engine="ray", address="auto",
    )  # fmt: skip
