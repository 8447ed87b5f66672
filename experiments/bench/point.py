"""One training on memory-mapped vectors, in a process of its own, so that its peak memory is its own.

`python -m experiments.bench.point JOB.json` prints seconds and peak memory, a JSON object.
"""

import json
import resource
import sys
import threading
import time
from pathlib import Path


class PeakMemory:
    """The most memory of the process' own (anonymous) that was seen, sampled; pages of mapped files are not counted.

    Those are the kernel's cache of the file: it takes them back whenever memory is short.
    """

    every = 0.02  # seconds

    def __enter__(self) -> "PeakMemory":
        self.peak, self.over = 0, threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.over.wait(self.every):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    self.peak = max(self.peak, int(line.split()[1]))


def main(path: str) -> None:
    """JOB.json: features (a folder of random_features), rows, runs, settings, cache_bytes, device."""
    from experiments.bench.random_features import NAMES
    from extract import store
    from heads.train import HeadSettings, Rows, fit

    job = json.loads(Path(path).read_text())
    splits = {}
    for split, rows in (("train", job["rows"]), ("dev", None)):
        text, image = (store.read(Path(job["features"]) / name / f"{split}.h5") for name in NAMES.values())
        splits[split] = Rows(text.vector[:rows], image.vector[:rows], text.label[:rows])
    runs = [HeadSettings(**job["settings"], seed=seed) for seed in range(job["runs"])]
    with PeakMemory() as memory:
        start = time.perf_counter()
        fitted = fit(
            "early", splits["train"], splits["dev"], runs, device=job["device"], cache_bytes=job["cache_bytes"]
        )
        seconds = time.perf_counter() - start
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = {"seconds": seconds, "own_mb": memory.peak / 1024, "resident_mb": resident / 1024}
    print(json.dumps(told | {"dev_auc": float(fitted.dev_auc.mean())}))


if __name__ == "__main__":
    main(sys.argv[1])
