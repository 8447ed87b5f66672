"""Parts: used by the next run, encoded again where damaged, and swept; one extraction at a time in a folder."""

import errno
import fcntl
import os
from pathlib import Path

import pytest
from extraction_steps import check_published, encode_texts, folder_of, text_split
from fake_encoders import FakeText

from extract import engine, inspect
from extract.encoders import batches
from extract.errors import Refused
from extract.plan import Item, by_length, cut
from extract.publish import publish


def test_parts_of_an_unfinished_run_are_used_and_then_swept_away(tmp_path):
    folder = folder_of(tmp_path)
    split = text_split("train", [(i, "x" * i, 0) for i in range(10)])
    items = by_length([Item(meme.text_content, meme.text) for meme in split.memes])
    engine.write_parts([(cut(items, 3)[:2], batches.Batches(FakeText(), 2), folder)])
    assert sorted(encode_texts(folder, [split])) == ["x" * i for i in range(6, 10)]  # in threads
    publish([folder], [split], {}, skip=False)
    check_published(folder, split)
    assert sorted(os.listdir(folder.path)) == ["train.h5"]


def test_a_damaged_part_is_encoded_again(tmp_path):
    folder = folder_of(tmp_path)
    split = text_split("train", [(1, "a", 0), (2, "b", 1)])
    encode_texts(folder, [split], rows=1)
    part = next(iter(sorted(folder.parts.iterdir())))
    part.write_bytes(part.read_bytes()[:-1] + b"?")
    assert len(encode_texts(folder, [split])) == 1
    publish([folder], [split], {}, skip=False)
    check_published(folder, split)


def test_parts_of_settings_that_nothing_is_published_of_are_swept_away(tmp_path):
    folder, given_up, older = folder_of(tmp_path), folder_of(tmp_path, max_tokens=64), folder_of(tmp_path, weights="v")
    splits = [text_split("train", [(1, "a", 0), (2, "b", 1)]), text_split("dev", [(3, "c", 0), (4, "d", 0)])]
    for other in (given_up, older):
        encode_texts(other, splits)
    publish([older], splits[1:], {}, skip=False)  # train's parts are yet to be published
    encode_texts(folder, splits[:1])
    publish([folder], splits[:1], {}, skip=False)
    assert [path.name for path in (folder.path / ".parts").iterdir()] == [older.parts.name]
    assert encode_texts(older, splits) == []


def test_hidden_files_of_other_systems_are_no_features(tmp_path, capsys):
    folder, split = folder_of(tmp_path), text_split("train", [(1, "a", 0), (2, "b", 1)])
    folder.parts.mkdir(parents=True)
    strangers = [folder.path / "._train.h5", folder.parts / "._part.h5"]  # as macOS leaves on network shares
    for stranger in strangers:
        stranger.write_bytes(b"Mac OS X")
    encode_texts(folder, [split])
    publish([folder], [split], {}, skip=False)
    check_published(folder, split)
    assert all(stranger.exists() for stranger in strangers)
    inspect.main([str(tmp_path)])
    assert "._" not in capsys.readouterr().out


def test_a_second_extraction_on_the_same_folder_is_refused(tmp_path):
    folder = folder_of(tmp_path)
    refusal = pytest.raises(Refused, match=rf"another extraction \(process {os.getpid()}\) is writing to ")
    with folder.locked(), refusal, folder.locked():
        pass
    with folder.locked():
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP])
def test_a_file_system_without_locks_is_not_taken_for_another_extraction(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    folder = folder_of(tmp_path)
    refusal = pytest.raises(
        Refused,
        match=rf"{folder.path} cannot be locked: {os.strerror(number)}; name a folder on another file system",
    )
    with refusal, folder.locked():
        pass


def test_a_folder_that_cannot_be_written_is_refused():
    nowhere = folder_of(Path("/proc/none"))  # where not even root can make a folder
    with pytest.raises(Refused, match=r"^/proc/none/text-encoder cannot be written: .*--features$"), nowhere.locked():
        pass
