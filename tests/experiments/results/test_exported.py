"""An exported head before the trace."""

import numpy as np
import planted
import torch

from experiments.results import exported, models


def test_the_whole_head_is_predict_s(every_head):
    """What is traced, before the trace."""
    for saved in models.load(every_head / "out").values():
        text, image = planted.vectors(saved)
        whole = exported.WholeHead(saved)
        said = whole(*(torch.from_numpy(vec) for vec in (text, image))).detach().numpy()
        np.testing.assert_allclose(said, saved.probability(text, image).mean(axis=0), atol=1e-6)
