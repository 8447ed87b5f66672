"""Where weights come from: the files of a folder and their digest, one file over HTTP, repositories of a hub.

A hub is asked through huggingface_hub: its cache first, then the network, if that answers.
"""

import hashlib
import http.client
import json
import os
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from extract import places
from extract.encoders.family import Incomplete
from extract.errors import Refused
from extract.files import replacing
from extract.machine import within
from extract.progress import bar, say

if TYPE_CHECKING:
    from torch import Tensor

PROCESSOR = "preprocessor_config.json"  # of transformers
PROCESSORS = (PROCESSOR, "processor_config.json")  # the first that there is holds
RECIPE = "encoder.json"  # beside a ResNet's state dict: how it differs from torchvision's
TOKENIZER = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt",
    "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model",
)  # fmt: skip
TOKENIZER_SETTINGS = {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"}  # each an object
VOCABULARIES = set(TOKENIZER) - TOKENIZER_SETTINGS - {"merges.txt"}
SPM = "spm.model"  # DeBERTa-v3's vocabulary: read, and so in a digest, only where there is no other
TRANSFORMERS_WEIGHTS = (
    "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
)  # fmt: skip
HUB_SMALL = [
    "config.json", *PROCESSORS, "tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json",
    "*.model", "modules.json", "*_Pooling/config.json", "sentence_bert_config.json",
    "config_sentence_transformers.json",
]  # fmt: skip
HUB_SAFETENSORS = ["model*.safetensors", "model.safetensors.index.json"]
# Asked for only where a model has nothing better; they are read with weights_only.
HUB_PICKLED = ["pytorch_model*.bin", "pytorch_model.bin.index.json"]
ANSWER_SECONDS = 3.0  # that a server has for a first small answer
SECONDS = 15  # without an answer before a download is given up


def digest(paths: list[Path]) -> str:
    """sha256 over the files' names and contents; files of one name are told apart by their folders."""
    count = Counter(path.name for path in paths)
    root = os.path.commonpath([path.parent for path in paths])
    names = [path.name if count[path.name] == 1 else path.relative_to(root).as_posix() for path in paths]
    return combine({name: places.digest(path) for name, path in zip(names, paths, strict=True)})


def combine(digests: dict[str, str]) -> str:
    """sha256 over files' names and their digests, in the order of the names."""
    lines = "".join(f"{name} {content}\n" for name, content in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def weight_files(paths: list[Path]) -> list[Path]:
    """Those of an encoder's files that hold tensors."""
    return [path for path in paths if path.suffix in (".safetensors", ".bin", ".pth", ".pt")]


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no such file. Raises Incomplete for anything else."""
    content = _read_json(path, {})
    if not isinstance(content, dict):
        raise Incomplete(f"has a {path.name} that is no JSON object")
    return content


def read_list(path: Path) -> list[dict[str, Any]]:
    """A JSON list of objects, likewise."""
    content = _read_json(path, [])
    if not isinstance(content, list) or not all(isinstance(each, dict) for each in content):
        raise Incomplete(f"has a {path.name} that is no JSON list of objects")
    return content


def _read_json(path: Path, absent: Any) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return absent
    except (OSError, ValueError, RecursionError) as error:
        raise Incomplete(f"has a {path.name} that cannot be read: {error}") from None


def weights_of(folder: Path, any_name: bool = False) -> list[Path]:
    """The file that transformers would read, with its shards; or, of a plain state dict, the only one there is."""
    for name in TRANSFORMERS_WEIGHTS:
        if (folder / name).exists():
            shards = read_json(folder / name).get("weight_map") if name.endswith(".json") else {}
            if not isinstance(shards, dict) or not all(isinstance(shard, str) for shard in shards.values()):
                raise Incomplete(f"has a {name} whose weight_map does not give a file's name for each tensor")
            paths = [folder / name, *(folder / shard for shard in sorted(set(shards.values())))]
            if missing := [path.name for path in paths if not path.is_file()]:
                raise Incomplete(f"lacks {', '.join(missing)}")
            return paths
    endings = ("*.safetensors", "*.pth", "*.pt") if any_name else ()
    paths = sorted(path for ending in endings for path in folder.glob(ending))
    if len(paths) > 1:
        raise Incomplete(f"has {len(paths)} weights files ({', '.join(path.name for path in paths)}), expected one")
    if not paths:
        raise Incomplete(f"has no weights ({' or '.join(endings) or 'model.safetensors or pytorch_model.bin'})")
    return paths


def not_finite(state: "Mapping[str, Tensor]") -> str:
    """How many tensors hold NaN or an infinite value, and the first one's name; empty if none does."""
    names = [name for name, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    return f"{len(names)} of {len(state)} tensors hold NaN or an infinite value, first: {names[0]}" if names else ""


class HubUnreachable(Exception):
    """A server did not answer, or not to the end; the text says why."""


def fetch_url(url: str, target: Path, sha256_prefix: str) -> None:
    """Download one file by rename, if its digest begins as it must.

    Raises HubUnreachable if the server does not answer, Refused if it sends another file or this disk takes none.
    """
    must_answer(url, lambda seconds: _head(url, seconds))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as part:
            with urllib.request.urlopen(url, timeout=SECONDS) as answer, part.open("wb") as file:
                _copy(answer, file, target.name)
            digest = places.digest(part)
            if not digest.startswith(sha256_prefix):
                raise Refused(f"{url}: expected a sha256 that begins with {sha256_prefix}, found {digest}")
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise HubUnreachable(f"{url}: {in_words(error)}") from None
    except OSError as error:
        raise Refused(f"cannot write {target}: {error}") from None


def must_answer(server: str, ask: Callable[[float], object]) -> None:
    """Send one small request. Raises HubUnreachable if it fails or takes longer than ANSWER_SECONDS.

    ask: sends the request; takes the seconds that it may wait.
    The deadline is our own: clients retry, and a name server that is out of reach can take half a minute to fail.
    """
    try:
        answered = within(ANSWER_SECONDS, lambda: ask(ANSWER_SECONDS))
    except urllib.error.HTTPError:
        return  # it answers; what it says is for the download to report
    except Exception as error:  # HTTP clients have errors of their own
        raise HubUnreachable(f"{server}: {in_words(error)}") from None
    if not answered:
        raise HubUnreachable(f"{server}: no answer in {ANSWER_SECONDS:.0f} seconds")


def in_words(error: Exception) -> str:
    """One line that says what kind of error, and what it says."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _head(url: str, seconds: float) -> None:
    with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds):
        pass


def _copy(answer: http.client.HTTPResponse, file: IO[bytes], label: str) -> None:
    total = int(answer.headers.get("Content-Length") or 0) or None
    with bar(None, label, total, "B", quiet=False, scale=True) as bytes_bar:
        while block := answer.read(1 << 20):
            file.write(block)
            bytes_bar.update(len(block))


def hub_snapshots(repositories: tuple[str, ...]) -> list[Path]:
    """The snapshots that the local hub cache holds of a model, under any of its names. No network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    snapshots = []
    for repository in repositories:
        try:
            snapshots.append(Path(snapshot_download(repository, local_files_only=True)))
        except LocalEntryNotFoundError as error:
            # Of a snapshot that was fetched in part, the caller sees whether the part is enough.
            if partial := getattr(error, "snapshot_path", None):
                snapshots.append(Path(partial))
        except HFValidationError as error:
            raise Refused(f"{repository!r} is no name of a repository: {error}") from None
    return snapshots


def hub_download(repository: str) -> Path:
    """Fetch a model's config, tokenizer and weights (safetensors where there are any); returns the snapshot.

    Raises HubUnreachable within seconds if the hub does not answer, Refused if it has no such model for this user.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
    from huggingface_hub.utils import get_session

    must_answer(constants.ENDPOINT, lambda seconds: get_session().head(constants.ENDPOINT, timeout=seconds))
    say(f"fetching {repository} from the hub")
    try:
        folder = Path(
            snapshot_download(repository, allow_patterns=HUB_SMALL + HUB_SAFETENSORS, etag_timeout=ANSWER_SECONDS)
        )
        if not list(folder.glob("model*.safetensors")):
            snapshot_download(repository, allow_patterns=HUB_SMALL + HUB_PICKLED, etag_timeout=ANSWER_SECONDS)
    except GatedRepoError:
        raise Refused(
            f"{repository}: its owners must grant access first. Ask on its page, then run: hf auth login"
        ) from None
    except RepositoryNotFoundError:
        raise Refused(f"{repository}: the hub has no such model, or it is private (hf auth login)") from None
    except Exception as error:  # its HTTP client, and so the kind of its errors, differs between versions
        raise HubUnreachable(in_words(error)) from None
    return folder


def hub_cache() -> Path:
    """Where huggingface_hub keeps what it fetched."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)
