"""A system's model: two sides, each a cached vector or an encoder that may train, and what stands on them."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from experiments.systems.encoders import CELLS, Side, refuse_all_but_bert
from experiments.systems.published import Shape, System
from extract import encoders
from extract.encoders.family import Located
from heads.mlp import StackedMLP


def build(system: System, text: Side, image: Side, seed: int) -> nn.Module:
    """A batch -> [batch, logits]. Everything that is new is drawn from `seed`; everything that is frozen stays so."""
    torch.manual_seed(seed)
    if system.design != "transformer":
        generator = torch.Generator().manual_seed(seed)
        return Concat(branch(text), branch(image, system.shape.norms_update), system.shape, generator)
    assert text.located is not None
    channels, logits = image.identity.dim // CELLS, system.shape.logits
    module = MultimodalTransformer(text.located, channels=channels, cells=CELLS, classes=logits, train_text=text.trains)
    return Branch(("image_vec", "input_ids", "attention_mask"), module, logits)


class Branch(nn.Module):
    """A module, and the entries of a batch that it is called with."""

    def __init__(self, reads: tuple[str, ...], module: nn.Module, dim: int) -> None:
        """dim: width of what `module` gives, [batch, dim]."""
        super().__init__()
        self.reads, self.module, self.dim = reads, module, dim

    def forward(self, batch: Mapping[str, Tensor]) -> Float[Tensor, "batch dim"]:
        return self.module(*(batch[name] for name in self.reads))


def branch(side: Side, norms_update: bool = False) -> Branch:
    """What gives one side's vector."""
    if side.cached:
        return cached(side.identity.kind, side.identity.dim)
    assert side.located is not None
    if side.identity.kind == "text":
        text = encoders.unfrozen(side.located)
        return Branch(("input_ids", "attention_mask"), text, text.dim)
    image = TrainedImage(side.located, norms_update)
    return Branch(("pixels",), image, image.dim)


def cached(kind: str, dim: int) -> Branch:
    """The vectors that stage 1 made. kind: "text" or "image"."""
    return Branch((f"{kind}_vec",), nn.Identity(), dim)


class TrainedImage(nn.Module):
    """A ResNet whose weights train while its batch norms keep the statistics that they came with, unless told.

    torchvision's networks, in training mode, normalise by the statistics of the batch at hand. Here a batch may be of
    four images, from which no variance can be told, and adding up the gradients of sixteen such batches does not mend
    it. With statistics that are kept, a meme's logit does not depend on the memes that share its batch, and training
    starts from the very vectors of stage 1. The norms' scales and shifts do train.
    """

    def __init__(self, located: Located, norms_update: bool = False) -> None:
        """norms_update: normalise by the batch at hand in training, and follow its statistics.

        Raises Refused if the weights are not those of a ResNet.
        """
        super().__init__()
        self.norms_update = norms_update
        self.encoder = encoders.unfrozen(located)
        self.dim = self.encoder.dim

    def train(self, mode: bool = True) -> "TrainedImage":
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train(mode and self.norms_update)
        return self

    def forward(self, pixels: UInt8[Tensor, "batch 3 224 224"]) -> Float[Tensor, "batch dim"]:
        """float32 vectors, pooled. pixels: RGB."""
        return self.encoder(pixels)


class Projection(nn.Module):
    """A linear layer and ReLU."""

    def __init__(self, dim: int, units: int, generator: torch.Generator) -> None:
        super().__init__()
        self.linear = StackedMLP(dim, 0, 0, [generator], units)

    def forward(self, vec: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch units"]:
        return torch.relu(self.linear.scores(vec)[0])


class Concat(nn.Module):
    """Both sides, each through a linear layer and ReLU if `shape` says so, then side by side through stage 2's MLP."""

    def __init__(self, text: Branch, image: Branch, shape: Shape, generator: torch.Generator) -> None:
        super().__init__()
        self.text, self.image, self.image_first = text, image, shape.image_first
        dims = [text.dim, image.dim]
        projected = [Projection(dim, shape.projection, generator) for dim in dims if shape.projection]
        self.projections = nn.ModuleList(projected)
        dims = [shape.projection] * 2 if projected else dims
        self.dropout = nn.Dropout(shape.dropout)
        self.joint = StackedMLP(sum(dims), shape.hidden, shape.depth, [generator], shape.logits)

    def forward(self, batch: Mapping[str, Tensor]) -> Float[Tensor, "batch logits"]:
        """Row i of every entry of `batch` must be the same meme: a shuffle cannot be seen from here."""
        vecs = [self.text(batch), self.image(batch)]
        if self.projections:
            vecs = [layer(vec) for layer, vec in zip(self.projections, vecs, strict=True)]
        return self.joint.scores(torch.cat(vecs[::-1] if self.image_first else vecs, dim=-1), self.dropout)[0]


class MultimodalTransformer(nn.Module):
    """An image's grid of cells, then a text's words, as one sequence that a BERT reads.

    Cells are projected to the width of words and come first. Cells have positions of their own, words BERT's, and both
    a learned vector of their modality; then BERT adds its positions, counted over the whole sequence, and its token
    types, as published. The class is read off the first position, the image's upper left cell: through attention it
    sees all others.
    """

    def __init__(self, located: Located, *, channels: int, cells: int, classes: int, train_text: bool) -> None:
        """located: a BERT. channels: numbers a cell has. train_text: whether BERT trains, or only what is new.

        Raises Refused if the text encoder is no BERT.
        """
        super().__init__()
        refuse_all_but_bert(located)
        self.bert = encoders.unfrozen(located).model
        self.bert.pooler = None  # the class has a layer of its own
        self.train_text = train_text
        self.bert.requires_grad_(train_text)
        config = self.bert.config
        self.project = nn.Linear(channels, config.hidden_size)
        self.position = nn.Embedding(cells, config.hidden_size)
        nn.init.normal_(self.position.weight, std=config.initializer_range)  # as BERT's own table began
        self.text_modality = nn.Parameter(torch.zeros(config.hidden_size))
        self.image_modality = nn.Parameter(torch.ones(config.hidden_size))
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classify = nn.Linear(config.hidden_size, classes)

    def train(self, mode: bool = True) -> "MultimodalTransformer":
        super().train(mode)
        self.bert.train(mode and self.train_text)  # a frozen encoder drops nothing
        return self

    def forward(
        self,
        image_vec: Float[Tensor, "batch image_dim"],
        input_ids: Int[Tensor, "batch tokens"],
        attention_mask: Int[Tensor, "batch tokens"],
    ) -> Float[Tensor, "batch classes"]:
        """Logits. image_vec: a grid's cells in a row; attention_mask: 1 for word pieces, 0 for padding: no matter."""
        cells = image_vec.unflatten(1, (len(self.position.weight), -1))
        cells = self.project(cells) + self.position.weight + self.image_modality
        own = self.bert.embeddings
        words = own.word_embeddings(input_ids) + own.position_embeddings.weight[: input_ids.shape[1]]
        read = self.bert(
            inputs_embeds=torch.cat([cells, words + self.text_modality], dim=1),
            attention_mask=torch.cat([attention_mask.new_ones(cells.shape[:2]), attention_mask], dim=1),
        )
        return self.classify(self.dropout(read.last_hidden_state[:, 0])).float()


class Classifier(nn.Module):
    """A model and its loss, as transformers' Trainer calls them."""

    accepts_loss_kwargs = False  # the loss is a mean over the batch: the Trainer divides it by the batches to a step

    def __init__(self, model: nn.Module, softmax_twice: bool = False) -> None:
        """model: a batch -> [batch, 1] or [batch, 2] logits."""
        super().__init__()
        self.model, self.softmax_twice = model, softmax_twice

    def forward(self, labels: Int[Tensor, " batch"], **batch: Tensor) -> dict[str, Tensor]:
        """{"loss": mean over the batch, "logit": [batch], positive means hateful}."""
        logits = self.model(batch)
        return {"loss": loss(logits, labels, self.softmax_twice), "logit": hateful(logits)}


def loss(
    logits: Float[Tensor, "batch logits"], label: Int[Tensor, " batch"], softmax_twice: bool = False
) -> Float[Tensor, ""]:
    """Cross-entropy of two logits, binary cross-entropy of one.

    softmax_twice: two logits' softmax is taken for logits, so that no loss falls below log(1 + 1/e).
    """
    if logits.shape[1] == 2:
        return F.cross_entropy(torch.softmax(logits, dim=1) if softmax_twice else logits, label)
    return F.binary_cross_entropy_with_logits(logits[:, 0], label.to(logits.dtype))


def hateful(logits: Float[Tensor, "batch logits"]) -> Float[Tensor, " batch"]:
    """One logit a meme: the difference of two, whose sigmoid is the softmax's second entry."""
    return (logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits[:, 0]).float()
