"""Real models read drawn memes, whose manifest is the truth; no model is downloaded; odd pictures hold no words."""

import difflib
import re
import socket

import numpy as np
import pytest

from extract import dataset, sample
from extract.errors import Refused
from extract.images import Undecodable, decode_whole
from extract.ocr.lines import in_reading_order
from extract.ocr.reader import LONGEST, RapidReader, ReaderChoice
from extract.ocr.words import Words
from extract.places import digest
from extract.plan import Item
from extract.sample.plan import SampleSettings


@pytest.fixture(scope="module")
def reader():
    with pytest.MonkeyPatch.context() as patch:

        def unreachable(self, address):
            raise AssertionError(f"asks {address}")

        patch.setattr(socket.socket, "connect", unreachable)
        yield ReaderChoice().load()


@pytest.fixture(scope="module")
def memes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "sample"
    sample.draw(folder, SampleSettings(4, 4, 4, longest=420), workers=1, progress=False)
    return dataset.read_split(folder, "train").memes[:2]


def said(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


def test_drawn_memes_are_read(reader, memes):
    words = Words(given=reader, cache=None)
    read = list(words.read_each([Item(digest(meme.image), meme.image) for meme in memes]))  # as many threads as cores
    for meme, reading in zip(memes, read, strict=True):
        right = difflib.SequenceMatcher(None, said(meme.text), said(reading.text), autojunk=False).ratio()
        assert right >= 0.8, (
            meme.text,
            reading.text,
        )  # .92 of the words of 40 such memes; blanks between capitals get lost
        for line in reading.lines:
            assert 0 <= line.span(0)[0] < line.span(0)[1] <= reading.width
            assert 0 <= line.span(1)[0] < line.span(1)[1] <= reading.height
            assert 0.5 <= line.confidence <= 1
    pixels, _ = decode_whole(memes[0].image.read_bytes(), LONGEST)
    assert in_reading_order(reader(pixels)) == list(read[0].lines)  # alone it reads the same


@pytest.mark.parametrize("size", [(1, 1), (1, 2000)])
def test_pictures_without_words_have_none(reader, size):
    assert reader(np.full((*size, 3), 200, np.uint8)) == []


def test_what_a_reader_cannot_work_on_is_a_bad_image(reader):
    with pytest.raises(Undecodable, match="words cannot be read from it: "):
        reader(np.zeros((20, 20, 3), dtype="complex64"))


def test_a_model_that_is_not_installed_is_named_and_never_downloaded(tmp_path, reader):
    with pytest.raises(Refused) as refusal:
        ReaderChoice(model="medium", models=tmp_path).load()
    assert re.fullmatch(
        r"2 of the models that read words cannot be used:\n"
        r"  PP-OCRv6_det_medium\.onnx is not there: it is https://\S+\n"
        r"  PP-OCRv6_rec_medium\.onnx is not there: it is https://\S+\n"
        rf"Put them into {tmp_path}, or another folder with --models, and run again\.",
        str(refusal.value),
    )
    (tmp_path / "korean_PP-OCRv5_rec_mobile.onnx").write_bytes(b"half of it")
    with pytest.raises(
        Refused, match=r"korean_PP-OCRv5_rec_mobile\.onnx is not the file that its publisher has: its SHA"
    ):
        ReaderChoice("korean", models=tmp_path).load()


def test_languages_and_models_are_known_ones():
    assert isinstance(ReaderChoice("de").load(), RapidReader)
    with pytest.raises(Refused, match=r"--language is klingon, expected one of af, arabic, az, .*, vi"):
        ReaderChoice("klingon").load()
    with pytest.raises(Refused, match="--model is huge, expected one of tiny, small, medium"):
        ReaderChoice(model="huge").load()


def test_settings_name_all_that_decides_what_is_read(reader):
    assert reader.settings["library"].startswith("rapidocr ")
    assert reader.settings["models"].keys() == {"Det", "Cls", "Rec"}
    assert len({*reader.settings["models"].values()}) == 3
