"""python -m experiments.systems: published walk-throughs on your memes, in one table beside memefuse's heads."""

import argparse
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.options import at_least_one
from experiments.options import parser as parser_of
from experiments.systems.published import MEMES, STAND_INS, SYSTEMS, System
from extract import errors
from extract.errors import Refused
from extract.machine import DEVICES
from extract.places import place

if TYPE_CHECKING:
    from experiments.systems.results import Result

TABLE = "table"
EXAMPLE = """\
examples:
  python -m experiments.systems --list
  python -m experiments.systems lab --data data/my_memes --features features/my_memes
  python -m experiments.systems distilbert-resnet50-mlp --stand-in --data data/my_memes --features features/my_memes
  python -m experiments.systems bert-resnet18-linear --settings all --stand-in --rows 256 --steps 20
  python -m experiments.systems distilbert-resnet50-mlp --predict meme.png "look how many people love you"
  python -m experiments.systems table
"""


def parser() -> argparse.ArgumentParser:
    what = "Run a published system on memes, or show all that were run beside memefuse's own heads."
    parser = parser_of("systems", what, EXAMPLE)
    add = parser.add_argument
    add("name", nargs="?", choices=[*SYSTEMS, TABLE], metavar="NAME", help="a system of --list, or table")
    add("--list", action="store_true", help="say which systems there are")
    add("--settings", metavar="S,S|all", help="a system's named settings (default: the first that --list names)")
    add("--train", metavar="text,image|none", help="encoders that train (default: as the setting has it)")
    add("--text-encoder", metavar="E", help="another encoder than the published one; tables say so")
    add("--image-encoder", metavar="E", help="likewise; a grid is taken of it where the system takes one")
    add("--stand-in", action="store_true", help=f"{' and '.join(STAND_INS.values())} for what is published")
    add("--data", type=place, default=Path("data/hateful_memes"), metavar="DIR", help="default: data/hateful_memes")
    add("--features", type=place, default=Path("features"), metavar="DIR", help="stage 1's vectors (default: features)")
    add("--out", type=Path, default=Path("reports"), metavar="DIR", help="results go to DIR/systems (default: reports)")
    add("--seeds", type=at_least_one, metavar="N", help="default: 5, and 1 where an encoder trains")
    add("--rows", type=at_least_one, metavar="N", help="train on N memes, drawn with seed 0; tables say so")
    add("--steps", type=at_least_one, metavar="N", help="train for at most N steps of the optimiser; tables say so")
    add("--device", choices=DEVICES, default="auto", help="default: auto")
    arithmetic = "of encoders' products (default: auto: that of vectors that are there, else the fast one)"
    add("--dtype", choices=("auto", "float32", "bfloat16"), default="auto", help=arithmetic)
    unusable = "memes that cannot be used: stop (the default), or leave them out"
    add("--on-error", choices=("stop", "skip"), default="stop", help=unusable)
    add("--predict", nargs=2, metavar=("IMAGE", "TEXT"), help="score one meme with the last run of NAME")
    return parser


def main(argv: list[str] | None = None) -> None:
    typed = sys.argv[1:] if argv is None else argv
    options = parser().parse_args(argv)
    if options.list:
        print(listed())
    elif options.name is None:
        raise Refused("name a system, or table; python -m experiments.systems --list says which systems there are")
    elif options.name == TABLE:
        table(options)
    elif options.predict:
        predict(options)
    else:
        run(SYSTEMS[options.name], options, typed)


def listed() -> str:
    """Every system, from the data alone."""
    parts = []
    for system in SYSTEMS.values():
        trains = f"; --train takes {','.join(system.may_train)}" if system.may_train else ""
        lines = [system.name, f"  {system.what}", f"  {system.text} + {system.image}{trains}"]
        for name, setting in system.settings.items():
            figures = ", ".join(map(str, setting.published))
            trained = f"trains {' and '.join(setting.train)}" if setting.train else "encoders frozen"
            default = " (default)" if name == system.default and len(system.settings) > 1 else ""
            published = f"; published on {MEMES}: {figures}" if figures else ""
            lines.append(f"    {name}{default}: {trained}{published}")
        if system.guess:
            lines.append(f"  published beside these: {system.guess} of random guessing")
        lines.append(f"  open in the source: {system.ours}")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def settings(system: System, asked: str | None) -> list[str]:
    """Names of the settings to run. Raises Refused for one that there is not."""
    names = list(system.settings) if asked == "all" else (asked or system.default).split(",")
    unknown = [name for name in names if name not in system.settings]
    if unknown:
        raise Refused(f"{system.name} has no setting {', '.join(unknown)}; it has {', '.join(system.settings)}")
    return names


def encoders_that_train(asked: str | None, default: tuple[str, ...]) -> tuple[str, ...]:
    """ "text,image" -> both; "none" -> none. Raises Refused for other words."""
    if asked is None:
        return default
    words = [word.strip() for word in asked.split(",") if word.strip() != "none"]
    unknown = [word for word in words if word not in ("text", "image")]
    if unknown:
        raise Refused(f"--train is {asked}, expected text, image, text,image or none")
    return tuple(kind for kind in ("text", "image") if kind in words)


def run(system: System, options: argparse.Namespace, typed: list[str]) -> None:
    names = settings(system, options.settings)
    trains = {name: encoders_that_train(options.train, system.settings[name].train) for name in names}

    from experiments.systems.encoders import Request
    from experiments.systems.run import run as run_setting

    asked = {each.name: getattr(options, each.name) for each in fields(Request)}
    results = []
    for name in names:
        print(f"{system.name}, setting {name}", file=sys.stderr)
        results.append(run_setting(system, name, Request(**asked | {"train": trains[name]}), typed))
    show(results, options)
    print(f"Written to {options.out / 'systems' / system.name}.", file=sys.stderr)


def table(options: argparse.Namespace) -> None:
    """Everything that was run, written to systems.md and .csv and printed."""
    from experiments.systems.results import all_results

    results = [each for each in all_results(options.out) if not each.is_own]
    if not results:
        raise Refused(f"no system was run yet under {options.out}; run: python -m experiments.systems lab --data ...")
    show(results, options, write=True)
    print(f"Written to {options.out}: systems.md, systems.csv.", file=sys.stderr)


def show(results: "list[Result]", options: argparse.Namespace, write: bool = False) -> None:
    """Print results beside memefuse's heads, which are trained here where they were not yet."""
    from experiments.systems import run, tables
    from extract.files import write_text

    beside = {each.key: run.own_heads(each, options.out, options.device) for each in results}
    sections = tables.sections(results, beside, options.out)
    print(tables.terminal(sections))
    if write:
        write_text(options.out / "systems.md", tables.page(sections))
        write_text(options.out / "systems.csv", tables.comma_separated(sections))


def predict(options: argparse.Namespace) -> None:
    from experiments.systems import run

    system = SYSTEMS[options.name]
    if options.settings and len(settings(system, options.settings)) > 1:
        raise Refused(f"--predict asks the run of one setting, and --settings is {options.settings}: name one")
    image, text = options.predict
    print(run.predict(system, options.settings, options.out, Path(image), text, options.device))


if __name__ == "__main__":
    errors.leave(errors.run(main, goes_on=True))
