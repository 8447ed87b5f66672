"""All of stage 1 in this process, with encoders that need no weights."""

from types import SimpleNamespace

import pytest
from fake_encoders import FakeImage, FakeText

from extract import encoders, engine
from extract.__main__ import main
from extract.encoders import catalogue
from extract.errors import run

OPTIONS = ["--device", "cpu", "--dtype", "float32", "--quiet", "--batch-size", "1"]


@pytest.fixture
def extract(monkeypatch):
    """`python -m extract` with fake encoders and small parts. Gives the number of texts and images encoded."""
    made: list[FakeText | FakeImage] = []

    def load(located, **how):
        made.append({"text": FakeText, "image": FakeImage}[located.kind]())
        return made[-1]

    monkeypatch.setattr(catalogue, "locate", lambda kind, name: SimpleNamespace(slug=f"fake-{kind}", kind=kind))
    monkeypatch.setattr(encoders, "settings", lambda located, **how: {"weights": located.slug})
    monkeypatch.setattr(encoders, "load", load)
    monkeypatch.setattr(engine, "PART_ROWS", {"cpu": {"text": 5, "image": 5}})

    def call(data, features, *more):
        made.clear()
        status = run(lambda: main(["--data", str(data), "--features", str(features), *OPTIONS, *more]))
        texts = sum(len(fake.encoded) for fake in made if isinstance(fake, FakeText))
        return status, texts, sum(sum(fake.batches) for fake in made if isinstance(fake, FakeImage))

    return call
