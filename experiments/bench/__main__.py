"""`python -m experiments.bench extract|gpu|heads|ray`: speed as a ratio against named alternatives of the same run."""

import importlib
import sys

from extract import errors

BENCHES = ("extract", "gpu", "heads", "ray")
USAGE = """\
usage: python -m experiments.bench {extract,gpu,heads,ray} [options]

Measure a stage against named alternatives in the same run; write a table to reports/bench_<stage>.md.

examples:
  python -m experiments.bench extract --data data/hateful_memes
  python -m experiments.bench heads
  python -m experiments.bench gpu
  python -m experiments.bench ray
  python -m experiments.bench heads --help
"""


def main(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    name, *typed = argv
    if name not in BENCHES:
        raise errors.Refused(f"no benchmark {name}; there are {', '.join(BENCHES)}")
    from experiments.bench import options

    args = getattr(options, name)().parse_args(typed)  # before what is heavy is imported
    return importlib.import_module(f"experiments.bench.{name}").run(args)


if __name__ == "__main__":
    errors.leave(errors.run(lambda: main(sys.argv[1:])))
