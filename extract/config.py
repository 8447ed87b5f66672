"""What an extraction is asked to do: defaults, units, the command line, and all faults of a request at once."""

import argparse
import os
from dataclasses import dataclass, fields
from pathlib import Path

from extract.errors import Refused
from extract.machine import DEVICES, DTYPES
from extract.places import Place, place

EXAMPLE = """\
examples:
  python -m extract --split all --device cuda
  python -m extract --data s3://bucket/memes --features s3://bucket/features --shard-rows 100000
  python -m extract --data data/my_memes --text-encoder all-MiniLM-L6-v2 --image-encoder resnet50-keras
  python -m extract --text-encoder all-MiniLM-L6-v2,all-mpnet-base-v2 --image-encoder resnet50-keras
  python -m extract --data /shared/memes --features /shared/features --engine ray --address auto
"""


@dataclass(frozen=True)
class ExtractConfig:
    """One extraction. Raises Refused, naming every fault, when it cannot be meant."""

    split: str = "all"  # "all" or NAME[,NAME]
    data: Place = Path("data/hateful_memes")  # folder, here or elsewhere, with <split>.jsonl or .parquet, and img/
    features: Place = Path("features")  # folder, here or elsewhere, that <encoder>/<split>.h5 go to
    text_encoder: str | tuple[str, ...] = "bert-base-uncased"  # NAME[:POOLING], a folder[:POOLING], several, or "none"
    image_encoder: str | tuple[str, ...] = "resnet50"  # likewise
    device: str = "auto"  # "auto", "cpu", "cuda" or "mps"
    dtype: str = "auto"  # of the encoders' arithmetic; vectors are stored as float32
    batch_size: int | None = None  # images a batch; texts: batch size x max tokens word pieces. None: by device
    max_tokens: int = 128  # word pieces, [CLS] and [SEP] included
    shard_rows: int = 1_000_000  # memes; a split with more is published in shards of this many
    on_error: str = "stop"  # "stop" or "skip", for rows and images that cannot be used
    compile: bool = False  # torch.compile the encoders (CUDA): slower to start, faster on many memes
    quiet: bool = False  # no progress bars
    engine: str = "local"  # "local", or "ray": Ray Data on a cluster
    address: str = "local"  # of the Ray cluster: "local" starts one on this machine, "auto", or "HOST:PORT"

    def __post_init__(self) -> None:
        faults = []
        named = {kind: self.encoders(kind) for kind in ("text", "image")}
        if not any(named.values()):
            faults.append("both encoders are none: nothing to do")
        for kind, names in named.items():
            if "none" in names:
                others = ", ".join(name for name in names if name != "none")
                faults.append(f"--{kind}-encoder names none beside {others}; none stands alone")
        if self.batch_size is not None and self.batch_size < 1:
            faults.append(f"--batch-size is {self.batch_size}, expected at least 1")
        if self.max_tokens < 3:
            faults.append(f"--max-tokens is {self.max_tokens}, expected at least 3: [CLS], one word piece, [SEP]")
        if self.shard_rows < 1:
            faults.append(f"--shard-rows is {self.shard_rows}, expected at least 1")
        if self.device == "cpu" and self.dtype == "float16":
            faults.append("--dtype float16 needs a GPU; on a CPU use bfloat16 or float32")
        if self.device == "mps" and self.engine == "ray":
            faults.append("--device mps is for this machine alone; leave --engine ray out")
        if self.address != "local" and self.engine != "ray":
            faults.append(f"--address {self.address} is a Ray cluster's; add --engine ray")
        if "://" in self.address:
            faults.append(f"--address is {self.address}, expected auto or HOST:PORT, on a machine of the cluster")
        if faults:
            raise Refused("; ".join(faults))

    def encoders(self, kind: str) -> tuple[str, ...]:
        """The encoders of a kind, "text" or "image", each once; empty where that modality is left out.

        A tuple of names, or "NAME,NAME"; a folder with a comma in its name is one.
        """
        named: str | tuple[str, ...] = getattr(self, f"{kind}_encoder")
        if isinstance(named, str):
            whole = "," not in named or os.path.isdir(os.path.expanduser(named))
            named = (named,) if whole else tuple(each.strip() for each in named.split(","))
        return () if tuple(named) == ("none",) else tuple(dict.fromkeys(named))

    @classmethod
    def from_args(cls, argv: list[str] | None = None) -> "ExtractConfig":
        """Read the command line."""
        return cls(**vars(_parser().parse_args(argv)))


def _parser() -> argparse.ArgumentParser:
    default = {field.name: field.default for field in fields(ExtractConfig)}
    parser = argparse.ArgumentParser(
        prog="python -m extract",
        description="Encode each meme once with frozen encoders; write vectors to FEATURES/<encoder>/<split>.h5.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(**default)
    add, rows = parser.add_argument, default["shard_rows"]
    add("--split", metavar="all|NAME[,NAME]", help="splits to encode (default: all there are)")
    add("--data", type=place, metavar="DIR", help=f"dataset: a folder or s3://... (default: {default['data']})")
    add("--features", type=place, metavar="DIR", help=f"where vectors go, likewise (default: {default['features']})")
    add("--text-encoder", metavar="E", help=f"name, folder or none; or E,E (default: {default['text_encoder']})")
    add("--image-encoder", metavar="E", help=f"name, folder or none; or E,E (default: {default['image_encoder']})")
    add("--device", choices=DEVICES, help="where to encode (default: auto)")
    dtypes = ("auto", *DTYPES)
    add("--dtype", choices=dtypes, help="arithmetic of the encoders (default: auto: bfloat16 where it is fast)")
    add("--batch-size", type=int, metavar="N", help="images a batch (default: by device)")
    add("--max-tokens", type=int, metavar="N", help=f"word pieces a text (default: {default['max_tokens']})")
    add("--shard-rows", type=int, metavar="N", help=f"memes a shard, in larger splits (default: {rows:,})")
    skip = "memes that cannot be used: stop (the default), or skip: leave them out and list them"
    add("--on-error", choices=("stop", "skip"), help=skip)
    add("--compile", action="store_true", help="torch.compile the encoders (CUDA)")
    add("--engine", choices=("local", "ray"), help="this process (the default), or Ray Data (memefuse[ray])")
    add("--address", metavar="A", help="Ray cluster: local (the default: this machine), auto or HOST:PORT")
    add("--quiet", action="store_true", help="no progress bars, for logs")
    return parser
