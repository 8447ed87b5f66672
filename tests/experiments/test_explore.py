"""The command: a page that says what to know of a dataset before encoding."""

import pytest
from memes_on_disk import image, meme, of_every_kind, rows

from experiments import explore
from extract import errors


@pytest.fixture
def folder(tmp_path):
    return of_every_kind(tmp_path)


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


def test_from_python_it_prints_nothing(folder, capsys):
    path = explore.explore(folder, folder / "out", images=False)
    assert path == folder / "out" / "dataset.html"
    assert "<img " not in path.read_text()
    assert capsys.readouterr() == ("", "")
