"""Stage 1's steps, where the tests of the whole do not reach."""

import threading
from pathlib import Path

from extract import places, stage
from extract.config import ExtractConfig


def test_images_that_wait_to_be_read_are_dropped_when_reading_stops(monkeypatch):
    started, go_on = [], threading.Event()

    def digest(source):
        started.append(source)
        if source.name != "0":
            go_on.wait(60)
        return source.name

    monkeypatch.setattr(places, "digest", digest)
    monkeypatch.setattr(stage, "cores", lambda: 2)
    digests = stage._image_digests([Path(str(number)) for number in range(500)], ExtractConfig(quiet=True))
    assert next(digests) == "0"
    threading.Timer(1, go_on.set).start()  # so that waiting for what is queued would end, too
    digests.close()
    go_on.set()
    assert len(started) <= 4  # at work in two threads; 128 were queued
