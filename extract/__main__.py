"""Stage 1's command: check the memes, plan what is left to encode, encode it in parts, publish."""

import sys
from contextlib import ExitStack

from extract import dataset, errors
from extract.config import ExtractConfig


def main(argv: list[str] | None = None) -> int:
    config = ExtractConfig.from_args(argv)
    names = dataset.choose_splits(config.data, config.split)

    from extract import publish, stage  # late: everything below needs h5py, numpy and, soon, torch

    with ExitStack() as stack:
        engine = stage.choose_engine(config, stack)
        encoders = stage.choose_encoders(config, engine)
        splits = stage.read_splits(config, names)
        for encoder in encoders:
            stack.enter_context(encoder.folder.locked())
            publish.refuse_other_dataset(encoder.folder, splits)
        bad: dict[str, str] = {}
        for encoder in encoders:
            bad |= stage.encode(encoder, splits, config, engine)
        folders, skip = [encoder.folder for encoder in encoders], config.on_error == "skip"
        publish.publish(folders, splits, bad, skip, config.shard_rows)
    return 0


if __name__ == "__main__":
    sys.exit(errors.run(main))
