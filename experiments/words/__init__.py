"""Every sentence and table, a module for each question, made from records alone; here: how numbers are written."""

import math
import re
from collections.abc import Callable, Iterable, Sequence

from experiments.results.records import Figure, Pair
from extract.store import EncoderIdentity

UNDEFINED = "undefined"


def bare(value: float) -> str:
    """Three digits without the zero before the point: .812, -.034, 1.000."""
    if math.isnan(value):
        return UNDEFINED
    return re.sub(r"^(-?)0\.", r"\1.", f"{value:z.3f}")


def signed(value: float) -> str:
    """A difference: +.019, -.004, +1.000."""
    text = bare(value)
    return text if math.isnan(value) or text.startswith("-") else f"+{text}"


def counted(count: int, noun: str) -> str:
    """A count and what is counted: "1 meme", "2,864 memes"."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def with_spread(figure: Figure) -> str:
    """.812±.004: mean and standard deviation over seeds; the mean alone where there is but one."""
    return bare(figure.mean) + ("" if math.isnan(figure.sd) else f"±{bare(figure.sd)}")


def interval(figure: Figure) -> str:
    """[.781, .842]; empty where an end is undefined."""
    return "" if math.isnan(figure.low) or math.isnan(figure.high) else f"[{bare(figure.low)}, {bare(figure.high)}]"


def with_interval(figure: Figure) -> str:
    """.812 [.781, .842]."""
    return f"{bare(figure.mean)} {interval(figure)}".rstrip()


def signed_interval(low: float, high: float) -> str:
    """A difference's: [-.004, +.041]; empty where an end is undefined."""
    return "" if math.isnan(low + high) else f"[{signed(low)}, {signed(high)}]"


def change(value: float, low: float, high: float) -> str:
    """A difference with its interval: +.019 [-.004, +.041]."""
    return f"{signed(value)} {signed_interval(low, high)}".rstrip()


def difference(pair: Pair) -> str:
    """A pair's, with its interval: +.019 [-.004, +.041]."""
    return change(pair.difference, pair.low, pair.high)


def probability(p: float) -> str:
    """A p-value: .043, <.001."""
    return "<.001" if p < 0.001 else bare(p)


def p_is(p: float) -> str:
    """A p-value in a sentence: "p = .043", "p < .001"."""
    return f"p {'<' if p < 0.001 else '='} {bare(max(p, 0.001))}"


def per_thousand(figure: Figure) -> str:
    """A rate or a cost of a meme, of 1,000: "25 [12, 51]"."""
    if math.isnan(figure.mean):
        return UNDEFINED
    ends = "" if math.isnan(figure.low + figure.high) else f" [{1000 * figure.low:,.0f}, {1000 * figure.high:,.0f}]"
    return f"{1000 * figure.mean:,.0f}{ends}"


def each_meme(seconds: float) -> str:
    """Seconds to encode a meme: 41 ms, 1.20 s."""
    if math.isnan(seconds):
        return "unknown"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def with_dims(encoders: Iterable[EncoderIdentity]) -> str:
    """bert-base-uncased (768) + resnet50 (2,048)."""
    return " + ".join(f"{each.name} ({each.dim:,})" for each in encoders if each.dim)


def whole(count: float) -> str:
    """So many, at the least, as can be counted: "2,864"."""
    return f"{math.ceil(count):,}"


def span(written: Callable[[float], str], values: Sequence[float]) -> str:
    """From the least to the greatest: ".041 to .052"; ".041" where both are written so."""
    return " to ".join(dict.fromkeys(map(written, (min(values), max(values)))))


def any_of(names: Sequence[str], last: str = "or") -> str:
    """ "early, late or mean"."""
    return f" {last} ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
