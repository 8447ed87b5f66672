"""Which encoders are meant, and which splits they have in common, or a refusal that names what there is."""

import shutil
from pathlib import Path

import planted
import pytest
from tiny_encoders import hub_cache, two_tower_folder

from experiments import data as loading
from experiments.encoder_choice import choose, chosen
from experiments.search import trials
from extract.encoders import catalogue
from extract.errors import Refused
from extract.store import EncoderFolder, StoreError


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(Refused, match=r"It is empty.\nRun: python -m extract --data DIR --features "):
        loading.load(tmp_path)


def test_two_encoders_of_a_kind_must_be_named(tmp_path):
    planted.features(tmp_path)
    planted.features(tmp_path, names=("org--other", planted.IMAGE))
    with pytest.raises(Refused) as refused:
        loading.load(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path} holds 2 text encoders; name one with --text-encoder:\n"
        "  org--other (text: dev, test, train)\n"
        "  tiny-bert (text: dev, test, train)\n"
        "  tiny-resnet (image: dev, test, train)"
    )
    assert loading.load(tmp_path, text_encoder="org/other").text.name == "org--other"
    with pytest.raises(Refused, match=r"holds no image features of resnet50. It holds:\n  org--other \(text"):
        loading.load(tmp_path, "tiny-bert", "resnet50")


CLIP = "openai/clip-vit-base-patch32"


@pytest.mark.parametrize("pooling", ["", ":pooled", ":projected"])
@pytest.mark.parametrize("kind", ["text", "image"])
def test_the_name_that_extract_took_finds_the_tower_that_it_wrote(tmp_path, monkeypatch, kind, pooling):
    folder, _ = two_tower_folder(tmp_path / "clip", "clip")
    hub_cache(monkeypatch, tmp_path / "hub", CLIP, folder)
    there = dict(map(written, [("text", CLIP), ("text", f"{CLIP}:projected"), ("image", CLIP)]))
    there |= dict(map(written, [("image", f"{CLIP}:projected"), ("image", f"{CLIP}:mean")]))
    name, its = written((kind, CLIP + pooling))
    for asked in (CLIP + pooling, name):
        assert choose(there, kind, asked, tmp_path) == its
    assert [each.name for each in chosen(there, kind, f"{CLIP}+{CLIP}:projected", tmp_path)] == [
        f"openai--clip-vit-base-patch32{part}-{kind}" for part in ("", "-projected")
    ]


def written(encoder):
    """The folder that extract makes for an encoder, by its name."""
    kind, name = encoder
    located = catalogue.locate(kind, name)
    return located.slug, folder_of(located.slug, kind, located.pooling)


def folder_of(name, kind, pooling="cls"):
    return EncoderFolder(name, kind, pooling, dict.fromkeys(("dev", "train"), Path()))


def test_the_default_pooling_may_be_named():
    there = {"bert": folder_of("bert", "text"), "bert-mean": folder_of("bert-mean", "text", "mean")}
    assert [choose(there, "text", f"bert{pooling}", Path()).name for pooling in ("", ":cls", ":mean")] == [
        *("bert", "bert", "bert-mean")
    ]


def test_a_folder_called_so_comes_before_a_tower_of_that_name():
    there = {name: folder_of(name, "text") for name in ("org--bert", "org--bert-text", "org-bert")}
    assert {choose(there, "text", name, Path()).name for name in there} == set(there)


def test_names_that_are_lacking_or_mean_several_are_refused_with_what_is_there():
    there = {name: folder_of(name, "text") for name in ("org--bert", "org-bert")}
    there["clip-image"] = folder_of("clip-image", "image", "pooled")
    listed = "  org--bert (text: dev, train)\n  org-bert (text: dev, train)\n  clip-image (image: dev, train)"
    for name, says in (
        ("clip", "holds no text features of clip. It holds:"),
        ("org/bert", "holds 2 text encoders that org/bert may mean; name one as it is here with --text-encoder:"),
    ):
        with pytest.raises(Refused) as refused:
            choose(there, "text", name, Path("features"))
        assert str(refused.value) == f"features {says}\n{listed}"


def test_grids_are_never_offered_to_heads(tmp_path):
    planted.features(tmp_path)
    planted.features(tmp_path, names=(planted.TEXT, "resnet18-grid"))
    for split in planted.SIZES:
        planted.rewrite(tmp_path, "resnet18-grid", split, settings={"pooling": "grid"})
    assert loading.load(tmp_path).image.name == planted.IMAGE
    assert [data.image.name for data in trials.pairs(tmp_path, "all", "all")[0]] == [planted.IMAGE]
    for name in ("resnet18-grid", "resnet18:grid"):
        with pytest.raises(Refused) as refused:
            loading.load(tmp_path, image_encoder=name)
        assert str(refused.value) == (
            f"{name} holds grids of vectors, and a head takes one vector a meme.\n"
            "Name the same encoder without :grid, here and before that in python -m extract --image-encoder"
        )
    shutil.rmtree(tmp_path / planted.IMAGE)
    with pytest.raises(Refused, match=r"holds no image features. It holds:\n  resnet18-grid \(image grids: dev, test"):
        loading.load(tmp_path)


def test_a_text_encoder_is_no_image_encoder(tmp_path):
    with pytest.raises(Refused, match="holds no image features of tiny-bert"):
        loading.load(planted.features(tmp_path), image_encoder=planted.TEXT)


def test_dev_seen_stands_in_for_dev_and_every_test_split_is_read(tmp_path):
    sizes = {"train": 40, "dev_seen": 30, "test_unseen": 20, "test_seen": 20}
    data = loading.load(planted.features(tmp_path, sizes))
    assert [split.name for split in (data.dev, *data.tests)] == ["dev_seen", "test_seen", "test_unseen"]


def test_a_missing_dev_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(Refused) as refused:
        loading.load(planted.features(tmp_path, {"train": 40, "test": 20}))
    assert str(refused.value) == (
        "no features of dev for both encoders; dev decides when training stops, and test must not. There are:\n"
        "  tiny-bert: test, train\n  tiny-resnet: test, train\n"
        f"Run, with the same encoders: python -m extract --data DIR --features {tmp_path} --split dev"
    )


def test_stale_precision_is_named(tmp_path):
    planted.features(tmp_path)
    planted.rewrite(tmp_path, planted.TEXT, "dev", settings={"precision": "bfloat16"})
    with pytest.raises(StoreError) as error:
        loading.load(tmp_path)
    assert f"mixed up in {tmp_path / planted.TEXT}:" in str(error.value)
    assert ", text, 6 dims, precision float32\n  dev: fingerprint " in str(error.value)
    assert ", text, 6 dims, precision bfloat16\n" in str(error.value)


def test_another_encoders_file_in_the_folder_is_named(tmp_path):
    planted.features(tmp_path)
    (tmp_path / planted.TEXT / "test.h5").write_bytes((tmp_path / planted.IMAGE / "test.h5").read_bytes())
    with pytest.raises(StoreError, match=r"dev: fingerprint \w{12}, text, 6 dims, name tiny-bert\n") as error:
        loading.load(tmp_path)
    assert ", image, 9 dims, name tiny-resnet\n" in str(error.value)


def test_a_test_split_of_one_encoder_is_left_out_and_named(tmp_path):
    planted.features(tmp_path)
    (tmp_path / planted.IMAGE / "test.h5").unlink()
    data = loading.load(tmp_path)
    assert (data.tests, data.notes) == ([], ["test is left out: tiny-bert has it, tiny-resnet does not."])
