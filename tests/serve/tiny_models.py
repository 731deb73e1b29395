"""Folders of tiny models for every task, with weights drawn at random: their answers mean nothing, and differ from text to text."""

import torch

from litebert.config import AlbertConfig
from litebert.tasks.examples import TextSettings
from litebert.tasks.model_folder import save_task_model
from litebert.tasks.registry import task_class
from litebert.text import AlbertTokenizer
from tests.pretrained_folders import TINY

TINY_TASKS = {
    "mood": ("classify", {"labels": ["neg", "neutral", "pos"]}),
    "topics": ("classify", {"labels": ["rude", "spam", "threat"], "kind": "multi"}),
    "value": ("classify", {"kind": "regression"}),
    "names": ("ner", {"labels": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]}),
    "squad": ("qa", {"unanswerable": True}),
    "multiple": ("choice", {}),
    "ranker": ("rerank", {}),
    "shortener": ("summarize", {}),
}
"""Name of the folder: task and its options."""


def write_tiny_models(folder):
    """Write them all; return their folders by name."""
    return {name: _write(folder / name, number, *of) for number, (name, of) in enumerate(TINY_TASKS.items())}


def _write(folder, seed, name, options):
    kind = task_class(name)
    task = kind.from_dict({"name": name, **options}) if name == "ner" else kind.from_records([], options)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = task.model_class(AlbertConfig(**{**TINY, "max_position_embeddings": 64, **task.config_changes()}))
        for parameter in model.parameters():
            parameter.data += torch.randn_like(parameter) * 0.2
    save_task_model(folder, task, model.eval(), AlbertTokenizer.bundled(), TextSettings(max_length=64), provenance={})
    return folder
