"""Published heads that project both vectors to one width and let them meet there, unit by unit.

The algebra is their authors', the code is ours. Wherever a vector of length one is meant to be read by an MLP it is
brought to length `LENGTH`, as standardised vectors have it on the mean: the same functions, by smaller weights, so that
one learning rate and one decay suit all heads.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from heads.head import REGRESSIONS_ON_BOTH, Head
from heads.mlp import DropoutNoise, StackedLinear, StackedMLP
from heads.rows import SQUARED_NORM
from heads.settings import HeadSettings

LENGTH = SQUARED_NORM**0.5

Projected = Float[Tensor, "run batch width"]


def dropped(units: Projected, noise: DropoutNoise | None) -> Projected:
    return units if noise is None else noise(units)


def unit(vec: Float[Tensor, "*meme width"]) -> Float[Tensor, "*meme width"]:
    """To length one, in float32."""
    return F.normalize(vec.float(), dim=-1)


class ProductHead(Head):
    """Both vectors projected, dropped out, brought to length one, and multiplied unit by unit; an MLP on the products.

    Hate-CLIPper's "align" (Kumar & Nandakumar 2022). A product's sign says whether two directions agree, at once and
    for each unit, where an MLP on vectors side by side has to build each sign from several hidden units.
    """

    name, sides, fuses, linear = "product", ("text", "image"), True, REGRESSIONS_ON_BOTH
    ignores = ()
    text: StackedLinear
    image: StackedLinear
    joint: StackedMLP

    def projections(self, text_dim: int, image_dim: int) -> Mapping[str, tuple[int, int]]:
        return {"text": (text_dim, self.projection), "image": (image_dim, self.projection)}

    def branches(self, text_dim: int, image_dim: int) -> Mapping[str, int]:
        return {"joint": self.projection}

    def forward(
        self, text_vec: Tensor, image_vec: Tensor, noise: DropoutNoise | None = None
    ) -> Float[Tensor, "run batch"]:
        text, image = (unit(dropped(vec, noise)) for vec in (self.text(text_vec), self.image(image_vec)))
        return self.joint(dropped(product(text, image), noise), noise)


def product(text: Projected, image: Projected) -> Projected:
    """Unit by unit, of vectors of length one; of mean length LENGTH where their directions are independent."""
    return text * image * (LENGTH * text.shape[-1] ** 0.5)


class GatedHead(Head):
    """A gate for every unit, made of both vectors, that says whether to read the image's unit or the text's.

    The gated multimodal unit (GMU; Arevalo et al. 2017), and an MLP on what it lets through. Where a column says what
    to make of another one, of its own side or of the other, a gate is the whole answer, and each unit has one.
    """

    name, sides, fuses, linear = "gated", ("text", "image"), True, REGRESSIONS_ON_BOTH
    ignores = ()
    text: StackedLinear
    image: StackedLinear
    opening: StackedLinear
    joint: StackedMLP

    def projections(self, text_dim: int, image_dim: int) -> Mapping[str, tuple[int, int]]:
        width = self.projection
        return {"text": (text_dim, width), "image": (image_dim, width), "opening": (image_dim + text_dim, width)}

    def branches(self, text_dim: int, image_dim: int) -> Mapping[str, int]:
        return {"joint": self.projection}

    def gate(self, text_vec: Tensor, image_vec: Tensor) -> Projected:
        """How much the image is listened to, unit by unit; the rest is the text's."""
        return torch.sigmoid(self.opening(torch.cat([image_vec, text_vec], dim=-1)))

    def image_share(self, text_vec: Tensor, image_vec: Tensor) -> Float[Tensor, "run batch"]:
        return self.gate(text_vec, image_vec).mean(dim=-1)

    def forward(
        self, text_vec: Tensor, image_vec: Tensor, noise: DropoutNoise | None = None
    ) -> Float[Tensor, "run batch"]:
        text, image = torch.tanh(self.text(text_vec)), torch.tanh(self.image(image_vec))
        gate = self.gate(text_vec, image_vec)
        return self.joint(dropped(gate * image + (1 - gate) * text, noise), noise)


class AttentionHead(Head):
    """Each vector is weighed by how much it finds of itself in the other one; an MLP on the two, so weighed.

    MOMENTA's cross-modal attention (Pramanick et al. 2021), as Hate-CLIPper's code has it: queries and keys of a
    quarter of the width, by layers that both sides share. Whether the text finds more of itself in the image or the
    image in the text is a difference of two inner products, which it has at once, and which then weighs whole sides.
    """

    name, sides, fuses, linear = "attention", ("text", "image"), True, REGRESSIONS_ON_BOTH
    ignores = ()
    text: StackedLinear
    image: StackedLinear
    query: StackedLinear
    key: StackedLinear
    joint: StackedMLP

    def projections(self, text_dim: int, image_dim: int) -> Mapping[str, tuple[int, int]]:
        narrow = self.projection, max(self.projection // 4, 1)
        sides = {"text": (text_dim, self.projection), "image": (image_dim, self.projection)}
        return {**sides, "query": narrow, "key": narrow}

    def branches(self, text_dim: int, image_dim: int) -> Mapping[str, int]:
        return {"joint": 2 * self.projection}

    def forward(
        self, text_vec: Tensor, image_vec: Tensor, noise: DropoutNoise | None = None
    ) -> Float[Tensor, "run batch"]:
        sides = self.image(image_vec), self.text(text_vec)
        image, text = (LENGTH * unit(dropped(vec, noise)) for vec in sides)
        query, key = ([torch.relu(layer(vec)) for vec in (image, text)] for layer in (self.query, self.key))
        agreement = torch.stack([(query[0] * key[1]).sum(dim=-1), (query[1] * key[0]).sum(dim=-1)], dim=-1)
        weight = torch.softmax(agreement, dim=-1)
        weighed = torch.cat([weight[..., :1] * image, weight[..., 1:] * text], dim=-1)
        return self.joint(dropped(weighed, noise), noise)


class CombinerHead(Head):
    """Products of both vectors, read by an MLP, added to a mixture of the vectors whose weight the products decide.

    The Combiner of ISSUES (Burbi et al. 2023, after Baldrati et al. 2022), and an MLP on what it gives. A product of
    two units that are at least 0 says that both are there: a pair of a topic and a scene is one unit for its MLP.
    """

    name, sides, fuses, linear = "combiner", ("text", "image"), True, REGRESSIONS_ON_BOTH
    ignores = ()
    text: StackedLinear
    image: StackedLinear
    wide_text: StackedLinear
    wide_image: StackedLinear
    mixed: StackedMLP
    mixing: StackedMLP
    joint: StackedMLP

    def __init__(
        self, text_dim: int, image_dim: int, hidden: int, depth: int, generators: Sequence[torch.Generator],
        projection: int = HeadSettings.projection,
    ) -> None:  # fmt: skip
        super().__init__(text_dim, image_dim, hidden, depth, generators, projection)
        self.mixed = StackedMLP(2 * projection, hidden, depth, generators, outputs=projection)

    def projections(self, text_dim: int, image_dim: int) -> Mapping[str, tuple[int, int]]:
        width = self.projection
        wide = width, 2 * width
        return {"text": (text_dim, width), "image": (image_dim, width), "wide_text": wide, "wide_image": wide}

    def branches(self, text_dim: int, image_dim: int) -> Mapping[str, int]:
        return {"mixing": 2 * self.projection, "joint": self.projection}

    def forward(
        self, text_vec: Tensor, image_vec: Tensor, noise: DropoutNoise | None = None
    ) -> Float[Tensor, "run batch"]:
        text, image = self.text(text_vec), self.image(image_vec)
        wide = self.wide_text(text), self.wide_image(image)
        wide_text, wide_image = (dropped(torch.relu(vec), noise) for vec in wide)
        both = wide_text * wide_image
        of_text = torch.sigmoid(self.mixing(both, noise))[..., None]
        return self.joint(self.mixed.scores(both, noise) + (1 - of_text) * image + of_text * text, noise)
