"""Batches to a GPU and vectors back, by imitation: no GPU is needed to see which buffer is used when."""

import numpy as np
import pytest
import torch

from extract.encoders import transfers
from extract.encoders.transfers import BUFFERS, Arriving, Upload


class Event:
    """Notes what was asked of it; all events of a test share one diary."""

    diary: list[str]

    def record(self, *_):
        self.diary.append(f"record {id(self)}")

    def synchronize(self):
        self.diary.append(f"wait {id(self)}")


class Stream:
    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def wait_event(self, event):
        event.diary.append(f"stream waits {id(event)}")


@pytest.fixture
def gpu(monkeypatch):
    """Streams and events that only write a diary, and ordinary memory for pinned; returns the diary."""
    monkeypatch.setattr(Event, "diary", [], raising=False)
    for name, fake in {"Event": Event, "Stream": Stream, "stream": lambda stream: stream}.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda *_: None)
    monkeypatch.setattr(transfers, "pinned", lambda shape, dtype: torch.empty(tuple(shape), dtype=dtype))
    return Event.diary


def batch(count, value):
    return [np.full((4, 4, 3), value + number, np.uint8) for number in range(count)]


def test_batches_go_through_a_few_buffers_which_are_filled_when_they_were_copied(gpu):
    upload = Upload(torch.device("cpu"))
    upload.pinned = True
    own, places = torch.Tensor.to, []
    for number in range(7):
        there = upload(batch(5 if number < 6 else 2, number))
        places.append(there.data_ptr())  # on a CPU `to` copies nothing: this is the buffer itself
        assert there[:, 0, 0, 0].tolist() == [number + row for row in range(5 if number < 6 else 2)]
    assert own is torch.Tensor.to
    assert len(set(places)) == BUFFERS
    assert places[:BUFFERS] == places[BUFFERS : 2 * BUFFERS]
    first = gpu[0].split()[1]
    of_first = [line for line in gpu if line.endswith(first)]
    once = [f"wait {first}", f"record {first}", f"stream waits {first}"]
    assert of_first == [f"wait {first}", *once * 3]  # the very first wait is that of a new buffer


def test_a_buffer_grows_with_its_batches(gpu):
    upload = Upload(torch.device("cpu"))
    upload.pinned = True
    for count in (1, 2, 3, 9):
        assert len(upload(batch(count, 0))) == count
    larger = [np.zeros((8, 8, 3), np.uint8)]
    assert upload(larger).shape == (1, 8, 8, 3)


def test_on_a_cpu_a_batch_is_its_stack():
    pictures = batch(3, 1)
    assert np.array_equal(Upload(torch.device("cpu"))(pictures).numpy(), np.stack(pictures))


class OnGpu(torch.Tensor):
    """A tensor that says that it lies on a GPU."""

    is_cuda = True


def test_vectors_come_back_without_waiting_until_they_are_asked_for(gpu):
    arriving = Arriving(torch.arange(6.0).view(2, 3).as_subclass(OnGpu))
    assert [line.split()[0] for line in gpu] == ["record"]
    assert len(arriving) == 2
    assert arriving.wait().tolist() == [[0, 1, 2], [3, 4, 5]]
    assert [line.split()[0] for line in gpu] == ["record", "wait"]
