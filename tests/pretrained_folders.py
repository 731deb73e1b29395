"""Small folders such as pretraining leaves them, with weights that say something different everywhere."""

import json

import torch

from litebert.checkpoint.pretrained import AlbertForPreTraining
from litebert.config import AlbertConfig
from litebert.text import AlbertTokenizer

TINY = {
    "vocab_size": 30000, "embedding_size": 16, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 64, "max_position_embeddings": 32,
}  # fmt: skip


def pretrained_folder(folder, cls=AlbertForPreTraining, *, info=None, seed=0, **changes):
    """Write a model of random weights, none near zero, with the bundled vocabulary; return the folder."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = cls(AlbertConfig(**{**TINY, **changes}))
        for parameter in model.parameters():
            parameter.data += torch.randn_like(parameter) * 0.2
    model.save_pretrained(folder)
    AlbertTokenizer.bundled().save_pretrained(folder)
    if info is not None:
        (folder / "litebert.json").write_text(json.dumps({"format_version": 1, **info}))
    return folder
