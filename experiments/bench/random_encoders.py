"""BERT-base and ResNet-50 with random weights, as folders that any loader takes: what speed needs of an encoder, and no
network. A vector of theirs means nothing."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

BERT: dict[str, Any] = {}  # transformers' own defaults are BERT-base's: 12 layers, 768 wide, 30,522 word pieces
BLOCKS = (3, 4, 6, 3)  # ResNet-50's, a stage
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
BRANCH_SCALE = 0.25  # of each residual branch; at 1 the activations would double with every block
WORD = re.compile(r"\w+|[^\w\s]")


def write_text(folder: Path, texts: Iterable[str]) -> Path:
    """BERT-base, and a tokenizer that has every word of `texts` whole: as BERT's has nearly all words of English."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, logging

    logging.disable_progress_bar()
    torch.manual_seed(0)
    config = BertConfig(**BERT)
    BertModel(config).save_pretrained(folder)
    words = sorted({word for text in texts for word in WORD.findall(text.lower())})
    pieces = [*SPECIALS, *words][: config.vocab_size]
    tokenizer = Tokenizer(models.WordPiece({piece: at for at, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(token, pieces.index(token)) for token in ("[CLS]", "[SEP]")]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    roles = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **roles}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def write_image(folder: Path) -> Path:
    """ResNet-50, no weight of which is zero: a GPU multiplies zeros faster than numbers."""
    from safetensors.torch import save_file
    from torchvision.models.resnet import Bottleneck, ResNet

    torch.manual_seed(0)
    net = ResNet(Bottleneck, list(BLOCKS))
    for module in net.modules():
        if isinstance(module, Bottleneck):
            torch.nn.init.constant_(module.bn3.weight, BRANCH_SCALE)
    folder.mkdir(parents=True)
    save_file(net.state_dict(), folder / "model.safetensors")
    return folder
