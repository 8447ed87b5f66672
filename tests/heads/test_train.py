"""Training many runs at once: what a run gives is its own affair, and dev alone stops it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from heads import train as training
from heads.metrics import auc_roc
from heads.mlp import DropoutNoise, StackedLinear
from heads.models import HEADS
from heads.rows import BLOCK, Feed, Rows, Scaling
from heads.settings import HeadSettings, seeded
from heads.stack import StackedAdamW, balance_weights
from heads.train import Fitted, fit

TEXT, IMAGE = 6, 10
QUICK = HeadSettings(hidden=8, batch_size=32, max_epochs=4, min_steps=1, patience=4)


def rows(count, seed, signal="both"):
    """Memes whose label text and image tell together: by their sum, by their product ("xor"), or not at all."""
    draw = np.random.default_rng(seed)
    says, shows = draw.integers(0, 2, (2, count)) * 2 - 1
    score = {"both": says + shows + draw.normal(size=count), "xor": says * shows, "none": draw.normal(size=count)}
    text, image = draw.normal(size=(count, TEXT)), draw.normal(size=(count, IMAGE))
    text[:, 0] += 3 * says
    image[:, 0] += 3 * shows
    return Rows(text.astype("f"), image.astype("f"), (score[signal] > 0).astype(int))


TRAIN, DEV, TEST = rows(200, 0), rows(80, 1), rows(80, 2)


def auc(fitted, test):
    return auc_roc(fitted.logits(test), test.labels())


@settings(deadline=None, max_examples=12)
@given(head=st.sampled_from(list(HEADS)), data=st.data())
def test_a_run_in_a_stack_equals_that_run_alone(head, data):
    one = st.builds(
        HeadSettings,
        hidden=st.sampled_from([4, 8]),
        depth=st.integers(1, 2),
        dropout=st.sampled_from([0.0, 0.3, 0.8]),
        learning_rate=st.sampled_from([1e-3, 1e-2]),
        weight_decay=st.sampled_from([0.0, 5.0]),
        batch_size=st.sampled_from([32, 64]),
        min_steps=st.sampled_from([1, 8]),
        max_epochs=st.integers(1, 4),
        patience=st.integers(1, 3),
        balance=st.sampled_from(["none", "pos_weight", "undersample"]),
        seed=st.integers(0, 99),
    )
    runs = data.draw(st.lists(one, min_size=2, max_size=4))
    stacked = fit(head, TRAIN, DEV, runs, precision="float32")
    for place, run in enumerate(runs):
        alone = fit(head, TRAIN, DEV, [run], precision="float32")
        assert stacked.best_epoch[place] == alone.best_epoch[0]
        # float32 rounding over a hundred steps; another run's mask or order changes the second digit
        torch.testing.assert_close(stacked.logits(TEST)[place], alone.logits(TEST)[0], rtol=1e-3, atol=1e-4)


def test_runs_of_other_seeds_differ():
    logit = fit("early", TRAIN, DEV, [QUICK, replace(QUICK, seed=1)]).logits(TEST)
    assert (logit[0] - logit[1]).abs().max() > 0.01


def test_splitting_a_stack_for_memory_changes_nothing(monkeypatch):
    runs = [replace(QUICK, seed=seed) for seed in range(5)]
    together = fit("late", TRAIN, DEV, runs, precision="float32").logits(TEST)
    monkeypatch.setattr(training, "STACK_BYTES", 2 * (DropoutNoise.bytes_ahead + (1 << 16)))
    assert len(training._stacks("late", TEXT, IMAGE, runs, torch.device("cpu"), torch.float32)) == 3
    torch.testing.assert_close(fit("late", TRAIN, DEV, runs, precision="float32").logits(TEST), together)


@pytest.mark.parametrize("head", HEADS)
def test_the_same_call_gives_the_same_bytes(head):
    runs = [replace(QUICK, seed=seed, depth=1 + seed % 2) for seed in range(3)]
    first, second = (fit(head, TRAIN, DEV, runs).state() for _ in range(2))
    assert list(first) == list(second)
    assert all(first[name].numpy().tobytes() == second[name].numpy().tobytes() for name in first)


@pytest.mark.parametrize("head", HEADS)
def test_a_state_holds_all_that_scoring_needs(head):
    runs = [replace(QUICK, seed=seed, hidden=4 * (1 + seed % 2)) for seed in range(3)]
    fitted = fit(head, TRAIN, DEV, runs)
    again = Fitted.from_state(head, runs, fitted.state())
    assert torch.equal(again.logits(TEST), fitted.logits(TEST))
    assert torch.equal(again.dev_auc, fitted.dev_auc)
    assert torch.equal(again.history.dev_auc, fitted.history.dev_auc)


@pytest.mark.slow
def test_only_the_pair_solves_xor():
    train, dev, test = rows(600, 0, "xor"), rows(150, 1, "xor"), rows(300, 2, "xor")
    found = {head: auc(fit(head, train, dev, [HeadSettings(seed=seed) for seed in range(2)]), test) for head in HEADS}
    assert (found["early"] > 0.95).all()
    for head in ("text", "image", "late"):
        assert ((found[head] - 0.5).abs() < 0.12).all()  # 3.5 standard errors of 300 memes


def test_reported_dev_auc_is_that_of_the_logits():
    fitted = fit("early", TRAIN, DEV, [QUICK, replace(QUICK, seed=1)])
    assert torch.equal(fitted.dev_auc, auc(fitted, DEV))


def test_the_best_epoch_is_kept():
    fitted = fit("early", TRAIN, DEV, [replace(QUICK, seed=seed) for seed in range(3)], precision="float32")
    found = fitted.history.dev_auc.nan_to_num(-1).max(dim=0)
    assert fitted.best_epoch.tolist() == [epoch + 1 for epoch in found.indices.tolist()]
    torch.testing.assert_close(fitted.dev_auc.float(), found.values)


def test_each_run_stops_by_its_own_patience_and_length():
    runs = [
        replace(QUICK, patience=1, max_epochs=30, learning_rate=0.5),
        replace(QUICK, patience=30, max_epochs=3),
        replace(QUICK, patience=30, max_epochs=9),
    ]
    history = fit("text", rows(100, 0, "none"), rows(60, 1, "none"), runs).history.dev_auc
    epochs = history.isfinite().sum(dim=0).tolist()
    assert epochs[1:] == [3, 9]
    assert epochs[0] < 30
    stopped = history[: epochs[0], 0]
    assert stopped.argmax() == epochs[0] - 2  # the last epoch was the only one without a gain


def test_progress_counts_to_the_end():
    seen = []
    fit("text", TRAIN, DEV, [QUICK, replace(QUICK, hidden=4), replace(QUICK, max_epochs=2)], progress=seen.append)
    assert [now.done for now in seen] == sorted(now.done for now in seen)
    assert (seen[-1].done, seen[-1].runs, seen[-1].running) == (3, 3, 0)


def test_bfloat16_is_within_the_noise_of_seeds():
    runs = [replace(QUICK, seed=seed, hidden=32, max_epochs=15) for seed in range(8)]
    exact, rounded = (auc(fit("early", TRAIN, DEV, runs, precision=dtype), TEST) for dtype in ("float32", "bfloat16"))
    assert (exact - rounded).mean().abs() < exact.std()


def test_auto_is_bfloat16_where_the_processor_multiplies_it(monkeypatch):
    runs = [replace(QUICK, seed=0, hidden=32, max_epochs=2)]
    for native, precision in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda native=native: native, raising=False)
        other = {"bfloat16": "float32", "float32": "bfloat16"}[precision]
        auto, asked, else_ = (fit("early", TRAIN, DEV, runs, precision=each) for each in ("auto", precision, other))
        assert (auto.precision, else_.precision) == (precision, other)
        assert torch.equal(auto.logits(TEST), asked.logits(TEST))
        assert not torch.equal(auto.logits(TEST), else_.logits(TEST))


def test_adamw_is_torchs_with_each_runs_own_rate_and_decay():
    runs = [replace(QUICK, learning_rate=rate, weight_decay=decay) for rate, decay in ((1e-2, 0.0), (1e-3, 5.0))]
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(2, 5, 3, generator=generator), torch.randn(2, 3, generator=generator)]
    stacked = [param.clone() for param in start]
    ours = StackedAdamW(stacked, runs)
    alone = [[param[run].clone().requires_grad_() for param in start] for run in range(2)]
    theirs = [
        torch.optim.AdamW(
            [{"params": params[:1], "weight_decay": run.weight_decay}, {"params": params[1:], "weight_decay": 0}],
            lr=run.learning_rate,
        )
        for params, run in zip(alone, runs, strict=True)
    ]
    for step in range(20):
        if step == 10:  # from here on the second run alone
            stacked = [param[[1]] for param in stacked]
            ours.keep([1], stacked, runs[1:])
        # a transposed gradient, as products give it
        grads = [torch.randn(2, 3, 5, generator=generator).transpose(1, 2), torch.randn(2, 3, generator=generator)]
        ours.step(grads if step < 10 else [grad[[1]] for grad in grads])
        for run, (params, optimiser) in enumerate(zip(alone, theirs, strict=True)):
            for param, grad in zip(params, grads, strict=True):
                param.grad = grad[run].contiguous()
            optimiser.step()
    for param, expected in zip(stacked, alone[1], strict=True):
        torch.testing.assert_close(param[0], expected.detach(), rtol=1e-5, atol=1e-6)


def test_undersampling_draws_as_many_of_both_classes():
    label = torch.tensor([1] * 10 + [0] * 40)
    runs = [replace(QUICK, balance=balance) for balance in ("undersample", "pos_weight", "none")]
    weights = balance_weights(runs, label, [seeded(seed, "order") for seed in range(3)])
    assert weights[0, :10].sum() == weights[0, 10:].sum() == 10
    assert weights[1].tolist() == [4.0] * 10 + [1.0] * 40
    assert weights[2].tolist() == [1.0] * 50
    assert balance_weights([QUICK], label, [seeded(0, "order")]) is None


@pytest.mark.parametrize("balance", ["pos_weight", "undersample"])
def test_balancing_raises_the_rare_class(balance):
    draw = np.random.default_rng(0)
    rare = draw.random(400) < 0.15
    train = Rows(rows(400, 0).text_vec, rows(400, 0).image_vec, rare.astype(int))
    runs = [replace(QUICK, seed=seed, learning_rate=1e-2, max_epochs=20, patience=20) for seed in range(4)]
    plain, balanced = (
        fit("text", train, TEST, [replace(run, balance=way) for run in runs]) for way in ("none", balance)
    )
    shift = balanced.logits(TEST).mean() - plain.logits(TEST).mean()
    assert shift > 0.5  # the log odds of .15 are -1.7, those of balanced classes 0


def test_scaling_is_trains_alone_and_of_one_size():
    draw = np.random.default_rng(0)
    vec = (draw.normal(size=(BLOCK + 500, 24)) * draw.uniform(0.1, 9, 24) + 50).astype("f")
    scaled = Scaling.fit(vec)(torch.from_numpy(vec)).double()
    torch.testing.assert_close(scaled.mean(dim=0), torch.zeros(24).double(), rtol=0, atol=1e-4)
    # 16 / 24: all columns weigh the same, and the squared norm is 16 on the mean
    torch.testing.assert_close(scaled.var(dim=0, correction=0), torch.full((24,), 16 / 24).double(), rtol=1e-4, atol=0)


def test_constant_columns_become_zero_whatever_comes_later():
    vec = np.random.default_rng(0).normal(size=(50, 4)).astype("f")
    vec[:, 1], vec[:, 2] = 1e6, vec[:, 2] * 1e-30
    later = Scaling.fit(vec)(torch.tensor([[0.5, 7.0, 1e-29, 0.5]]))
    assert later[0, 1:3].tolist() == [0, 0]
    assert (later[0, [0, 3]] != 0).all()


def test_tensors_arrays_and_maps_train_alike(tmp_path):
    np.save(tmp_path / "text.npy", TRAIN.text_vec)
    mapped = replace(TRAIN, text_vec=np.load(tmp_path / "text.npy", mmap_mode="r"))
    tensors = replace(TRAIN, text_vec=torch.from_numpy(TRAIN.text_vec), label=torch.from_numpy(TRAIN.label))
    logits = [fit("early", train, DEV, [QUICK]).logits(TEST) for train in (TRAIN, mapped, tensors)]
    assert torch.equal(logits[0], logits[1])
    assert torch.equal(logits[0], logits[2])


def feed(count, cache_bytes):
    """Rows whose first column is their number."""
    vec = torch.arange(count).float()[:, None].expand(-1, 2).contiguous()
    same = Scaling(torch.zeros(2), torch.ones(2))
    none = Scaling(torch.zeros(0), torch.ones(0))
    return Feed(vec, vec[:, :0], (same, none), torch.device("cpu"), torch.float32, cache_bytes)


@pytest.mark.parametrize("cache_bytes", [1 << 30, 1])
def test_an_epoch_shows_each_run_every_meme_once_in_its_own_order(cache_bytes):
    count = 2 * BLOCK + 100
    made = feed(count, cache_bytes)
    orders = [seeded(seed, "order") for seed in range(2)]
    batches = list(made.epoch(1, replace(QUICK, batch_size=1000), orders))
    assert all(torch.equal(batch.text_vec[..., 0].long(), batch.row) for batch in batches)
    seen = torch.cat([batch.row for batch in batches], dim=1)
    assert torch.equal(seen.sort(dim=1).values, torch.arange(count).expand(2, -1))
    assert not torch.equal(seen[0], seen[1])
    torch.testing.assert_close(torch.cat([text[:, 0] for text, _ in made.in_order()]), torch.arange(count).float())


def test_rows_beyond_the_cache_are_never_held_at_once(monkeypatch):
    held = []
    load = Feed._load
    monkeypatch.setattr(Feed, "_load", lambda self, parts: held.append(len(parts)) or load(self, parts))
    made = feed(7 * BLOCK, 2 * BLOCK * 2 * 4)
    assert made.kept is None
    windows = [window[2] for window in made._windows(1)]
    assert held == [2, 2, 2, 1]
    assert not torch.equal(windows[0], next(iter(made._windows(2)))[2])


def test_rows_beyond_the_cache_train_as_well():
    count = 3 * BLOCK
    train, runs = rows(count, 0), [replace(QUICK, batch_size=256, max_epochs=2)]
    small, large = (fit("early", train, DEV, runs, cache_bytes=size) for size in (1, 1 << 30))
    assert auc(small, TEST).item() == pytest.approx(auc(large, TEST).item(), abs=0.03)


def test_a_small_split_is_passed_several_times():
    steps = list(feed(100, 1 << 30).epoch(1, replace(QUICK, batch_size=32, min_steps=9), [seeded(0, "order")]))
    assert len(steps) == 12  # three passes of four


@pytest.mark.parametrize("head", HEADS)
def test_whoever_empties_autocasts_cache_in_another_thread_changes_no_bit(head, monkeypatch):
    runs = [replace(QUICK, seed=seed) for seed in range(2)]
    alone = fit(head, TRAIN, DEV, runs, precision="bfloat16").state()
    forward = StackedLinear.forward

    def emptied(self, vec):
        torch.clear_autocast_cache()
        return forward(self, vec)

    monkeypatch.setattr(StackedLinear, "forward", emptied)
    beside = fit(head, TRAIN, DEV, runs, precision="bfloat16").state()
    assert [name for name, tensor in alone.items() if not torch.equal(tensor, beside[name])] == []


def test_a_run_that_diverges_keeps_its_start():
    wild = replace(QUICK, learning_rate=1e30)
    fitted = fit("text", TRAIN, DEV, [wild, QUICK])
    assert fitted.best_epoch[0] == 0
    assert fitted.logits(TEST).isfinite().all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": "wide"}, "unknown head wide; there are text, image, early, late"),
        ({"runs": []}, "no runs to train"),
        ({"precision": "half"}, "precision must be auto, float32 or bfloat16, not half"),
        ({"train": replace(TRAIN, label=TRAIN.label - 1)}, r"train: \d+ of 200 labels are neither 0 nor 1 \(-1 stands"),
        ({"train": replace(TRAIN, label=np.ones(200, int))}, "train: all 200 labels are 1; training needs both"),
        ({"dev": replace(DEV, label=np.zeros(80, int))}, "dev: all 80 labels are 0; training needs both classes"),
        ({"dev": replace(DEV, text_vec=DEV.text_vec[:, :4])}, "text_vec has 6 columns in train and 4 in dev"),
    ],
)
def test_what_cannot_be_trained_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        fit(**{"head": "text", "train": TRAIN, "dev": DEV, "runs": [QUICK]} | changes)


def test_scoring_vectors_of_another_width_is_refused():
    fitted = fit("text", TRAIN, DEV, [QUICK])
    with pytest.raises(ValueError, match="text vectors have 4 columns; the head was trained on 6"):
        fitted.logits(replace(TEST, text_vec=TEST.text_vec[:, :4]))


def test_rows_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="200 text vectors, 80 image vectors and 200 labels are not one meme each"):
        replace(TRAIN, image_vec=DEV.image_vec)


def test_all_faults_of_settings_are_named_at_once():
    message = (
        "hidden must be at least 1, not 0; dropout must be at least 0 and below 1, not 1.0; "
        "learning_rate must be above 0, not 0.0; weight_decay must be at least 0, not -1.0; "
        "balance must be one of none, pos_weight, undersample, not half"
    )
    with pytest.raises(ValueError, match=message):
        HeadSettings(hidden=0, dropout=1.0, learning_rate=0.0, weight_decay=-1.0, balance="half")


@pytest.mark.gpu
def test_cuda_gives_what_the_cpu_gives():
    runs = [replace(QUICK, seed=seed, dropout=0.0) for seed in range(3)]
    cpu, cuda = (fit("early", TRAIN, DEV, runs, device=device, precision="float32") for device in ("cpu", "cuda"))
    # TF32 is off by default: only the order of sums differs
    torch.testing.assert_close(cuda.logits(TEST), cpu.logits(TEST), rtol=1e-3, atol=1e-3)
