"""The head that remembers: its loss against a loop over anchors, its memory, and its vote."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from drawn import DEV, QUICK, TEST, TRAIN, seeds

from heads.fitted import Fitted
from heads.metrics import auc_roc
from heads.models import HEADS
from heads.retrieval import MARGIN, NEIGHBOURS, RetrievalHead, evenly, nearest
from heads.rows import Rows
from heads.train import fit

RUNS, KNOWN, HIDDEN = 2, 30, 4


def head():
    return RetrievalHead(3, 5, HIDDEN, 1, [torch.Generator().manual_seed(run) for run in range(RUNS)], 8)


def train(seed=0):
    generator = torch.Generator().manual_seed(seed)
    text, image = (torch.randn(KNOWN, dim, generator=generator) for dim in (3, 5))
    return text, image, torch.randint(0, 2, (KNOWN,), generator=generator)


def test_losses_and_gradients_are_those_of_a_loop_over_anchors():
    ours, (text, image, label) = head(), train()
    with torch.no_grad():
        ours.begin_epoch(iter([(text[:20], image[:20]), (text[20:], image[20:])]), label)
        bank = F.normalize(ours.hidden(text, image), dim=-1)
    row = torch.tensor([[4, 9, 17, 25, 11], [29, 0, 3, 8, 21]])
    target = label[row].float()
    losses = ours.losses(text[row], image[row], target, row)
    params = list(ours.parameters())
    gradients = torch.autograd.grad(losses.sum(), params)

    expected = []
    for run in range(RUNS):
        g = F.normalize(ours.hidden(text[row], image[row])[run], dim=1)
        logit = ours(text[row], image[row])[run]
        for anchor in range(row.shape[1]):
            meme = int(row[run, anchor])
            likeness = bank[run] @ bank[run, meme]
            others = [each for each in range(KNOWN) if each != meme]
            gold = max((each for each in others if label[each] == label[meme]), key=lambda each: likeness[each])
            hard = max((each for each in others if label[each] != label[meme]), key=lambda each: likeness[each])
            opposites = [
                g[anchor] @ g[each] for each in range(row.shape[1]) if target[run, each] != target[run, anchor]
            ]
            in_batch = sum(opposites) / max(len(opposites), 1)
            contrast = torch.relu(in_batch + g[anchor] @ bank[run, hard] - g[anchor] @ bank[run, gold] + MARGIN)
            log_loss = F.binary_cross_entropy_with_logits(logit[anchor], target[run, anchor])
            expected.append(log_loss / 2 + contrast / 2)
    torch.testing.assert_close(losses.flatten(), torch.stack(expected), rtol=1e-4, atol=1e-5)
    for ours_, theirs in zip(gradients, torch.autograd.grad(sum(expected), params), strict=True):
        torch.testing.assert_close(ours_, theirs, rtol=1e-3, atol=1e-5)


def test_a_meme_is_never_its_own_gold():
    every = F.normalize(torch.randn(1, 8, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    label = torch.tensor([0, 1] * 4)
    held = torch.tensor([0, 3, 4, 7])
    gold, hard = nearest(every, every[:, held], label, held)
    assert (held[gold[0]] != torch.arange(8)).all()
    assert (label[held[gold[0]]] == label).all()
    assert (label[held[hard[0]]] != label).all()


def test_the_nearest_are_those_of_a_plain_search(monkeypatch):
    monkeypatch.setattr("heads.retrieval.IN_CACHE", 7)
    generator = torch.Generator().manual_seed(1)
    every = F.normalize(torch.randn(2, 40, 3, generator=generator), dim=-1)
    label, held = torch.randint(0, 2, (40,), generator=generator), torch.arange(13) * 3
    gold, hard = nearest(every, every[:, held], label, held)
    cosine = every @ every[:, held].transpose(1, 2)
    same = label[:, None] == label[held]
    assert torch.equal(hard, cosine.masked_fill(same, -2).argmax(dim=2))
    itself = torch.arange(40)[:, None] == held
    assert torch.equal(gold, cosine.masked_fill(~same | itself, -2).argmax(dim=2))


def test_a_label_of_one_meme_or_none_in_the_bank_has_a_nearest_all_the_same():
    every = F.normalize(torch.randn(1, 6, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    label, held = torch.tensor([0, 1, 0, 0, 0, 1]), torch.tensor([0, 1, 2])
    gold, hard = nearest(every, every[:, held], label, held)
    assert held[gold[0, [1, 5]]].tolist() == [1, 1]
    assert held[hard[0, [0, 2, 3, 4]]].tolist() == [1, 1, 1, 1]
    gold, hard = nearest(every, every[:, [0, 2]], label, torch.tensor([0, 2]))
    assert hard[0, [0, 2, 3, 4]].tolist() == [0, 0, 0, 0]


def test_what_is_remembered_is_spread_over_train(monkeypatch):
    monkeypatch.setattr("heads.retrieval.MOST", 4)
    assert evenly(3, torch.device("cpu")).tolist() == [0, 1, 2]
    assert evenly(10, torch.device("cpu")).tolist() == [0, 2, 5, 7]


def test_nearer_and_higher_ranked_memes_weigh_more():
    ours = head()
    ours.memory = F.normalize(torch.tensor([[1.0, 0, 0, 0], [1, 1, 0, 0], [1, 3, 0, 0], [-1, 0, 0, 0]]), dim=1)[None]
    ours.memory_label = torch.tensor([[1, 0, 1, 0]], dtype=torch.int8)
    cosine = [1, 0.5**0.5, 0.1**0.5]
    share = (3 * cosine[0] + cosine[2]) / (3 * cosine[0] + 2 * cosine[1] + cosine[2])
    probability = torch.sigmoid(ours.vote(0, torch.tensor([[1.0, 0, 0, 0]]), [1, 3]))
    assert probability.flatten().tolist() == pytest.approx([2 / 3, (3 * share + 1) / 5])


@pytest.fixture(scope="module")
def fitted():
    return fit("retrieval", TRAIN, DEV, seeds(QUICK, 3), precision="float32")


def test_dev_chooses_between_votes_and_the_linear_output(fitted):
    [(_, trained)] = fitted.stacks
    kept = trained.neighbours.clone()
    areas = {}
    for count in (0, *NEIGHBOURS):
        trained.neighbours.fill_(count)
        areas[count] = auc_roc(fitted.logits(DEV), DEV.labels())
    trained.neighbours.copy_(kept)
    for run, count in enumerate(kept.tolist()):
        assert areas[max(count, 0)][run] == max(area[run] for area in areas.values()) == fitted.dev_auc[run]
        assert areas[abs(count)][run] == max(areas[each][run] for each in NEIGHBOURS)
    assert fitted.voting == (kept > 0).sum()


def test_examples_join_the_memory_and_all_runs_vote(fitted):
    [(_, trained)] = fitted.stacks
    more = replace(TEST, text_vec=TEST.text_vec[:7], image_vec=TEST.image_vec[:7], label=1 - TEST.label[:7])
    joined = fitted.remembering(more, [0, 3])
    [(_, its)] = joined.stacks
    kept = [place for place in range(len(TRAIN)) if place not in (0, 3)]
    text, image = (next(fitted.standardised(more))[side] for side in (1, 2))
    assert torch.equal(
        its.memory, torch.cat([trained.memory[:, kept], F.normalize(its.hidden(text, image), dim=-1)], 1)
    )
    assert its.memory_label.tolist() == [[*TRAIN.label[kept], *more.label]] * 3
    assert its.neighbours.tolist() == trained.neighbours.abs().tolist()
    assert joined.voting == 3
    assert trained.memory.shape[1] == len(TRAIN)  # what it was made from stays as it is
    again = Fitted.from_state("retrieval", joined.runs, joined.state())
    assert torch.equal(again.logits(TEST), joined.logits(TEST))


def test_a_memory_smaller_than_the_fewest_neighbours_votes_whole():
    few = Rows(*(vec[:4] for vec in (TRAIN.text_vec, TRAIN.image_vec)), np.array([0, 1, 0, 1]))
    fitted = fit("retrieval", few, DEV, seeds(QUICK, 1), precision="float32")
    assert fitted.stacks[0][1].neighbours.abs().tolist() == [4]
    assert fitted.remembering(few, [0, 1, 2, 3]).logits(TEST).isfinite().all()


def test_shares_are_those_of_the_vote(fitted):
    voting = fitted.remembering(replace(TRAIN, text_vec=TRAIN.text_vec[:0], image_vec=TRAIN.image_vec[:0], label=[]))
    for rows in (TEST, DEV):
        share, cosine = fitted.voters(rows)
        torch.testing.assert_close(share.sum(dim=1), torch.ones(len(rows)))
        assert (cosine.abs() <= 1 + 1e-5).all()
    [(_, one)] = fit("retrieval", TRAIN, DEV, seeds(QUICK, 1), precision="float32").remembering(TEST).stacks
    count = one.neighbours.item()
    text, image = next(voting.standardised(TEST))[1:]
    share, _ = one.voters(text, image)
    says_one = (share[0] * one.memory_label[0]).sum(1)
    expected = torch.sigmoid(one(text, image)[0])
    torch.testing.assert_close((says_one * count + 1) / (count + 2), expected)


def test_other_heads_remember_nothing():
    early = fit("early", TRAIN, DEV, seeds(QUICK, 1))
    for ask in (early.remembering, early.voters):
        with pytest.raises(ValueError, match="the head early remembers no memes"):
            ask(TEST)
    assert (early.voting, len(HEADS["early"].remembered(9)), len(HEADS["retrieval"].remembered(9))) == (0, 0, 9)


def test_the_memory_is_saved_with_the_head(fitted):
    state = fitted.state()
    assert state["run.1.memory"].shape == (len(TRAIN), QUICK.hidden)
    assert state["run.1.memory_label"].tolist() == TRAIN.label.tolist()
    fitted.stacks[0][1].neighbours.fill_(10)
    again = Fitted.from_state("retrieval", fitted.runs, fitted.state())
    assert torch.equal(again.logits(TEST), fitted.logits(TEST))
