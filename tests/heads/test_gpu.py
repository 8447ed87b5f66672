"""A GPU's way of training, by imitation: what is drawn, captured and replayed there, run on a CPU."""

import warnings
from collections import Counter
from dataclasses import replace

import pytest
import torch
from drawn import DEV, QUICK, TEST, TRAIN, seeds
from torch.utils._python_dispatch import TorchDispatchMode

from heads import gpu
from heads import train as training
from heads.fitted import blank
from heads.metrics import auc_roc
from heads.models import HEADS
from heads.rows import Feed, Once, Scaling, shuffled
from heads.settings import seeded
from heads.stack import Stack, StackedAdamW
from heads.train import fit

CPU = torch.device("cpu")
# a GPU has to wait for these, whose answer decides what is launched next, or how large a tensor is
WAITS = {"aten._local_scalar_dense", "aten.nonzero", "aten.masked_select", "aten.equal", "aten.is_nonzero"}
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
    monkeypatch.setattr(gpu.Replayed, "__call__", lambda self, step, *inputs: step(*inputs))
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


class Waits(TorchDispatchMode):
    """Counts what a GPU would be waited for with."""

    def __init__(self):
        super().__init__()
        self.seen = Counter()

    def __torch_dispatch__(self, operator, types, given=(), named=None):
        name = operator.overloadpacket._qualified_op_name.replace("::", ".")
        if name in WAITS or (name == "aten.index" and any(i is not None and i.dtype == torch.bool for i in given[1])):
            self.seen[name] += 1
        return operator(*given, **(named or {}))


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


def test_a_step_that_cannot_be_captured_runs_as_it_is(imitated, monkeypatch):
    def fails(step, inputs):
        raise RuntimeError("operation not permitted when stream is capturing")

    expected = logits("late", seeds(SHORT, 2))
    monkeypatch.setattr(gpu, "capture", fails)
    with pytest.warns(RuntimeWarning, match="steps are not captured, which is slower: operation not permitted"):
        assert torch.equal(logits("late", seeds(SHORT, 2)), expected)


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
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)  # rounding; test_optim has torch's own


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
    assert gpu.budget(torch.device("cuda"), 0) == 2 << 30
    on_gpu = training._stacks("early", *dims, runs, torch.device("cuda"), torch.bfloat16)
    assert max(map(len, on_gpu)) < cut  # eight bytes more a value: rounded copies, and the update of unequal rates


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
    trained.epoch(feed, 1)  # warms up
    torch.cuda.set_sync_debug_mode("error")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
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
