"""All of stage 1 in this process, with encoders that need no weights."""

from types import SimpleNamespace

import pytest
from fake_encoders import FakeImage, FakeText

from extract import engine
from extract.__main__ import main
from extract.encoders import catalogue, image_encoders, text_encoders
from extract.errors import run

OPTIONS = ["--device", "cpu", "--dtype", "float32", "--quiet", "--batch-size", "1"]


@pytest.fixture
def extract(monkeypatch):
    """`python -m extract` with fake encoders and small parts. Gives the number of texts and images encoded."""
    made: list[FakeText | FakeImage] = []

    def load(fake):
        made.append(fake)
        return fake

    monkeypatch.setattr(catalogue, "locate", lambda kind, name: SimpleNamespace(slug=f"fake-{kind}", kind=kind))
    for module, fake in ((text_encoders, FakeText), (image_encoders, FakeImage)):
        monkeypatch.setattr(module, "settings", lambda located, **how: {"weights": located.slug})
        monkeypatch.setattr(module, "load", lambda located, fake=fake, **how: load(fake()))
    monkeypatch.setattr(engine, "PART_ROWS", {"cpu": {"text": 5, "image": 5}})

    def call(data, features, *more):
        made.clear()
        status = run(lambda: main(["--data", str(data), "--features", str(features), *OPTIONS, *more]))
        texts = sum(len(fake.encoded) for fake in made if isinstance(fake, FakeText))
        return status, texts, sum(sum(fake.batches) for fake in made if isinstance(fake, FakeImage))

    return call
