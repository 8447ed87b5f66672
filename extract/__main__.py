"""Stage 1's command: check the memes, plan what is left to encode, encode it in parts, publish."""

from extract import errors
from extract.config import ExtractConfig


def main(argv: list[str] | None = None) -> int:
    config = ExtractConfig.from_args(argv)

    from extract.stage import extract  # late: it needs h5py, numpy and, soon, torch

    extract(config, verbose=True)
    return 0


if __name__ == "__main__":
    errors.leave(errors.run(main, goes_on=True))
