"""A GPU's way of training, by imitation: what is drawn, captured and replayed there, run on a CPU."""

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest
import torch
from drawn import DEV, QUICK, TEST, TRAIN, seeds
from fake_gpu import Waits, fake_gpu

from heads import gpu, retrieval, stack
from heads import train as training
from heads.fitted import blank
from heads.gpu import budget
from heads.metrics import auc_roc
from heads.models import HEADS
from heads.rows import Feed, Once, Scaling, shuffled
from heads.settings import seeded
from heads.stack import Stack, StackedAdamW
from heads.train import fit

CPU = torch.device("cpu")
SHORT = replace(QUICK, max_epochs=3, min_steps=1, patience=3)


def capture(step, inputs):
    """As gpu.capture: nothing is run now; a replay reads the inputs' memory and writes the result's."""
    result = torch.zeros(len(inputs[0]))
    return lambda: result.copy_(step(*inputs)), result


@pytest.fixture
def imitated(monkeypatch):
    """Every processor is a GPU; returns how often steps were captured."""
    captured = []
    monkeypatch.setattr(gpu, "on", lambda device: True)
    monkeypatch.setattr(gpu, "finish", lambda device: None)
    monkeypatch.setattr(gpu, "budget", lambda device, elsewhere: elsewhere)
    monkeypatch.setattr(gpu, "capture", lambda step, inputs: captured.append(inputs) or capture(step, inputs))
    return captured


def logits(head, runs):
    return fit(head, TRAIN, DEV, runs, precision="float32").logits(TEST)


@pytest.mark.parametrize("head", ["early", "late"])
def test_replayed_steps_give_what_the_same_steps_give_one_by_one(imitated, monkeypatch, head):
    runs = [
        replace(SHORT, seed=seed, learning_rate=rate, depth=2, balance=balance, max_epochs=epochs)
        for seed, rate, balance, epochs in ((0, 1e-2, "none", 3), (1, 1e-3, "undersample", 1), (2, 1e-2, "none", 2))
    ]
    replayed = logits(head, runs)
    assert imitated
    monkeypatch.setattr(gpu.ReplayedStep, "__call__", lambda self, step, *inputs: step(*inputs))
    assert torch.equal(logits(head, runs), replayed)


def test_a_run_in_a_stack_equals_that_run_alone(imitated):
    runs = [replace(run, max_epochs=2 + run.seed, dropout=0.4 * run.seed) for run in seeds(SHORT, 2)]
    together = logits("early", runs)
    for place, run in enumerate(runs):
        torch.testing.assert_close(together[place], logits("early", [run])[0], rtol=1e-3, atol=1e-4)


def test_it_learns_as_well(imitated):
    runs = seeds(QUICK, 3)
    assert auc_roc(logits("early", runs), TEST.labels()).min() > 0.8


def test_stopped_runs_are_let_go_of_when_half_have_stopped(imitated, monkeypatch):
    kept = []
    keep = Stack.keep
    monkeypatch.setattr(Stack, "keep", lambda self, places: kept.append(list(places)) or keep(self, places))
    runs = [replace(run, max_epochs=1 + run.seed, patience=99) for run in seeds(SHORT, 4)]
    history = fit("text", TRAIN, DEV, runs, precision="float32").history.dev_auc
    assert kept == [[2, 3], [1]]
    assert history.isfinite().sum(dim=0).tolist() == [1, 2, 3, 4]  # what a stopped run did since is not told


def stack_and_feed(runs):
    scaling = Scaling.fit(TRAIN.text_vec), Scaling.fit(TRAIN.image_vec)
    feed = Feed(TRAIN.text_vec, TRAIN.image_vec, scaling, CPU, torch.float32, 1 << 20)
    return Stack(blank("late", 6, 9, runs), runs, TRAIN.labels(), CPU), feed


def test_nobody_waits_inside_an_epoch(imitated):
    runs = [replace(run, learning_rate=0.01 / (1 + run.seed)) for run in seeds(SHORT, 3)]
    trained, feed = stack_and_feed(runs)
    with Waits() as waits:
        for epoch in (1, 2):
            trained.epoch(feed, epoch)
    assert not waits.seen
    assert len(imitated) == 2  # the full batch and the short one at the end
    with waits:
        torch.ones(3)[torch.ones(3).bool()].sum().item()
    assert waits.seen  # else it would have seen nothing anyway


@pytest.mark.parametrize(("dtype", "weighed"), [(torch.float32, False), (torch.bfloat16, True)])
@pytest.mark.parametrize("head", HEADS)
def test_all_of_an_epoch_is_on_the_gpu_and_nobody_waits(monkeypatch, head, dtype, weighed):
    monkeypatch.setattr(gpu, "finish", lambda device: None)
    monkeypatch.setattr(gpu, "capture", lambda step, inputs: (lambda: None, step(*inputs)))
    # from labels on the CPU, whose values there are none of in here
    weights = partial(torch.ones, 2, len(TRAIN), device="cuda") if weighed else lambda: None
    monkeypatch.setattr(stack, "balance_weights", lambda *_: weights())
    sides = [(torch.zeros(5, dtype=torch.long), torch.zeros(len(TRAIN), dtype=torch.long))] * 2
    monkeypatch.setattr(retrieval, "by_label", lambda *_: iter(sides))
    runs = [replace(run, learning_rate=0.01 / (1 + run.seed), depth=2, dropout=0.3) for run in seeds(SHORT, 2)]
    there, (text, image) = torch.device("cuda"), HEADS[head].seen(TRAIN.text_vec, TRAIN.image_vec)
    scaling = [Scaling(torch.zeros(vec.shape[1]), torch.ones(vec.shape[1])) for vec in (text, image)]
    drawn = blank(head, text.shape[1], image.shape[1], runs)
    with fake_gpu(monkeypatch, drawn):
        feed = Feed(text, image, tuple(scaling), there, dtype, 1 << 20)
        trained = Stack(drawn, runs, TRAIN.labels(), there)
        trained.epoch(feed, 1)  # warms up: how many bytes dropout takes is asked once
        with Waits() as waits:
            for epoch in (2, 3):
                assert trained.epoch(feed, epoch).device.type == "cuda"
        assert not waits.seen
        if head != "retrieval":  # which asks how many neighbours vote
            assert trained.logits(feed).device.type == "cuda"
        with waits:
            trained.target.cpu()
        assert waits.seen  # else it would have seen nothing anyway
    assert not trained.replayed.fails
    assert sum(graph is not None for graph in trained.replayed.graphs.values()) == (0 if head == "retrieval" else 2)


def test_a_step_that_cannot_be_captured_runs_as_it_is(imitated, monkeypatch):
    def fails(step, inputs):
        raise RuntimeError("operation not permitted when stream is capturing")

    expected = logits("late", seeds(SHORT, 2))
    monkeypatch.setattr(gpu, "capture", fails)
    with pytest.warns(RuntimeWarning, match="steps are not captured, which is slower: operation not permitted"):
        assert torch.equal(logits("late", seeds(SHORT, 2)), expected)


@pytest.mark.parametrize("breaks", [False, True])
def test_a_capture_that_breaks_off_is_over_for_the_allocator(monkeypatch, breaks):
    diary = []

    class Graph:
        def replay(self):
            diary.append("replay")

        def capture_begin(self, pool, capture_error_mode):
            diary.append(("begin", pool, capture_error_mode))

        def capture_end(self):
            diary.append("end")
            if breaks:
                raise RuntimeError("operation failed due to a previous error during capture")

    def step(places):
        if breaks:
            raise RuntimeError("operation not permitted when stream is capturing")
        return places

    for name, fake in {"CUDAGraph": Graph, "graph_pool_handle": lambda: (0, 7), "current_device": lambda: 0}.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    for name, private in (("end", "_cuda_endAllocateToPool"), ("release", "_cuda_releasePool")):
        monkeypatch.setattr(torch._C, private, lambda *where, name=name: diary.append((name, *where)), raising=False)
    begun = ("begin", (0, 7), "thread_local")
    if breaks:
        with pytest.raises(RuntimeError, match="not permitted"):  # what was at fault, not what came of it
            gpu.capture(step, (torch.ones(2),))
        assert diary == [begun, "end", ("end", 0, (0, 7)), ("release", 0, (0, 7))]
    else:
        replay, result = gpu.capture(step, (torch.ones(2),))
        replay()
        assert result.tolist() == [1, 1]
        assert diary == [begun, "end", "replay"]


class Stream:
    """Writes down who waits for it; the last that was entered is the current one."""

    current: list["Stream"]
    made = 0

    def __init__(self, *_):
        Stream.made += 1
        self.diary = []

    def wait_stream(self, other):
        self.diary.append(other)

    def synchronize(self):
        self.diary.append("done")

    def __enter__(self):
        self.current.append(self)

    def __exit__(self, *_):
        self.current.pop()


def test_a_thread_has_one_stream_which_waits_and_is_waited_for(monkeypatch):
    default = Stream()
    monkeypatch.setattr(Stream, "current", [default], raising=False)
    monkeypatch.setattr(Stream, "made", 0)
    monkeypatch.setattr(gpu, "THREAD", threading.local())
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream.current[-1])
    there = torch.device("cuda")

    def own():
        with gpu.own_stream(there):
            first = Stream.current[-1]
            with gpu.own_stream(there):
                assert Stream.current[-1] is first
        return first

    first = own()
    assert first.diary[0] is default
    assert first.diary[-1] == "done"
    assert (own(), Stream.made, Stream.current) == (first, 1, [default])
    with gpu.own_stream(CPU):
        assert Stream.current == [default]
    with ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(Stream, "current", [default])
        assert pool.submit(own).result() is not first


def test_all_of_a_training_is_on_its_threads_stream(monkeypatch):
    inside = []

    @contextmanager
    def own_stream(device):
        inside.append(device)
        yield
        inside.append("done")

    monkeypatch.setattr(gpu, "own_stream", own_stream)
    for room, name in ((Scaling, "fit"), (Stack, "epoch"), (Stack, "finish")):
        own = getattr(room, name)
        monkeypatch.setattr(room, name, lambda *given, own=own: inside.append("works") or own(*given))
    fit("text", TRAIN, DEV, [SHORT])
    assert (inside[0], {*inside[1:-1]}, inside[-1]) == (CPU, {"works"}, "done")


def test_orders_are_each_generators_own(imitated):
    both, alone = shuffled(50, [seeded(1, "order"), seeded(2, "order")]), shuffled(50, [seeded(2, "order")])
    assert torch.equal(both.sort(dim=1).values, torch.arange(50).expand(2, -1))
    assert torch.equal(both[1], alone[0])
    assert not torch.equal(both[0], both[1])


@pytest.mark.parametrize("at_once", [False, True])
def test_runs_of_unequal_rates_take_one_update(monkeypatch, at_once):
    runs = [replace(QUICK, learning_rate=rate, weight_decay=decay) for rate, decay in ((1e-2, 0.0), (1e-3, 5.0))] * 8
    draw = torch.Generator().manual_seed(0)
    start = [torch.randn(16, 5, 3, generator=draw), torch.randn(16, 3, generator=draw)]
    params, calls = [each.clone() for each in start], []
    fused = torch._fused_adamw_
    monkeypatch.setattr(torch, "_fused_adamw_", lambda *given, **named: calls.append(1) or fused(*given, **named))
    adamw, expected = StackedAdamW(params, runs, at_once), [each.clone() for each in start]
    plain = StackedAdamW(expected, runs)
    for _ in range(10):
        grads = [torch.randn(each.shape, generator=draw) for each in start]
        calls.clear()
        adamw.step(grads)
        assert len(calls) == (2 if at_once else 32)  # weights and biases; before, of each run
        plain.step(grads)
    for ours, theirs in zip(params, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)  # rounding; test_stack has torch's own


def test_heads_share_one_copy_of_the_standardised_vectors(monkeypatch):
    made = []
    own = Feed._standardised
    monkeypatch.setattr(Feed, "_standardised", lambda self, vec, *how: made.append(vec.shape) or own(self, vec, *how))
    once = Once()
    shared = [fit(head, TRAIN, DEV, [SHORT], once=once).state() for head in HEADS]
    looked_at = [shape for shape in made if shape[1]]
    assert sorted(looked_at) == sorted(each.shape for side in (TRAIN, DEV) for each in (side.text_vec, side.image_vec))
    for head, state in zip(HEADS, shared, strict=True):
        alone = fit(head, TRAIN, DEV, [SHORT]).state()
        assert all(torch.equal(state[name], alone[name]) for name in state if not name.startswith("history"))


def test_a_stack_takes_no_more_than_the_memory_that_there_is(monkeypatch):
    runs, dims = seeds(replace(QUICK, hidden=128), 1000), (768, 2048)
    (cut,) = {len(members) for members in training._stacks("early", *dims, runs, CPU, torch.float32)[:-1]}
    # seven copies of 361 k parameters, 4 MiB of dropout's bytes, a batch and its units: 17.6 MB a run
    assert cut == training.STACK_BYTES // (2817 * 128 * 28 + 129 * 28 + 64 * (2816 * 4 + 128 * 12) + (1 << 22))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (16 << 30, 80 << 30))
    assert gpu.budget(torch.device("cuda"), 0) == 1 << 30
    on_gpu = training._stacks("early", *dims, runs, torch.device("cuda"), torch.bfloat16)
    assert max(map(len, on_gpu)) < cut  # eight bytes more a value: rounded copies, and the update of unequal rates


def test_streams_that_train_at_once_take_no_more_than_what_is_free(imitated, monkeypatch):
    """Whatever a fit asks room for, each stream's does: vectors of train and of dev, and a stack's runs."""
    taken = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (16 << 30, 80 << 30))
    monkeypatch.setattr(gpu, "budget", lambda *asked: taken.append(budget(*asked)) or taken[-1])
    monkeypatch.setattr(training, "Feed", lambda *how: taken.append(how[5]) or Feed(*how))
    fit("early", TRAIN, DEV, [SHORT], cache_bytes=budget(CPU, 0))
    assert len(taken) >= 3
    assert gpu.STREAMS * sum(taken) <= 16 << 30


def test_a_cpu_call_never_wakes_cuda(monkeypatch):
    def woken(*_, **__):
        raise AssertionError("CUDA was asked")

    for name in ("_lazy_init", "is_available", "is_bf16_supported", "mem_get_info", "Stream", "current_stream"):
        monkeypatch.setattr(torch.cuda, name, woken)
    fit("late", TRAIN, DEV, [SHORT])


def test_dropouts_bytes_of_a_step_are_drawn_at_once(imitated):
    runs = [replace(run, dropout=0.5, depth=2) for run in seeds(SHORT, 2)]
    trained, feed = stack_and_feed(runs)
    trained.epoch(feed, 1)
    assert trained.dropout_bytes == 2 * 2 * SHORT.hidden  # two branches of two layers
    assert trained.noise.given.shape[1] == 0  # a step has taken all that was drawn for it


@pytest.mark.gpu
def test_on_a_gpu_steps_are_captured_and_nobody_waits():
    runs = [replace(run, learning_rate=0.01 / (1 + run.seed)) for run in seeds(SHORT, 3)]
    there = torch.device("cuda")
    scaling = Scaling.fit(TRAIN.text_vec), Scaling.fit(TRAIN.image_vec)
    feed = Feed(TRAIN.text_vec, TRAIN.image_vec, scaling, there, torch.float32, 1 << 20)
    trained = Stack(blank("late", 6, 9, runs), runs, TRAIN.labels(), there)
    with gpu.own_stream(there), warnings.catch_warnings():
        warnings.simplefilter("error")
        trained.epoch(feed, 1)  # warms up
        torch.cuda.set_sync_debug_mode("error")
        try:
            trained.epoch(feed, 2)
            trained.epoch(feed, 3)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert sum(graph is not None for graph in trained.replayed.graphs.values()) == 2


@pytest.mark.gpu
@pytest.mark.parametrize("head", HEADS)
def test_on_a_gpu_heads_learn_as_well_as_on_a_cpu(head):
    runs = seeds(QUICK, 8)
    here, there = (fit(head, TRAIN, DEV, runs, device=device).logits(TEST) for device in ("cpu", "cuda"))
    here, there = (auc_roc(each, TEST.labels()) for each in (here, there))
    # other orders and masks are other luck: standard errors of the two means
    assert (here.mean() - there.mean()).abs() < 4 * ((here.var() + there.var()) / len(runs)).sqrt() + 0.005


@pytest.mark.gpu
def test_on_a_gpu_the_same_call_gives_the_same_bytes():
    first, second = (fit("late", TRAIN, DEV, seeds(SHORT, 3), device="cuda").state() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first if not name.startswith("history"))
