"""Cells and words in one sequence: what is read, what trains, and that it learns what neither side tells alone."""

from pathlib import Path
from typing import Any

import pytest
import tiny_systems
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_encoders import resnet, resnet_folder, text_folder
from torch import Tensor, nn

from experiments.systems import encoders
from experiments.systems.encoders import Request
from experiments.systems.inputs import Inputs, collate
from experiments.systems.models import Branch, Classifier, MultimodalTransformer
from experiments.systems.published import SYSTEMS
from extract.encoders import catalogue
from extract.errors import Refused

FP32 = 1e-5  # rounding; a lost mask or position is a thousand times larger (seen below)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_folder(tmp_path_factory.mktemp("encoders") / "bert")


@pytest.fixture(scope="module")
def net(bert: Path) -> Any:
    return tiny_systems.transformer(bert).module.eval()


def batch(memes: Inputs) -> dict[str, Tensor]:
    rows = collate([memes[row] for row in range(len(memes))])
    return {name: rows[name] for name in ("image_vec", "input_ids", "attention_mask")}


@torch.inference_mode()
def test_it_reads_what_bert_reads_of_cells_that_stand_before_words(net: Any) -> None:
    """BERT's embeddings and layers, put together by hand for one meme without padding."""
    meme = tiny_systems.memes(1)[0]
    ids = torch.tensor([meme["input_ids"]])
    own = net.bert.embeddings
    assert (net.text_modality == 0).all()
    assert (net.image_modality == 1).all()
    cells = net.project(torch.from_numpy(meme["image_vec"]).reshape(tiny_systems.CELLS, -1)) + net.position.weight + 1.0
    words = own.word_embeddings(ids[0]) + own.position_embeddings.weight[: ids.shape[1]]
    joint = torch.cat([cells, words])
    total = joint + own.position_embeddings.weight[: len(joint)] + own.token_type_embeddings.weight[0]
    hidden = own.LayerNorm(total)[None]
    for layer in net.bert.encoder.layer:
        hidden = layer(hidden)
    found = net(torch.from_numpy(meme["image_vec"])[None], ids, torch.ones_like(ids))
    torch.testing.assert_close(found, net.classify(hidden[:, 0]), atol=FP32, rtol=0)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 12), st.integers(0, 40))
@torch.inference_mode()
def test_padding_changes_no_logit(net: Any, more: int, anything: int) -> None:
    whole = batch(tiny_systems.memes(3))
    ids, mask = whole["input_ids"], whole["attention_mask"]
    longer = torch.cat([ids, torch.full((3, more), anything)], dim=1)
    masked = torch.cat([mask, mask.new_zeros(3, more)], dim=1)
    torch.testing.assert_close(net(whole["image_vec"], longer, masked), net(**whole), atol=FP32, rtol=0)
    unmasked = torch.cat([mask, mask.new_ones(3, more)], dim=1)
    assert (net(whole["image_vec"], longer, unmasked) - net(**whole)).abs().max() > 100 * FP32


@torch.inference_mode()
def test_every_cell_every_word_and_their_places_count(net: Any) -> None:
    whole = batch(tiny_systems.memes(1))
    grid, ids = whole["image_vec"], whole["input_ids"]
    before = net(**whole)
    words = int(whole["attention_mask"].sum())
    by_cell = grid.unflatten(1, (tiny_systems.CELLS, -1))
    changed = [by_cell.index_fill(1, torch.tensor([cell]), 0.0) for cell in range(tiny_systems.CELLS)]
    changed.append(by_cell.roll(1, dims=1))
    other = [ids.index_fill(1, torch.tensor([word]), 30) for word in range(words)]
    found = [net(**whole | {"image_vec": each.flatten(1)}) for each in changed]
    found += [
        net(**whole | {"input_ids": each})
        for each in (*other, torch.cat([ids[:, 1:words].flip(1), ids], dim=1)[:, : ids.shape[1]])
    ]
    for logits in found:
        assert (logits - before).abs().max() > 100 * FP32


@pytest.mark.parametrize("train_text", [True, False])
def test_a_step_moves_exactly_what_is_meant_to_train(bert: Path, train_text: bool) -> None:
    model = tiny_systems.transformer(bert, train_text)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    rows = tiny_systems.memes(4)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    loss = Classifier(model.train())(labels=torch.from_numpy(rows.label), **batch(rows))["loss"]
    loss.backward()
    optimiser.step()
    for name, parameter in model.named_parameters():
        trains = train_text or not name.startswith("module.bert.")
        assert (parameter.grad is not None) == trains, name
        assert torch.equal(parameter, before[name]) != trains, name
    assert [name for name in before if "pooler" in name] == []


def test_a_frozen_bert_drops_nothing_in_training(bert: Path) -> None:
    net: Any = tiny_systems.transformer(bert, train_text=False).module.train()
    assert not [module for module in net.bert.modules() if module.training]
    assert net.dropout.training
    assert tiny_systems.transformer(bert, train_text=True).module.train().bert.training  # type: ignore[union-attr, operator]


def fitted(model: Branch, rows: Inputs, steps: int, learning_rate: float) -> list[float]:
    """The loss of every step, over all rows, without dropout."""
    classifier = Classifier(model)
    for module in classifier.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    optimiser = torch.optim.AdamW(classifier.parameters(), lr=learning_rate)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = classifier(labels=torch.from_numpy(rows.label), **batch(rows))["loss"]
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("classes", [1, 2])
@pytest.mark.parametrize("train_text", [True, False])
def test_eight_memes_are_learnt_by_heart(bert: Path, train_text: bool, classes: int) -> None:
    losses = fitted(tiny_systems.transformer(bert, train_text, classes), tiny_systems.memes(8), 60, 5e-3)
    assert losses[-1] < 0.1 * losses[0]


def test_it_learns_what_neither_text_nor_image_tells_alone(bert: Path) -> None:
    model = tiny_systems.transformer(bert)
    train, test = tiny_systems.memes(256), tiny_systems.memes(200, seed=1)
    assert abs(test.label.mean() - 0.5) < 0.1
    fitted(model, train, 80, 3e-3)
    with torch.inference_mode():
        right = (model.eval()(batch(test)).argmax(dim=1) == torch.from_numpy(test.label)).float().mean()
    assert right > 0.9


@pytest.mark.parametrize("kind", ["mpnet", "distilbert"])
def test_an_encoder_that_is_no_bert_is_refused(tmp_path: Path, kind: str) -> None:
    located = catalogue.locate("text", str(text_folder(tmp_path / kind, kind)))
    net = str(resnet_folder(tmp_path / "net", resnet()))
    asked = Request(text_encoder=located.name, image_encoder=net, train=("text",))
    for attempt in (
        lambda: MultimodalTransformer(located, channels=4, cells=9, classes=2, train_text=True),
        lambda: encoders.choose(SYSTEMS["multimodal-transformer"], asked, []),
    ):
        with pytest.raises(Refused) as refused:
            attempt()
        assert str(refused.value) == (
            f"{located.name} is of type {kind!r}; a grid's cells are read by a BERT, whose positions are absolute "
            "and can be given to each: take bert-base-uncased or all-MiniLM-L6-v2"
        )
