"""A place elsewhere answers like a path; what cannot be reached is said once, at once, in words."""

import socket
from pathlib import Path

import pytest

from extract import places, remote
from extract.errors import Refused
from extract.places import Remote, place

pytest_plugins = ["elsewhere"]


def test_a_url_is_elsewhere_and_all_else_is_a_path():
    assert place("data/memes") == Path("data/memes")
    assert place("file:///data/memes") == Path("/data/memes")
    assert place("s3://bucket/memes/") == Remote("s3://bucket/memes")
    assert Remote("s3://bucket/memes").resolve() == Remote("s3://bucket/memes").absolute() == place("s3://bucket/memes")
    train = place("s3://bucket/memes") / "train.h5"
    assert (train.name, train.stem, train.suffix) == ("train.h5", "train", ".h5")
    assert train.with_suffix(".dropped.txt") == train.parent / "train.dropped.txt"
    assert str(train.with_suffix("")) == "s3://bucket/memes/train"


def test_wrong_credentials_are_one_clear_error(bucket, monkeypatch):
    import moto.settings

    monkeypatch.setattr(moto.settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0.0)
    with pytest.raises(Refused, match=rf"^{bucket}: access is denied \(.+\); check the credentials, and what they may"):
        places.refuse_unreachable(bucket)


def test_a_server_that_does_not_answer_is_given_up_on(monkeypatch, s3_server):
    monkeypatch.setattr(places, "PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setitem(remote.OPTIONS, "s3", {"endpoint_url": url})
        with pytest.raises(Refused, match=r"^s3://b/x: no answer within 0 s; check the address, and AWS_ENDPOINT_URL$"):
            places.refuse_unreachable(Remote("s3://b/x"))


def test_a_file_tells_the_way_to_a_folder_and_no_full_name(tmp_path):
    (tmp_path / "linked").symlink_to(tmp_path / "project/features", target_is_directory=True)
    for folder, other, said in (
        (tmp_path / "project/features/bert", tmp_path / "project/data/memes", "../../data/memes"),
        (tmp_path / "linked/bert", tmp_path / "project/data", "../../data"),
        (tmp_path, "s3://bucket/data", "s3://bucket/data"),
        (Remote("s3://bucket/features"), tmp_path, str(tmp_path)),
        (tmp_path, Path("/no/folder/in/common"), "/no/folder/in/common"),
        (tmp_path, "", ""),
    ):
        assert places.seen_from(folder, str(other)) == said
        assert places.in_full(folder, said) == str(other)
    assert places.in_full(tmp_path, "/told/in/full") == "/told/in/full"
