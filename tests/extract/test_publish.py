"""Publishing: what is refused, what is left out and listed, and what lies beside a published file."""

from dataclasses import replace

import pytest
import torch
from extraction_steps import encode_images, encode_texts, folder_of, image_split, picture, text_split
from fake_encoders import FakeImage, FakeText

from extract import store
from extract.errors import Failed, Refused
from extract.publish import publish, refuse_other_dataset


class Constant(FakeText):
    """A broken encoder."""

    def encode(self, batch):
        return torch.ones_like(super().encode(batch))


def test_different_contents_with_one_vector_are_refused(tmp_path):
    folder = folder_of(tmp_path)
    splits = [text_split("train", [(1, "a", 0), (2, "b", 1), (3, "b", 0)]), text_split("dev", [(4, "a", 0)])]
    encode_texts(folder, splits, encoder=Constant())
    publish([folder], splits[1:], {}, skip=False)  # of one content nothing can be said
    with pytest.raises(Failed) as failure:
        publish([folder], splits, {}, skip=False)
    assert str(failure.value) == (
        f"{folder.published('train')}: all 2 different texts have one and the same vector, so that text-encoder's "
        "weights or settings cannot be right; nothing of it was published. Mend them, or name another encoder"
    )
    assert not folder.published("train").exists()


def test_another_dataset_in_the_same_folder_is_refused(tmp_path):
    folder = folder_of(tmp_path)
    mine, other = text_split("train", [(1, "a", 0)]), text_split("train", [(2, "b", 0)])
    encode_texts(folder, [mine])
    publish([folder], [mine], {}, skip=False)
    with pytest.raises(Refused, match=r"train\.h5: another dataset, none of its 1 memes is among these\. Name another"):
        refuse_other_dataset(folder, [other])
    refuse_other_dataset(folder, [mine, other])


def test_bad_images_stop_only_their_split_after_all_else_is_kept(tmp_path):
    good = image_split(tmp_path, "dev", [picture(i) for i in range(3)])
    half = image_split(tmp_path, "train", [picture(5), picture(6)[:60], b"", picture(7)])
    folders = [folder_of(tmp_path, "image"), folder_of(tmp_path, "text")]
    splits = [half, good]
    bad = encode_images(folders[0], splits)
    encode_texts(folders[1], splits)
    with pytest.raises(Failed) as caught:
        publish(folders, splits, bad, skip=False)
    message = str(caught.value)
    path = folders[0].published("train")
    assert message.startswith(f"2 of 7 images cannot be decoded; {path} was not written.\n  train-1  ")
    assert f"train-2  {half.memes[2].image}  0 bytes: empty file" in message
    assert caught.value.status == 1
    assert not path.exists()
    assert len(store.read(folders[0].published("dev"))) == 3
    # mended: only the two are encoded
    mended = image_split(tmp_path, "train", [picture(5), picture(16), picture(17), picture(7)])
    encoder = FakeImage()
    assert encode_images(folders[0], [mended, good], encoder=encoder) == {}
    assert len(encoder.batches) == 1
    publish(folders, [mended, good], {}, skip=False)
    assert len(store.read(path)) == 4


def test_bad_images_too_many_for_a_message_are_all_in_a_file_until_they_are_mended(tmp_path):
    bad_ones = image_split(tmp_path, "train", [picture(0), *(bytes([number]) for number in range(25))])
    folder, listed = folder_of(tmp_path / "features", "image"), tmp_path / "features/to_mend.txt"
    with pytest.raises(
        Failed, match=rf"  \.\.\. and 5 more\n  all 25 are listed in {listed}\nEverything else is"
    ) as caught:
        publish([folder], [bad_ones], encode_images(folder, [bad_ones]), skip=False)
    lines = listed.read_text().splitlines()
    assert [line.split()[0] for line in lines] == [f"train-{number}" for number in range(1, 26)]
    assert all(f"  {line}\n" in str(caught.value) for line in lines[:20])
    mended = image_split(tmp_path, "train", [picture(number) for number in range(26)])
    publish([folder], [mended], encode_images(folder, [mended]), skip=False)
    assert not listed.exists()


def test_skipping_leaves_out_both_sides_of_a_meme_and_lists_it(tmp_path, monkeypatch):
    split = image_split(tmp_path, "train", [picture(1), b"", picture(2)])
    folders = [folder_of(tmp_path, "image"), folder_of(tmp_path, "text")]
    bad = encode_images(folders[0], [split])
    encode_texts(folders[1], [split])
    told: list[str] = []
    monkeypatch.setattr("extract.publish.say", told.append)
    publish(folders, [split], bad, skip=True)
    listed_in = "2 memes, 1 left out and listed in train.dropped.txt, written"
    assert told == [f"{folder.published('train')}: {listed_in}" for folder in folders]
    for folder in folders:
        features = store.read(folder.published("train"))
        assert features.ids.tolist() == ["train-0", "train-2"]
        assert features.dropped == [{"id": "train-1", "reason": f"{split.memes[1].image}  0 bytes: empty file"}]
        listed = (folder.path / "train.dropped.txt").read_text()
        assert listed == f"train-1\t{split.memes[1].image}  0 bytes: empty file\n"


def test_an_image_that_goes_while_the_run_is_on_is_named(tmp_path):
    split = image_split(tmp_path, "train", [picture(1), picture(2)])
    folder = folder_of(tmp_path, "image")
    gone = split.memes[1].image
    gone.unlink()
    with pytest.raises(Failed, match=rf"train-1  {gone}: cannot be read: No such file or directory\n"):
        publish([folder], [split], encode_images(folder, [split]), skip=False)


def test_nothing_usable_is_an_error_not_an_empty_file(tmp_path):
    split = image_split(tmp_path, "train", [b"", b"x"])
    folder = folder_of(tmp_path, "image")
    bad = encode_images(folder, [split])
    with pytest.raises(Failed, match="no meme of train can be used, all 2 are left out"):
        publish([folder], [split], bad, skip=True)


def test_other_columns_lie_beside_a_file_whose_bytes_they_do_not_change(tmp_path):
    folder, split = folder_of(tmp_path), text_split("train", [("1", "a", 0), ("2", "b", 1)])
    encode_texts(folder, [split])
    publish([folder], [split], {}, skip=False)
    path, plain = folder.published("train"), folder.published("train").read_bytes()
    assert store.columns(path) == {}
    assert not store.columns_path(path).exists()
    rich = [replace(split.memes[0], columns={"source": "web", "half": "\ud800"}), split.memes[1]]
    publish([folder], [replace(split, memes=rich)], {}, skip=False)
    assert store.columns(path) == {"1": {"source": "web", "half": "\ud800"}}
    assert path.read_bytes() == plain
    publish([folder], [split], {}, skip=False)
    assert not store.columns_path(path).exists()
