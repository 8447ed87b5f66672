"""Frozen text encoders against transformers itself, on tiny random models and on real weights."""

import functools
from pathlib import Path
from typing import Any

import pytest
import tiny_encoders
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_encoders import POSITIONS, TEXTS, text_folder
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

from experiments.scoring.vectors import text_item
from extract import encoders
from extract.encoders import catalogue, onednn
from extract.encoders.batches import Batches
from extract.errors import Refused

load = functools.partial(tiny_encoders.load, "text")

FP32 = 1e-5  # rounding of two float32 products in another order; a lost mask costs a thousand times as much (below)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("encoders")
    return {kind: text_folder(root / kind, kind) for kind in ("bert", "distilbert", "mpnet")}


load_once = functools.cache(load)  # Hypothesis calls a test many times


@functools.cache
def transformers_own(folder: Path) -> tuple[Any, Any]:
    return AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()


def reference(folder: Path, text: str, pooling: str, max_tokens: int = 32) -> Tensor:
    """transformers' own way, one text at a time: no padding, no mask."""
    tokenizer, model = transformers_own(folder)
    ids = tokenizer(text, truncation=True, max_length=max_tokens, padding=False)["input_ids"]
    with torch.inference_mode():
        output = model(input_ids=torch.tensor([ids]))
    if pooling == "pooler":
        return output.pooler_output[0]
    return output.last_hidden_state[0, 0] if pooling == "cls" else output.last_hidden_state[0].mean(dim=0)


@pytest.mark.parametrize(
    ("kind", "pooling"),
    [("bert", "cls"), ("bert", "mean"), ("bert", "pooler"), ("distilbert", "cls"), ("distilbert", "mean"),
     ("mpnet", "cls"), ("mpnet", "mean")],
)  # fmt: skip
def test_a_padded_batch_gives_what_transformers_gives_each_text_alone(
    folders: dict[str, Path], kind: str, pooling: str
) -> None:
    encoder = load(folders[kind], pooling)
    vectors = encoder.encode(encoder.prepare(TEXTS))
    alone = torch.stack([reference(folders[kind], text, pooling) for text in TEXTS])
    assert vectors.dtype == torch.float32
    assert vectors.shape == (len(TEXTS), encoder.dim)
    torch.testing.assert_close(vectors, alone, atol=FP32, rtol=0)


def test_a_lost_mask_would_be_seen(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load(folders["bert"])
    ids = encoder.prepare(["a"])
    right = encoder.encode(ids, pad_to=32)
    monkeypatch.setattr(encoder, "_on_device", torch.ones_like)
    wrong = encoder.encode(ids, pad_to=32)
    assert (right - wrong).abs().max() > 1000 * FP32


@settings(max_examples=10, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_a_vector_does_not_depend_on_its_batch(folders: dict[str, Path], texts: list[str], random) -> None:
    encoder = load_once(folders["bert"])
    ids = encoder.prepare(texts)
    together = encoder.encode(ids, pad_to=32)
    order = random.sample(range(len(ids)), len(ids))
    assert torch.equal(encoder.encode([ids[row] for row in order], pad_to=32), together[order])
    assert torch.equal(torch.cat([encoder.encode([row], pad_to=32) for row in ids]), together)


@pytest.mark.parametrize("kind", ["bert", "mpnet"])
def test_a_text_without_padding_gives_the_same_bits_beside_padded_ones(folders: dict[str, Path], kind: str) -> None:
    """transformers drops a mask without zeros: alone, such a text goes without one."""
    encoder = load(folders[kind], "mean")
    for length in (8, 32):
        full, short = [2, *range(5, 3 + length), 3], [2, 6, 7, 8, 3]
        (alone,) = encoder.encode([full], pad_to=length)
        assert torch.equal(encoder.encode([full, short, short], pad_to=length)[0], alone)


def test_on_a_gpu_texts_of_one_exact_length_share_batches_of_one_size_without_a_mask(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, seen = load(folders["bert"], "mean"), []
    encoder.row_by_row, encoder._length_step = False, 1  # as on a GPU
    own = encoder._model.forward
    monkeypatch.setattr(encoder._model, "forward", lambda ids, mask: seen.append((*ids.shape, mask)) or own(ids, mask))
    items = [text_item("a" * length) for length in (1, 3, 1, 3, 5, 3)]
    (together,) = Batches(encoder, 2).encode([items])
    assert sorted(seen) == [(2, 3, None), (2, 5, None), (2, 5, None), (2, 7, None)]  # short ones filled up
    (alone,) = Batches(encoder, 2).encode([items[4:5]])
    assert (together.vectors[4] == alone.vectors[0]).all()
    assert together.tokens.tolist() == [3, 5, 3, 5, 7, 5]


def test_preparing_neither_cuts_nor_pads(folders: dict[str, Path]) -> None:
    encoder = load(folders["bert"])
    assert encoder.prepare([]) == []
    assert [len(ids) for ids in encoder.prepare(["", "a", "ab", "a" * 90])] == [2, 3, 4, 92]


def test_a_long_text_is_cut_and_keeps_its_closing_special(folders: dict[str, Path]) -> None:
    encoder = load(folders["mpnet"], max_tokens=8)
    tokenizer = AutoTokenizer.from_pretrained(folders["mpnet"])
    (ids,) = encoder.prepare(["the quick brown fox"])
    assert encoder._cut(ids) == tokenizer("the quick brown fox", truncation=True, max_length=8)["input_ids"]
    torch.testing.assert_close(
        encoder.encode([ids])[0], reference(folders["mpnet"], "the quick brown fox", "cls", 8), atol=FP32, rtol=0
    )


def test_padding_to_less_than_a_text_is_refused(folders: dict[str, Path]) -> None:
    encoder = load(folders["bert"])
    with pytest.raises(ValueError, match="pad_to is 4, but a text has 5 word pieces"):
        encoder.encode(encoder.prepare(["a", "abc"]), pad_to=4)


@pytest.mark.parametrize(("kind", "limit"), [("bert", POSITIONS), ("distilbert", POSITIONS), ("mpnet", POSITIONS - 2)])
def test_more_tokens_than_positions_are_refused_before_any_work(
    folders: dict[str, Path], kind: str, limit: int
) -> None:
    located = catalogue.locate("text", str(folders[kind]))
    assert encoders.settings(located, dtype="float32", max_tokens=limit)["max_tokens"] == limit
    encoder = encoders.load(located, device="cpu", dtype="float32", max_tokens=limit)
    assert encoder.encode(encoder.prepare(["a" * 100])).isfinite().all()
    with pytest.raises(Refused, match=f"--max-tokens is {limit + 1}, but .* reads at most {limit} word pieces"):
        encoders.settings(located, dtype="float32", max_tokens=limit + 1)


def test_settings_name_what_changes_a_number(folders: dict[str, Path]) -> None:
    def of(pooling: str = "cls", dtype: str = "float32", max_tokens: int = 32) -> dict[str, str | int]:
        located = catalogue.locate("text", f"{folders['bert']}:{pooling}")
        return encoders.settings(located, dtype=dtype, max_tokens=max_tokens)

    assert of() == of()
    assert len({str(case) for case in (of(), of("mean"), of(dtype="bfloat16"), of(max_tokens=16))}) == 4
    assert of()["weights"] == catalogue.locate("text", str(folders["bert"])).weights


def test_bfloat16_stays_close(folders: dict[str, Path]) -> None:
    exact, short = (load(folders["bert"], dtype=dtype) for dtype in ("float32", "bfloat16"))
    ids = exact.prepare(TEXTS)
    assert short.encode(ids).dtype == torch.float32
    assert torch.cosine_similarity(short.encode(ids), exact.encode(ids)).min() > 0.999


def test_packed_layers_change_nothing_but_rounding(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    packed = load(folders["bert"])
    monkeypatch.setattr(onednn, "fits", lambda device, dtype: False)
    plain = load(folders["bert"])
    ids = packed.prepare(TEXTS)
    torch.testing.assert_close(packed.encode(ids), plain.encode(ids), atol=FP32, rtol=0)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gpu_vectors_equal_cpu_vectors(folders: dict[str, Path], dtype: str) -> None:
    here = load(folders["bert"], "mean", dtype)
    there = encoders.load(here.located, device="cuda", dtype=dtype, max_tokens=32)
    ids = here.prepare(TEXTS)
    atol = 1e-4 if dtype == "float32" else 0.05  # bfloat16 keeps 8 bits; values are about 1
    torch.testing.assert_close(there.encode(ids).cpu(), here.encode(ids), atol=atol, rtol=0)


# First values and norm of the [CLS] vector in float32, computed with transformers alone.
MINILM = {
    "its their character not their color that matters": (
        [0.10228, 0.09487, 0.16082, 0.16616, -0.00655, 0.15558, 0.39687, -0.23132], 7.6945),
    "": ([0.00604, 0.02769, 0.03154, -0.01943, 0.0145, 0.00688, 0.03832, -0.06801], 6.7053),
    "ünïcödé — 100% OK 😀": (
        [-0.05192, 0.17905, 0.0402, -0.00491, -0.04233, -0.16165, 0.26635, -0.04512], 7.1937),
}  # fmt: skip


@pytest.mark.weights
def test_minilm_gives_its_known_vectors() -> None:
    located = catalogue.locate("text", "all-MiniLM-L6-v2")
    encoder = encoders.load(located, device="cpu", dtype="float32", max_tokens=128)
    vectors = encoder.encode(encoder.prepare(list(MINILM)))
    for vector, (first, norm) in zip(vectors, MINILM.values(), strict=True):
        # The known values are rounded to five digits, the norm to four.
        torch.testing.assert_close(vector[:8], torch.tensor(first), atol=2e-5, rtol=0)
        assert vector.norm().item() == pytest.approx(norm, abs=2e-4)


@pytest.mark.weights
def test_mpnet_pads_right_and_tells_meanings_apart() -> None:
    located = catalogue.locate("text", "all-mpnet-base-v2:mean")
    encoder = encoders.load(located, device="cpu", dtype="float32", max_tokens=384)
    texts = ["a man is eating food", "someone has a meal", "the stock market fell sharply on monday afternoon"]
    ids = encoder.prepare(texts)
    together = encoder.encode(ids)
    torch.testing.assert_close(torch.cat([encoder.encode([row]) for row in ids]), together, atol=FP32, rtol=0)
    near, far = (torch.cosine_similarity(together[0], together[other], dim=0) for other in (1, 2))
    assert near > 0.6 > 0.2 > far
