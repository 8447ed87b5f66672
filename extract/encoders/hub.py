"""Model repositories of a hub, through huggingface_hub: its cache first, then the network, if that answers."""

import sys
from pathlib import Path

from extract.encoders.fetch import ANSWER_SECONDS, Unreachable, in_words, must_answer
from extract.errors import Refused

SMALL = [
    "config.json", "preprocessor_config.json", "tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json",
    "added_tokens.json", "*.model",
]  # fmt: skip
SAFETENSORS = ["model*.safetensors", "model.safetensors.index.json"]
# Asked for only where a model has nothing better; they are read with weights_only.
PICKLED = ["pytorch_model*.bin", "pytorch_model.bin.index.json"]


def cached(repositories: tuple[str, ...]) -> list[Path]:
    """The snapshots that the local hub cache holds of a model, under any of its names. No network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    found = []
    for repository in repositories:
        try:
            found.append(Path(snapshot_download(repository, local_files_only=True)))
        except LocalEntryNotFoundError as error:
            # Of a snapshot that was fetched in part, the caller sees whether the part is enough.
            if partial := getattr(error, "snapshot_path", None):
                found.append(Path(partial))
        except HFValidationError as error:
            raise Refused(f"{repository!r} is no name of a repository: {error}") from None
    return found


def download(repository: str) -> Path:
    """Fetch a model's config, tokenizer and weights (safetensors where there are any); returns the snapshot.

    Raises Unreachable within seconds if the hub does not answer, Refused if it has no such model for this user.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
    from huggingface_hub.utils import get_session

    must_answer(constants.ENDPOINT, lambda seconds: get_session().head(constants.ENDPOINT, timeout=seconds))
    print(f"fetching {repository} from the hub", file=sys.stderr)
    try:
        folder = Path(snapshot_download(repository, allow_patterns=SMALL + SAFETENSORS, etag_timeout=ANSWER_SECONDS))
        if not list(folder.glob("model*.safetensors")):
            snapshot_download(repository, allow_patterns=SMALL + PICKLED, etag_timeout=ANSWER_SECONDS)
    except GatedRepoError:
        raise Refused(
            f"{repository}: its owners must grant access first. Ask on its page, then run: hf auth login"
        ) from None
    except RepositoryNotFoundError:
        raise Refused(f"{repository}: the hub has no such model, or it is private (hf auth login)") from None
    except Exception as error:  # its HTTP client, and so the kind of its errors, differs between versions
        raise Unreachable(in_words(error)) from None
    return folder


def cache_folder() -> Path:
    """Where huggingface_hub keeps what it fetched."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)
