"""Batches to a GPU and vectors back, by imitation: no GPU is needed to see which buffer is used when."""

import numpy as np
import pytest
import torch

from extract.encoders import transfers
from extract.encoders.transfers import Arriving, Buffers, Upload


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


def test_batches_go_to_a_gpu_on_a_stream_of_their_own(gpu):
    upload = Upload(torch.device("cpu"))
    upload.streams = True
    buffer = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    there = upload(buffer)
    assert [line.split()[0] for line in gpu] == ["record", "stream"]  # nobody waits but the stream that computes
    assert there.data_ptr() == buffer.ctypes.data  # on a CPU `to` copies nothing: from here the GPU copies
    assert upload([buffer[0], buffer[1]]).tolist() == buffer.tolist()


def test_buffers_are_used_again_by_batches_of_their_shape(monkeypatch):
    made = []
    monkeypatch.setattr(transfers, "pinned", lambda *how: made.append(how) or torch.empty(how[0], dtype=how[1]))
    buffers = Buffers(torch.device("cuda"))
    shape, byte = (5, 4, 4, 3), np.dtype(np.uint8)
    first, second = buffers.take(shape, byte), buffers.take(shape, byte)
    assert not np.shares_memory(first, second)
    buffers.give(first)
    assert buffers.take(shape, byte) is first
    assert buffers.take((4, 4, 4, 3), byte).shape == (4, 4, 4, 3)
    assert made == [(shape, torch.uint8)] * 2 + [((4, 4, 4, 3), torch.uint8)]
    assert Buffers(torch.device("cpu")).take(shape, byte).shape == shape
    assert len(made) == 3


def test_on_a_cpu_an_array_is_not_copied_and_a_list_is_stacked():
    upload, array = Upload(torch.device("cpu")), np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert upload(array).data_ptr() == array.ctypes.data
    assert np.array_equal(upload(list(array)).numpy(), array)


class OnGpu(torch.Tensor):
    """A tensor that says that it lies on a GPU."""

    is_cuda = True


def test_vectors_come_back_without_waiting_until_they_are_asked_for(gpu):
    arriving = Arriving(torch.arange(6.0).view(2, 3).as_subclass(OnGpu))
    assert [line.split()[0] for line in gpu] == ["record"]
    assert len(arriving) == 2
    assert arriving.wait().tolist() == [[0, 1, 2], [3, 4, 5]]
    assert [line.split()[0] for line in gpu] == ["record", "wait"]
