"""An image's grid of cells, then a text's words, as one sequence that a BERT reads."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from extract import encoders
from extract.encoders.family import Located
from extract.encoders.text import architecture
from extract.errors import Refused

IMAGE, TEXT = 0, 1  # rows of the modality embeddings


class MultimodalTransformer(nn.Module):
    """Cells are projected to the width of words and come first; both have position and modality embeddings.

    The class is read off the first position, the image's upper left cell: through attention it sees all others.
    """

    def __init__(self, located: Located, *, channels: int, cells: int, classes: int, train_text: bool) -> None:
        """located: a BERT. channels: numbers a cell has. train_text: whether BERT trains, or only what is new.

        Raises Refused if the text encoder is no BERT.
        """
        super().__init__()
        refuse_other(located)
        self.bert = encoders.unfrozen(located).model
        self.bert.pooler = None  # the class has a layer of its own
        self.train_text = train_text
        self.bert.requires_grad_(train_text)
        config = self.bert.config
        self.project = nn.Linear(channels, config.hidden_size)
        self.position = nn.Embedding(cells, config.hidden_size)
        self.modality = nn.Embedding(2, config.hidden_size)
        for table in (self.position, self.modality):
            nn.init.normal_(table.weight, std=config.initializer_range)  # as BERT's own tables began
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classify = nn.Linear(config.hidden_size, classes)

    def train(self, mode: bool = True) -> "MultimodalTransformer":
        super().train(mode)
        self.bert.train(mode and self.train_text)  # a frozen encoder drops nothing
        return self

    def forward(
        self,
        grid: Float[Tensor, "batch cells channels"],
        input_ids: Int[Tensor, "batch tokens"],
        attention_mask: Int[Tensor, "batch tokens"],
    ) -> Float[Tensor, "batch classes"]:
        """Logits. attention_mask: 1 for word pieces, 0 for padding, which changes nothing."""
        cells = self.project(grid) + self.position.weight + self.modality.weight[IMAGE]
        words = self.bert.get_input_embeddings()(input_ids) + self.modality.weight[TEXT]
        # BERT adds its own positions, too. Words have theirs; cells share one, for which their modality makes up.
        place = torch.arange(words.shape[1], device=grid.device)
        read = self.bert(
            inputs_embeds=torch.cat([cells, words], dim=1),
            attention_mask=torch.cat([attention_mask.new_ones(cells.shape[:2]), attention_mask], dim=1),
            position_ids=torch.cat([place.new_zeros(cells.shape[1]), place])[None],
        )
        return self.classify(self.dropout(read.last_hidden_state[:, 0])).float()


def refuse_other(located: Located) -> None:
    """Raise Refused for anything but a BERT, before it is loaded."""
    if (found := architecture(located)) != "bert":
        raise Refused(
            f"{located.name} is of type {found!r}; a grid's cells are read by a BERT, whose positions are absolute "
            "and can be given to each: take bert-base-uncased or all-MiniLM-L6-v2"
        )
