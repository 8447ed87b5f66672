"""The published walk-throughs as data are those of their sources."""

from experiments.systems.published import SYSTEMS


def test_the_published_figures_are_those_of_the_sources():
    both, adam, sgd = ("text", "image"), ("adam", 0.0), ("sgd", 0.9)
    rows = {
        name: (how.batch, how.epochs, how.learning_rate, (how.optimiser, how.momentum), how.weight_decay, setting.train,
               setting.published[0].value)
        for name, setting in SYSTEMS["bert-resnet18-linear"].settings.items()
        for how in [setting.training]
    }  # fmt: skip
    assert rows == {
        "adam-moderate": (64, 2, 1e-2, adam, 0, both, 0.496),
        "low-rate-high-regularisation": (128, 5, 1e-4, adam, 1e-4, both, 0.554),
        "sgd-momentum": (128, 5, 1e-2, sgd, 0, both, 0.556),
        "fast-learning": (64, 2, 1e-2, sgd, 0, both, 0.522),
        "image-frozen": (64, 5, 1e-2, adam, 1e-4, ("text",), 0.500),
        "text-frozen": (128, 5, 1e-2, sgd, 0, ("image",), 0.516),
        "high-regularisation-slow": (128, 5, 1e-4, adam, 1e-4, both, 0.558),
        "batch-size": (128, 2, 1e-2, sgd, 1e-4, both, 0.520),
        "both-frozen": (64, 2, 1e-2, adam, 0, (), 0.538),
        "balanced-sgd": (64, 5, 1e-5, sgd, 1e-4, both, 0.504),
    }
    others = {
        name: [(each.split, each.metric, each.value) for each in system.settings["published"].published]
        for name, system in SYSTEMS.items()
        if "published" in system.settings
    }
    assert others == {
        "fasttext-resnet152-concat": [("test", "accuracy", 0.534)],
        "multimodal-transformer": [("dev", "accuracy", 0.574)],
        "distilbert-resnet50-mlp": [("dev", "accuracy", 0.566), ("dev", "macro_f1", 0.502)],
        "lab": [],
    }
