"""python -m experiments.export: a trained head as files that need memefuse no more, with its model card.

head.py and head.pt (torch alone), head.onnx, estimator.py (scikit-learn), README.md (the card, in the hub's format).
Their probabilities are predict's.

From Python: `from experiments.export import export`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.options import parser as parser_of
from extract import errors

FORMATS = {
    "torch": {"head.py, head.pt": "a torch module: text and image vectors in, probability out; needs torch alone"},
    "sklearn": {"estimator.py": "the same as a scikit-learn classifier over vectors side by side; needs head.py"},
    "onnx": {"head.onnx": "the same as ONNX: text_vec and image_vec in, probability out"},
}
DEFAULT = "torch,sklearn"
EXAMPLES = """\
examples:
  python -m experiments.export --out export
  python -m experiments.export --model reports/my_memes --head early --formats torch,sklearn
"""


def export(
    model: Path | str = "reports",
    *,
    head: str | None = None,
    out: Path | str = "export",
    formats: str | Sequence[str] = DEFAULT,
    quiet: bool = True,
) -> Path:
    """Write a head in these formats (of FORMATS, or "all") and its card to `out`, and return that folder.

    model: what compare's --out was. head: the one to export; by default the best on dev.
    Raises Refused where there is no such head, or a package is missing, Failed for a head that torch cannot trace.
    """
    words = formats.split(",") if isinstance(formats, str) else list(formats)
    asked = list(FORMATS) if words == ["all"] else [word.strip() for word in words if word.strip()]
    unknown = [word for word in asked if word not in FORMATS]
    if unknown or not asked:
        what = f"unknown format {', '.join(unknown)}" if unknown else "no format is named"
        raise errors.Refused(f"--formats: {what}; there are {', '.join(FORMATS)}, or all")
    if "onnx" in asked:
        errors.need(("onnx", "onnxscript"), "ONNX needs", "onnx")
    if "sklearn" in asked and "torch" not in asked:
        asked = ["torch", *asked]
    from experiments import model_card
    from experiments.results import exported, folder, models
    from extract.files import write_text

    results = folder.read_results(Path(model))
    saved = models.choose(models.load(Path(model)), head)
    dims = {side: encoder.dim for side, encoder in saved.encoders.items()}
    about = {"head": saved.name, "run": results.comparison.run, "threshold": saved.threshold, **dims}
    program = exported.trace(saved)
    if "onnx" in asked:
        exported.refuse_large(saved, program)
    folder_out = Path(out)
    try:
        folder_out.mkdir(parents=True, exist_ok=True)
        if "torch" in asked:
            exported.write_torch(folder_out, program, about)
        if "sklearn" in asked:
            exported.write_sklearn(folder_out, about)
        if "onnx" in asked:
            exported.write_onnx(folder_out, program)
        files = {name: what for kind in FORMATS if kind in asked for name, what in FORMATS[kind].items()}
        write_text(folder_out / "README.md", model_card.card(results, saved, Path(model), files))
    except OSError as error:
        raise errors.Failed(f"--out {out}: cannot write there: {error.strerror}") from None
    if not quiet:
        print(f"Written to {out}: {', '.join(files)}, README.md (the model card).", file=sys.stderr)
    return folder_out


def parser() -> argparse.ArgumentParser:
    about = "Write a trained head as files that need memefuse no more, and its model card."
    parser = parser_of("export", about, EXAMPLES)
    add = parser.add_argument
    add("--model", type=Path, default=Path("reports"), metavar="DIR", help="compare's --out (default: reports)")
    add("--head", metavar="HEAD", help="which head (default: the one that is best on dev)")
    add("--out", type=Path, default=Path("export"), metavar="DIR", help="where the files go (default: export)")
    add("--formats", default=DEFAULT, metavar="F,F", help=f"torch, sklearn, onnx, or all (default: {DEFAULT})")
    return parser


def main(argv: list[str] | None = None) -> None:
    export(**vars(parser().parse_args(argv)), quiet=False)


if __name__ == "__main__":
    errors.leave(errors.run(main))
