"""A dataset at a glance: what its files hold, what splits share, what to know of before encoding."""

import json

import numpy as np
import pytest
from PIL import Image

from experiments import explore, glance
from extract import errors


def image(path, size=(30, 20), mode="RGB", form="PNG", seed=0, **options):
    path.parent.mkdir(exist_ok=True)
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    Image.fromarray(pixels.squeeze() if channels == 1 else pixels, mode=None).save(path, form, **options)


def rows(folder, split, *memes):
    (folder / f"{split}.jsonl").write_text("".join(json.dumps(meme) + "\n" for meme in memes))


def meme(name, text="some words here", label=0, img=None):
    found = {"id": name, "img": img or f"img/{name}.png", "text": text}
    return found if label is None else found | {"label": label}


@pytest.fixture
def folder(tmp_path):
    """Two splits that share an id, a text and an image; every kind of file."""
    image(tmp_path / "img" / "1.png", seed=1)
    image(tmp_path / "img" / "2.png", form="JPEG", seed=2)
    exif = Image.Exif()
    exif[0x0112] = 6
    image(tmp_path / "img" / "3.jpg", size=(50, 10), form="JPEG", seed=3, exif=exif)
    (tmp_path / "img" / "4.png").write_bytes(b"")
    (tmp_path / "img" / "5.png").write_bytes(b"not an image at all")
    (tmp_path / "img" / "6.png").write_bytes((tmp_path / "img" / "1.png").read_bytes())
    image(tmp_path / "img" / "7.png", mode="RGBA", seed=7)
    rows(
        tmp_path, "train",
        meme("1", "twice said", 1), meme("2", "twice said", 0), meme("3", "once", 1, "img/3.jpg"), meme("4"),
        meme("9"),
    )  # fmt: skip
    rows(tmp_path, "dev_seen", meme("5", "", None), meme("6", "once", None), meme("1", "", None, "img/7.png"))
    return tmp_path


def test_headers_say_what_is_inside(folder):
    found = glance.look(folder, quiet=True)
    train, dev = found.splits
    assert [(p.format, p.mode, p.width, p.height) for p in train.pictures] == [
        ("PNG", "RGB", 30, 20),
        ("JPEG", "RGB", 30, 20),
        ("JPEG", "RGB", 10, 50),  # lies on its side, says EXIF
        ("", "", 0, 0),
    ]
    assert [p.reason for p in train.pictures] == ["", "", "", "empty file"]
    assert [p.reason for p in dev.pictures] == ["not an image of a known format", "", ""]
    assert dev.pictures[2].mode == "RGBA"
    assert glance.misnamed(found.splits) == {(".png", "JPEG"): 1}
    assert [str(fault) for fault in train.faults] == ["train.jsonl:5  9  img/9.png is missing"]


def test_what_splits_share_is_counted(folder):
    found = glance.look(folder, quiet=True)
    # no text is no shared text
    assert found.shared == [glance.Shared("train", "dev_seen", ids=1, texts=1, images=1)]
    assert found.both_labels == {"train": 2, "dev_seen": 0}


def test_files_of_one_size_need_not_be_equal(tmp_path):
    for name, byte in (("1", b"a"), ("2", b"b")):
        (tmp_path / "img").mkdir(exist_ok=True)
        (tmp_path / "img" / f"{name}.png").write_bytes(byte * 10)
    rows(tmp_path, "train", meme("1", "a"))
    rows(tmp_path, "dev", meme("2", "b"))
    assert glance.look(tmp_path, quiet=True).shared == []


def test_one_file_named_by_two_splits_is_shared(tmp_path):
    image(tmp_path / "img" / "1.png")
    rows(tmp_path, "train", meme("1", "a"))
    rows(tmp_path, "dev", meme("2", "b", img="img/1.png"))
    assert glance.look(tmp_path, quiet=True).shared == [glance.Shared("train", "dev", ids=0, texts=0, images=1)]


def test_a_page_about_it_says_so(folder):
    out = folder / "out"
    assert errors.run(lambda: explore.main(["--data", str(folder), "--out", str(out)])) == 0
    markdown = (out / "dataset.md").read_text()
    assert "| train | 4 | 2 | 2 | 0 | 50% | 2 |" in markdown
    assert "| dev\\_seen | 3 | 0 | 0 | 3 |  | 0 |" in markdown
    assert "- dev\\_seen has no labels: it can be predicted, not scored." in markdown
    assert "(2 in train): only the image can tell them apart." in markdown
    assert "| train and dev\\_seen | 1 | 1 | 1 |" in markdown
    for said in (
        "- train.jsonl:5  9  img/9.png is missing",
        "- train  4  4.png: empty file",
        "- dev\\_seen  5  5.png: not an image of a known format",
        "- 1 files named .png hold JPEG; they are read all the same.",
    ):
        assert " ".join(said.split()) in markdown
    html = (out / "dataset.html").read_text()
    assert html.count("<img ") == 3  # the fourth of train has no image to show
    assert html.count("<svg ") == 3


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_is_said(tmp_path, label):
    image(tmp_path / "img" / "1.png")
    rows(tmp_path, "train", meme("1", label=label))
    explore.main(["--data", str(tmp_path), "--out", str(tmp_path)])
    assert f"train holds label {label} only: AUC-ROC is undefined on it." in (tmp_path / "dataset.md").read_text()


def test_a_dataset_without_an_image_that_can_be_read_still_gives_a_page(tmp_path):
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / "1.png").write_bytes(b"")
    rows(tmp_path, "train", meme("1", ""))
    explore.main(["--data", str(tmp_path), "--out", str(tmp_path)])
    assert (tmp_path / "dataset.html").read_text().count("<svg ") == 2


def test_no_dataset_is_refused(tmp_path, capsys):
    assert errors.run(lambda: explore.main(["--data", str(tmp_path / "none"), "--out", str(tmp_path)])) == 2
    assert "no data folder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_page_of_ten_thousand_memes_is_small(tmp_path):
    """Its size hangs on what is drawn and shown, not on how many memes there are."""
    for number in range(40):
        image(tmp_path / "img" / f"{number}.png", size=(400 + number, 300), seed=number)
    for split, size in (("train", 8_500), ("dev", 500), ("test", 1_000)):
        memes = (meme(f"{split}{n}", "words " * (n % 40), n % 2, f"img/{n % 40}.png") for n in range(size))
        rows(tmp_path, split, *memes)
    explore.main(["--data", str(tmp_path), "--out", str(tmp_path)])
    assert (tmp_path / "dataset.html").stat().st_size < 2_000_000
