"""Results as typed records: what a run was and what it scored, and what a comparison of them found."""

import json
import math
import platform
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
from importlib import metadata
from pathlib import Path
from shlex import quote
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from extract.errors import Failed, Refused
from extract.files import write_text
from extract.store import EncoderIdentity

Kind = TypeVar("Kind")
NAN = float("nan")
NOT_IN_TRAIN = " without what train holds"  # after a split's name: its memes of which train holds no id, text or image
LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn")
CONCLUSIONS = ("gain", "loss", "unconfirmed gain", "unconfirmed loss", "none", "too few", "untested")


@dataclass(frozen=True)
class Record:
    """One run on one split: a line of runs.jsonl. NaN (null in the file) is a metric that is undefined."""

    head: str
    kind: str  # "head", "ensemble" or "reference"
    seed: int
    split: str
    memes: int  # with a label; 0 where the split was only predicted
    settings: dict[str, Any]
    best_epoch: int  # 1 is the first; 0 where there are no epochs
    threshold: float  # probability, tuned on dev
    temperature: float  # that logits were divided by; 1 unless fitted on dev
    metrics: dict[str, float]  # at threshold 0.5; empty where the split was only predicted
    tuned: dict[str, float]  # at `threshold`
    counts: dict[str, int]  # at 0.5: hits, false_alarms, misses, rest
    tuned_counts: dict[str, int]  # at `threshold`
    features: dict[str, str]  # fingerprint by encoder, text and image
    code: str  # version of this code
    seconds: float  # wall time to train all runs of the head together
    run: str  # names the comparison that it belongs to


@dataclass(frozen=True)
class Figure:
    """A metric over runs: mean and spread, and the interval of the mean over resampled memes. NaN where undefined."""

    mean: float
    sd: float = NAN  # over runs, ddof=1; NaN for a single run
    low: float = NAN
    high: float = NAN
    undefined: int = 0  # runs for which it is undefined


@dataclass(frozen=True)
class Row:
    """A head, the mean probability of its runs, or a reference on one split."""

    name: str
    kind: str  # "head", "mean", "ensemble" or "reference"
    split: str  # of Comparison.splits, or of Comparison.unseen
    seeds: int
    threshold: float  # tuned on dev, mean over seeds
    metrics: dict[str, Figure]  # at threshold 0.5
    tuned: dict[str, Figure]  # at `threshold`


@dataclass(frozen=True)
class Pair:
    """Two heads, or a head and a reference, on the same memes of one split."""

    split: str
    head: str
    against: str
    measure: str  # "auc_roc" or "accuracy"
    of_head: float
    of_against: float
    low: float  # of the difference
    high: float
    p: float  # DeLong for AUC-ROC, exact McNemar for accuracy
    p_holm: float  # corrected over all pairs of its table, of all measures and splits
    only_head: int = 0  # accuracy: memes that only the head gets right
    only_against: int = 0
    conclusion: str = "untested"  # one of CONCLUSIONS, from p_holm and the interval
    detectable: float = NAN  # the difference that one test at .05 shows on these memes and seeds with 80% power
    memes_needed: float = NAN  # memes with 80% power for the difference seen; NaN where no number of them would do
    undetectable: bool = False  # no difference is: it would have to be above 1

    @property
    def has_power(self) -> bool:
        """Whether it is known what these memes show."""
        return self.undetectable or not math.isnan(self.detectable)

    @property
    def difference(self) -> float:
        return self.of_head - self.of_against

    @property
    def turned(self) -> "Pair":
        """The same pair, seen from the other side."""
        opposite = {"gain": "loss", "loss": "gain"}
        shows = " ".join(opposite.get(word, word) for word in self.conclusion.split())
        return replace(
            self, head=self.against, against=self.head, of_head=self.of_against, of_against=self.of_head,
            low=-self.high, high=-self.low, only_head=self.only_against, only_against=self.only_head, conclusion=shows,
        )  # fmt: skip


@dataclass(frozen=True)
class Slice:
    """AUC-ROC of every head on some of a split's memes."""

    split: str
    name: str
    memes: int
    positive: int  # memes of label 1
    auc_roc: dict[str, Figure]


@dataclass(frozen=True)
class Ablation:
    """What a head loses on one split when one of its sides tells it nothing of the meme."""

    split: str
    head: str
    side: str  # "text" or "image"
    how: str  # "shuffled": among the split's memes; "mean": every vector is train's mean
    auc_roc: float  # with both sides as they are, mean over runs
    without: float  # mean over runs, and over shuffles
    low: float  # of what is lost: the 95% interval of the paired difference
    high: float

    @property
    def lost(self) -> float:
        return self.auc_roc - self.without

    @property
    def shown(self) -> bool:
        """Whether the interval says that something is lost: that the head uses this side."""
        return self.low > 0


@dataclass(frozen=True)
class SplitSize:
    """What a split holds."""

    name: str
    memes: int
    labelled: int
    positive: int  # memes of label 1
    texts: int  # distinct ones; memes without text count one each
    digest: str = ""  # sha256 over ids, labels and contents
    groups: int = 0  # of memes that share a text or an image, directly or through others
    in_train: dict[str, int] = field(default_factory=dict)  # memes whose "id", "text", "image" or "any" is in train
    sides: dict[str, str] = field(default_factory=dict)  # sha256 over ids, labels and one side's contents

    def same_memes(self, other: "SplitSize") -> bool:
        """Whether both hold the same ids and labels, and the same contents of every side that neither leaves out."""
        both = self.sides.keys() & other.sides.keys()
        if not both:  # an older version's, or one of texts alone and one of images
            return self.digest == other.digest
        return all(self.sides[side] == other.sides[side] for side in both)


@dataclass(frozen=True)
class Comparison:
    """All that comparison.md, .csv, .tex and .json show. Made from the same input, it is the same."""

    encoders: dict[str, EncoderIdentity]  # by side, "text" and "image"
    splits: list[SplitSize]
    seeds: int
    settings: dict[str, dict[str, Any]]  # by head, without the seed
    calibration: str  # "none" or "temperature"
    device: str  # that heads were trained on: "cpu" or "cuda"
    precision: str  # of the products in their training: "bfloat16" or "float32"; scores are float32
    rows: list[Row]
    judged: list[str]  # the splits on which fusions were judged
    pairs: list[Pair]  # each fusion against the better single modality
    linear: list[Pair]  # each head against a logistic regression on what it sees; empty without references
    slices: list[Slice]
    notes: list[str]
    code: str
    versions: dict[str, str]  # of what trained and scored
    run: str = ""  # names this comparison in its folder's other files: a digest of all the above
    features: str = ""  # the folder that vectors were read from
    files: dict[str, str] = field(default_factory=dict)  # sha256 of the folder's other files, by name, but runs.jsonl
    unseen: list[SplitSize] = field(default_factory=list)  # what train does not hold of splits of which it holds a part
    other_pairs: list[Pair] = field(default_factory=list)  # all other pairs of heads, by AUC-ROC
    image_share: dict[str, float] = field(default_factory=dict)  # of dev, by head that weighs text and image
    ensemble: dict[str, int] = field(default_factory=dict)  # how often dev chose a head
    ablations: list[Ablation] = field(default_factory=list)  # of every head, on splits with both labels, if asked for
    elsewhere: list[str] = field(default_factory=list)  # splits that are another dataset's: nothing is judged on them

    def pair(self, head: str, against: str, split: str, measure: str = "auc_roc") -> Pair | None:
        """Return what was tested of two heads, seen from `head`; None where they were not."""
        for pair in [*self.pairs, *self.other_pairs]:
            if (pair.split, pair.measure) == (split, measure) and {pair.head, pair.against} == {head, against}:
                return pair if pair.head == head else pair.turned
        return None

    @classmethod
    def from_json(cls, text: str) -> "Comparison":
        """The inverse of `to_json`."""
        return revive(cls, json.loads(text))

    def to_json(self) -> str:
        return to_json(self)


@dataclass(frozen=True)
class Standing:
    """A head on the encoders that it looks at: a row of a leaderboard."""

    head: str
    text_encoder: str  # empty where the head does not look at texts
    image_encoder: str  # empty where it does not look at images
    dims: int  # of the vectors that it looks at
    seconds: float  # to encode a meme with these encoders, one after the other; NaN where one was not measured
    device: str  # that they were measured on; empty where one was not
    splits: dict[str, Row]  # by split: dev, and the labelled test splits
    level: bool  # whether the best on dev does not beat it

    @property
    def encoders(self) -> str:
        return " + ".join(name for name in (self.text_encoder, self.image_encoder) if name)

    @property
    def name(self) -> str:
        return f"{self.head}: {self.encoders}"

    def area(self, split: str) -> Figure:
        """AUC-ROC on a split."""
        return self.splits[split].metrics["auc_roc"]


@dataclass(frozen=True)
class Leaderboard:
    """Every head on every choice of encoders, on the same memes of one dataset."""

    dataset: str  # what to call it: its features folder's name
    features: str  # that folder
    encoders: dict[str, EncoderIdentity]  # by name; sums, too
    sizes: list[SplitSize]
    seeds: int
    settings: dict[str, dict[str, Any]]  # by head, without the seed
    dev: str  # the split that ranks
    judged: str  # the split on which the best is tested against every other: a test split, or dev
    standings: list[Standing]  # by AUC-ROC on dev, the best first
    pairs: list[Pair]  # the best against each other one, in their order, on `judged`; Holm-corrected among themselves
    notes: list[str]
    code: str
    versions: dict[str, str]
    run: str = ""  # a digest of all the others but the folder
    others: list[Pair] = field(default_factory=list)  # on dev and `judged`, the same head's best on other encoders
    # against each row; Holm-corrected on each split

    @property
    def level(self) -> list[Standing]:
        """The group that one may choose from: the best and those that it does not beat, cheapest first, the
        narrower first where costs are unknown."""
        group = [each for each in self.standings if each.level]
        return sorted(group, key=lambda each: (math.inf if math.isnan(each.seconds) else each.seconds, each.dims))

    @property
    def shown(self) -> list[str]:
        """Dev, and the judged split where that is another."""
        return list(dict.fromkeys((self.dev, self.judged)))

    @property
    def frontier(self) -> list[Standing]:
        """Those of known cost that no cheaper one reaches on dev, cheapest first."""
        best, front = -math.inf, []
        known = [each for each in self.standings if not math.isnan(each.seconds)]
        for each in sorted(known, key=lambda each: (each.seconds, -each.area(self.dev).mean)):
            if each.area(self.dev).mean > best:
                best = each.area(self.dev).mean
                front.append(each)
        return front


@dataclass(frozen=True)
class Across:
    """The rows that several leaderboards share, by their mean rank over datasets."""

    datasets: list[str]
    names: list[str]  # of rows, the best mean rank first
    auc_roc: list[list[float]]  # by row and dataset, on each dataset's judged split
    mean_rank: list[float]
    p: float  # Friedman's test that all rows are alike; NaN where datasets or rows are too few for it
    critical: float  # Nemenyi's difference of mean ranks at .05; NaN likewise
    notes: list[str]


def compare_again(out: Path, heads: Sequence[str] = ()) -> str:
    """Return what to run to compare anew what `out` holds; of features that it does not tell, DIR.

    heads: others than those that it holds.
    """
    features, asked = "--features DIR", list(heads)
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        there = Comparison.from_json((out / "comparison.json").read_text(encoding="utf-8"))
        encoders = (f" --{side}-encoder {quote(encoder.name)}" for side, encoder in there.encoders.items())
        features = f"--features {quote(there.features or 'DIR')}{''.join(encoders)}"
        asked = asked or [*there.settings, *(["ensemble"] if there.ensemble else [])]
    heads_asked = f" --heads {','.join(asked)}" if asked else ""
    return f"Run: python -m experiments.compare {features}{heads_asked} --out {quote(str(out))}"


def to_lines(records: Iterable[Any]) -> str:
    """Return records, dataclasses, as one JSON object to a line."""
    return "".join(to_json(record, indent=None) for record in records)


def from_lines(text: str) -> list[Record]:
    """The inverse of `to_lines`."""
    return [revive(Record, json.loads(line)) for line in text.splitlines()]


def without_nan(value: Any) -> Any:
    """NaN as null, for JSON has no other word for undefined."""
    if isinstance(value, dict):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def to_json(record: Any, indent: int | None = 1) -> str:
    """Return a record, a dataclass, as JSON that `revive` can read."""
    return json.dumps(without_nan(asdict(record)), indent=indent, ensure_ascii=False, allow_nan=False) + "\n"


def write_record(folder: Path, name: str, record: Any, **texts: str) -> None:
    """Write <name>.<ending> for each of these texts, and last <name>.json, each file whole. Raises Failed when the disk
    refuses."""
    try:
        for ending, text in (texts | {"json": to_json(record)}).items():
            write_text(folder / f"{name}.{ending}", text)
    except OSError as error:
        raise Failed(f"{folder} cannot be written: {error.strerror}") from None


def read_record(path: Path, kind: type[Kind], command: str) -> Kind | None:
    """Read what `write_record` wrote; None where there is no file. command: what writes it.

    Raises Refused for what another version wrote.
    """
    if not path.is_file():
        return None
    try:
        record: Kind = revive(kind, json.loads(path.read_text(encoding="utf-8")))
        return record
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(
            f"{path} is not what this version writes ({type(error).__name__}: {error}). Run python -m {command} again, "
            "or delete it."
        ) from None


def revive(kind: Any, value: Any) -> Any:
    """A value read from JSON as the dataclass, list, dict or float that `kind` says; null as NaN where a float goes.

    A field with a default may be missing, for it is younger than the file. Raises KeyError for any other.
    """
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        needed = {each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING}
        return kind(**{name: revive(hints[name], value[name]) for name in hints if name in value or name in needed})
    if get_origin(kind) is list:
        return [revive(get_args(kind)[0], inner) for inner in value]
    if get_origin(kind) is dict:
        return {key: revive(get_args(kind)[1], inner) for key, inner in value.items()}
    return NAN if kind is float and value is None else value


def versions() -> dict[str, str]:
    """Of Python and of the libraries that heads and figures depend on."""
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in LIBRARIES}


def code_version() -> str:
    """`git describe` of a checkout, else the installed version."""
    home = Path(__file__).resolve().parents[2]
    if (home / ".git").exists():
        command = ["git", "-C", str(home), "describe", "--always", "--dirty", "--tags"]
        try:
            told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
            return told.stdout.strip()
        except (OSError, subprocess.SubprocessError):
            pass  # no git here, or no commit yet: the package still knows its version
    try:
        return metadata.version("memefuse")
    except metadata.PackageNotFoundError:
        return "unknown"
