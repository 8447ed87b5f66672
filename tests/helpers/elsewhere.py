"""Places that are not this machine's disk: fsspec's memory, and a local server that speaks S3. A plugin for pytest."""

import uuid
from pathlib import Path

import pytest

from extract.places import Remote

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="session")
def s3_server():
    """Starts a server and points every S3 client of this process at it. Skips where moto is not installed."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    pytest.importorskip("s3fs")
    import boto3

    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": url}.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="memes")
        yield url
    server.stop()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Copies of files that lie elsewhere go here."""
    monkeypatch.setenv("MEMEFUSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def bucket(s3_server, cache) -> Remote:
    """An empty folder in a bucket."""
    return Remote(f"s3://memes/{uuid.uuid4().hex}")


@pytest.fixture
def memory(cache) -> Remote:
    """An empty folder in memory."""
    pytest.importorskip("fsspec")
    return Remote(f"memory://{uuid.uuid4().hex}")


@pytest.fixture(params=["memory", "bucket"])
def away(request) -> Remote:
    """An empty folder elsewhere: of either kind."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def upload():
    """Takes a local folder and a remote one: copies its files."""

    def copy(folder: Path, remote: Remote) -> Remote:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                (remote / str(path.relative_to(folder))).write_bytes(path.read_bytes())
        return remote

    return copy
