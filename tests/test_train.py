"""fit(): runs that do not know of each other, each stopped and restored on its own."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn import DEV, QUICK, TEST, TRAIN, memes, seeds, state_bytes
from hypothesis import given, settings
from hypothesis import strategies as st

from heads.metrics import auc_roc
from heads.models import HEADS
from heads.rows import BLOCK
from heads.train import HeadSettings, Progress, Rows, fit


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Products this small gain nothing from a second thread, and wait for it where cores are shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


settings_of_a_run = st.builds(
    HeadSettings,
    hidden=st.sampled_from([4, 9]),
    depth=st.sampled_from([1, 2]),
    dropout=st.sampled_from([0.0, 0.3, 0.7]),
    input_dropout=st.sampled_from([0.0, 0.4]),
    learning_rate=st.sampled_from([1e-3, 1e-2, 5e-2]),
    weight_decay=st.sampled_from([0.0, 0.1, 5.0]),
    batch_size=st.sampled_from([32, 100]),
    min_steps=st.just(3),
    max_epochs=st.sampled_from([2, 5, 7]),
    patience=st.sampled_from([1, 2, 4]),
    balance=st.sampled_from(["none", "pos_weight", "undersample"]),
    seed=st.integers(0, 5),
)


@given(head=st.sampled_from([*HEADS]), runs=st.lists(settings_of_a_run, min_size=2, max_size=5), data=st.data())
@settings(max_examples=12, deadline=None, derandomize=True)  # rounding may flip an early stop, once in a blue moon
def test_a_run_in_a_stack_equals_that_run_alone(head, runs, data):
    place = data.draw(st.integers(0, len(runs) - 1))
    together = fit(head, TRAIN, DEV, runs, precision="float32")
    alone = fit(head, TRAIN, DEV, [runs[place]], precision="float32")
    assert together.best_epoch[place] == alone.best_epoch[0]
    # fp32 rounding over at most 28 steps; another run's masks or rate move logits by 0.1
    torch.testing.assert_close(together.logits(TEST)[place], alone.logits(TEST)[0], atol=1e-4, rtol=1e-4)
    assert together.dev_auc[place].item() == pytest.approx(alone.dev_auc[0].item(), abs=1e-3)


@pytest.mark.parametrize("cache_bytes", [1, 1 << 30], ids=["windows", "in memory"])
def test_the_same_call_gives_the_same_bytes(cache_bytes):
    train = memes(BLOCK + 500) if cache_bytes == 1 else TRAIN
    runs = seeds(replace(QUICK, input_dropout=0.3, max_epochs=2, batch_size=512, balance="undersample"), 2)
    first, again = (fit("late", train, DEV, runs, cache_bytes=cache_bytes) for _ in range(2))
    assert state_bytes(first) == state_bytes(again)
    assert not torch.equal(first.logits(TEST)[0], first.logits(TEST)[1])


def test_runs_stop_on_their_own_patience_and_keep_their_best_epoch():
    runs = [replace(QUICK, seed=seed, patience=patience) for seed, patience in ((0, 1), (1, 3), (2, 2), (3, 12))]
    fitted = fit("early", TRAIN, DEV, runs, precision="float32")
    ran = fitted.history.dev_auc.isfinite().sum(dim=0)
    assert ran.tolist() == [
        min(best + run.patience, run.max_epochs) for best, run in zip(fitted.best_epoch.tolist(), runs, strict=True)
    ]
    assert len(set(ran.tolist())) > 1
    scores = fitted.history.dev_auc.nan_to_num(-1)
    assert torch.equal(fitted.best_epoch, scores.argmax(dim=0) + 1)
    assert fitted.dev_auc.tolist() == pytest.approx(scores.max(dim=0).values.tolist(), abs=1e-6)
    assert torch.equal(fitted.dev_auc, auc_roc(fitted.logits(DEV), DEV.labels()))
    for name in ("train_loss", "dev_loss"):
        assert torch.equal(getattr(fitted.history, name).isfinite(), fitted.history.dev_auc.isfinite())


def test_what_is_restored_is_the_best_epoch_itself():
    # a rate that overshoots, so that the last epoch is not the best
    asked = replace(QUICK, learning_rate=0.2, patience=5)
    fitted = fit("early", TRAIN, DEV, seeds(asked, 3), precision="float32")
    for run, best in enumerate(fitted.best_epoch.tolist()):
        assert best < fitted.history.dev_auc[:, run].isfinite().sum()
        stopped = fit("early", TRAIN, DEV, [replace(asked, seed=run, max_epochs=best)], precision="float32")
        torch.testing.assert_close(fitted.logits(TEST)[run], stopped.logits(TEST)[0], atol=1e-4, rtol=1e-4)


def test_a_run_that_diverges_takes_nobody_along():
    runs = [QUICK, replace(QUICK, learning_rate=1e30)]
    fitted = fit("early", TRAIN, DEV, runs, precision="float32")
    alone = fit("early", TRAIN, DEV, runs[:1], precision="float32")
    torch.testing.assert_close(fitted.logits(TEST)[0], alone.logits(TEST)[0], atol=1e-4, rtol=1e-4)
    assert fitted.logits(TEST).isfinite().all()


@pytest.mark.parametrize(
    ("asked", "dims", "noise"),
    [
        (replace(QUICK, hidden=32, patience=8, max_epochs=20), (6, 9), 0.5),
        (HeadSettings(), (32, 64), 0.25),
    ],
    ids=["planted", "the shipped recipe"],
)
def test_only_early_fusion_solves_an_xor(asked, dims, noise):
    """600 memes to learn from, as many as the sample draws; text alone and image alone are coins."""
    train, dev, test = (memes(count, 1, "xor", dims, noise) for count in (600, 150, 1500))
    scores = {head: auc_roc(fit(head, train, dev, [asked]).logits(test), test.labels()).item() for head in HEADS}
    assert scores["early"] > 0.95
    for head in ("text", "image", "late"):
        assert abs(scores[head] - 0.5) < 0.1, scores


def test_memory_mapped_rows_in_windows_train_as_well_as_in_memory(tmp_path):
    plain = memes(2 * BLOCK + 300)
    vecs = []
    for name, vec in (("text", plain.text_vec), ("image", plain.image_vec)):
        np.save(tmp_path / f"{name}.npy", vec)
        vecs.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    runs, aucs, losses = seeds(replace(QUICK, max_epochs=3, batch_size=256), 2), [], []
    for train, cache_bytes in ((Rows(*vecs, plain.label), 1), (plain, 1 << 30)):
        fitted = fit("early", train, DEV, runs, cache_bytes=cache_bytes)
        aucs.append(auc_roc(fitted.logits(TEST), TEST.labels()))
        losses.append(fitted.history.train_loss[-1])
    assert aucs[0].min() > 0.85  # the label's own noise leaves about 0.92
    torch.testing.assert_close(aucs[0], aucs[1], atol=0.02, rtol=0)
    torch.testing.assert_close(losses[0], losses[1], atol=0.03, rtol=0)  # rows with others' labels add 0.25


def test_dev_does_not_standardise():
    shifted = Rows(DEV.text_vec * 3 + 5, DEV.image_vec, DEV.label)
    once = replace(QUICK, max_epochs=1)
    plain, other = fit("early", TRAIN, DEV, [once]), fit("early", TRAIN, shifted, [once])
    assert torch.equal(plain.logits(TEST), other.logits(TEST))
    np.testing.assert_allclose(plain.scaling[0].mean, TRAIN.text_vec.mean(axis=0), atol=1e-6)


def test_units_and_constant_columns_do_not_matter():
    def stretched(rows):
        constant = np.full((len(rows), 1), 1e6, np.float32)
        return Rows(np.hstack([rows.text_vec * 1000 - 7, constant]), rows.image_vec / 1000, rows.label)

    aucs = [
        auc_roc(fit("early", change(TRAIN), change(DEV), [QUICK]).logits(change(TEST)), TEST.labels()).item()
        for change in (lambda rows: rows, stretched)
    ]
    assert aucs[1] == pytest.approx(aucs[0], abs=0.03)  # a column more draws other weights


def test_bfloat16_products_cost_no_quality():
    fits = {name: fit("early", TRAIN, DEV, seeds(QUICK, 5), precision=name) for name in ("float32", "bfloat16")}
    logits = {name: fitted.logits(TEST) for name, fitted in fits.items()}
    assert not torch.equal(logits["float32"], logits["bfloat16"])
    assert all(param.dtype == torch.float32 for param in fits["bfloat16"].stacks[0][1].parameters())
    full, half = (auc_roc(logits[name], TEST.labels()).mean().item() for name in ("float32", "bfloat16"))
    assert half == pytest.approx(full, abs=0.01)


@pytest.mark.parametrize("balance", ["none", "pos_weight", "undersample"])
def test_balance_moves_the_mean_probability_to_one_half(balance):
    train, dev = memes(1500, share=0.1), memes(400, share=0.1)
    coin = replace(QUICK, balance=balance, dropout=0.0, max_epochs=3, learning_rate=1e-2)
    chances = fit("text", train, dev, [coin]).logits(dev).sigmoid()[0]
    label = dev.labels().bool()
    middle = (chances[label].mean() + chances[~label].mean()).item() / 2
    assert middle < 0.3 if balance == "none" else 0.4 < middle < 0.6


def test_progress_counts_runs_to_the_end():
    told: list[Progress] = []
    runs = [QUICK, replace(QUICK, hidden=5), replace(QUICK, patience=1)]
    fitted = fit("text", TRAIN, DEV, runs, progress=told.append)
    assert (told[-1].done, told[-1].running, told[-1].runs) == (3, 0, 3)
    assert [each.done for each in told] == sorted(each.done for each in told)
    assert max(each.dev_auc for each in told) == pytest.approx(fitted.history.dev_auc.nan_to_num(0).max().item())


def labelled(rows, *changes):
    label = rows.label.copy()
    for place, value in changes:
        label[place] = value
    return replace(rows, label=label)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"head": "both"}, "unknown head both; there are text, image, early, late"),
        ({"runs": []}, "no runs to train"),
        ({"train": labelled(TRAIN, (3, -1), (7, -1))},
         "train: 2 of 200 labels are neither 0 nor 1 (-1 stands for no label)"),
        ({"dev": labelled(DEV, (slice(None), -1))},
         "dev: 150 of 150 labels are neither 0 nor 1 (-1 stands for no label)"),
        ({"dev": labelled(DEV, (0, 2))}, "dev: 1 of 150 labels are neither 0 nor 1 (-1 stands for no label)"),
        ({"train": labelled(TRAIN, (slice(None), 1))}, "train: all 200 labels are 1; training needs both classes"),
        ({"dev": labelled(DEV, (slice(None), 0))}, "dev: all 150 labels are 0; training needs both classes"),
        ({"dev": Rows(np.zeros((0, 6)), np.zeros((0, 9)), np.zeros(0))}, "dev: no rows to score"),
        ({"dev": memes(150, dims=(6, 8))}, "image_vec has 9 columns in train and 8 in dev"),
        ({"precision": "float64"}, "precision must be auto, float32 or bfloat16, not float64"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_refused(asked, words):
    call = {"head": "early", "train": TRAIN, "dev": DEV, "runs": [QUICK]} | asked
    with pytest.raises(ValueError, match=r".*") as caught:
        fit(**call)
    assert str(caught.value) == words


@pytest.mark.gpu
@pytest.mark.parametrize("head", HEADS)
def test_a_gpu_gives_what_a_cpu_gives(head):
    # Dropout off: masks come from the device's own generator.
    runs = [replace(QUICK, dropout=0.0, seed=seed, patience=patience) for seed, patience in ((0, 2), (1, 12))]
    runs.append(replace(runs[0], hidden=5, balance="undersample"))
    ours = {device: fit(head, TRAIN, DEV, runs, device=device, precision="float32") for device in ("cpu", "cuda")}
    assert torch.equal(ours["cpu"].best_epoch, ours["cuda"].best_epoch)
    # fp32 sums in another order over at most 48 steps of AdamW
    torch.testing.assert_close(ours["cpu"].logits(TEST), ours["cuda"].logits(TEST), atol=1e-2, rtol=1e-2)


@pytest.mark.gpu
def test_a_gpu_solves_the_xor_twice_alike():
    train, dev, test = (memes(count, 1, "xor", (48, 128), 0.25) for count in (600, 150, 1500))
    first, again = (fit("early", train, dev, seeds(HeadSettings(), 3), device="cuda") for _ in range(2))
    assert auc_roc(first.logits(test), test.labels()).min() > 0.95
    assert state_bytes(first) == state_bytes(again)
