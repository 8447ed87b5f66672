"""A run of a sweep, of our choosing."""

from experiments.search.trials import Trial


def trial(head, auc, seed=0, text="t", image="i", code="v1", **settings) -> Trial:
    return Trial(head, text, image, settings, seed, auc, 1, 100, 40, {"text": text, "image": image}, "", code, 0.0)
