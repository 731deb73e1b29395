"""What a pretraining run begins with: corpora opened and checked, first weights read, the network built."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from typing import Any

import torch

from litebert.checkpoint.pretrained import AlbertForPreTraining, read_source
from litebert.checkpoint.pretrained import AlbertTokenizer as TokenizerOfModel
from litebert.checkpoint.reference import RANDOM
from litebert.checkpoint.source import Source
from litebert.corpus.shards import Corpus
from litebert.errors import CheckpointError, ConfigError, UsageError
from litebert.pretrain.batches import BatchPlan
from litebert.pretrain.planning import RowCounts
from litebert.pretrain.settings import PretrainSettings
from litebert.pretrain.stream import RowStream
from litebert.pretrain.warm_start import grown, with_untrained_positions
from litebert.text import AlbertTokenizer
from litebert.train.checkpoints import seed_everything
from litebert.train.precision import uses_bfloat16


@dataclass
class Prepared:
    """A run with its corpus and first weights read, before any training."""

    settings: PretrainSettings
    corpus: Corpus
    held_out: Corpus | None
    tokenizer: AlbertTokenizer
    source: Source
    warnings: list[str]
    counts: RowCounts = field(default_factory=RowCounts)

    def plan(self) -> BatchPlan:
        """Return the batch sizes."""
        s, c = self.settings, self.settings.curriculum
        ramp = round((c.planned_steps or 0) * c.batch_until) if c.first_batch_size is not None else 0
        return BatchPlan(s.training.batch_size, c.first_batch_size or s.training.batch_size, ramp, s.block)

    def progress(self, step: int) -> float:
        """Return the part of the planned run that is done at a step."""
        return min(step / max(self.settings.curriculum.planned_steps or 1, 1), 1.0)

    def in_bfloat16(self, device: torch.device) -> bool:
        """Whether matrix products run in bfloat16 on a device."""
        return uses_bfloat16(self.settings.training.precision, device, self.source.config.hidden_size)

    def stream(self) -> RowStream:
        """Return the rows."""
        return RowStream(
            self.corpus, self.settings.examples, seed=self.settings.training.seed, progress=self.progress,
            counts=self.counts, ahead=True,
        )  # fmt: skip


def prepare(settings: PretrainSettings) -> Prepared:
    """Open the corpora and read the model to start from; nothing is written.

    Raises:
        LitebertError: Whatever is wrong with corpus, model or settings.
    """
    corpus = Corpus(settings.corpus)
    tokenizer = corpus.tokenizer()
    held_out = Corpus(settings.held_out) if settings.held_out else None
    for each in (corpus, held_out) if settings.verify else ():
        if each is not None:
            each.verify()
    if held_out is not None:
        held_out.tokenizer()  # its own is in order
        held_out.check_tokenizer(tokenizer)
    source = _first_weights(settings, tokenizer.vocab_size)
    if source.config.vocab_size < tokenizer.vocab_size:
        raise ConfigError(
            f"the corpus has {tokenizer.vocab_size} pieces, the model only {source.config.vocab_size} rows",
            hint="Build the corpus with the model's own tokenizer: --tokenizer MODEL.",
        )
    if settings.examples.length > source.config.max_position_embeddings:
        raise UsageError(
            f"examples.length={settings.examples.length} exceeds the model's {source.config.max_position_embeddings} positions",
            hint="Lower it, or set config.max_position_embeddings for random weights.",
        )
    warnings = [*source.notes, *_checked_vocabulary(settings.model, corpus)]
    if held_out is None:
        warnings.append("no held-out corpus: the run is not evaluated (--held-out DIR)")
    elif held_out.fingerprint == corpus.fingerprint:
        raise UsageError("the held-out corpus is the training corpus", hint="Name text that is never trained on.")
    return Prepared(settings, corpus, held_out, tokenizer, source, warnings)


def _checked_vocabulary(model: str, corpus: Corpus) -> list[str]:
    """Refuse a corpus whose ids mean other pieces to the model than to the corpus; return what cannot be known."""
    if model.startswith(RANDOM):
        return []
    try:
        tokenizer = TokenizerOfModel.from_pretrained(model)
    except CheckpointError as error:
        return [f"the checkpoint's vocabulary cannot be compared with the corpus's: {error.message}"]
    corpus.check_tokenizer(tokenizer, of=model)
    return []


def _first_weights(settings: PretrainSettings, vocab_size: int) -> Source:
    if settings.model.startswith(RANDOM):
        return read_source(settings.model, **{"vocab_size": vocab_size, **settings.config})
    source = with_untrained_positions(read_source(settings.model), settings.examples.length)
    return grown(source, settings.config, seed=settings.training.seed)


def build_model(prepared: Prepared, device: torch.device) -> AlbertForPreTraining:
    """Build the network with its first weights, its block compiled if wanted; warn of parts that the checkpoint lacks.

    Raises:
        CheckpointError: A part of the encoder would have to start from random values.
    """
    settings = prepared.settings
    backend = settings.attention
    if backend == "auto":
        backend = "eager" if device.type == "cpu" else "sdpa"
    seed_everything(settings.training.seed)
    model = AlbertForPreTraining.from_source(prepared.source, attention=backend, device=device)
    for part in model.load_report.new_parts if model.load_report is not None else ():
        told = f"the {part} starts from random values: the checkpoint has none that fits"
        prepared.warnings += [told] if told not in prepared.warnings else []
    model.albert.encoder.gradient_checkpointing = settings.training.gradient_checkpointing
    if compiles(settings, device):
        for group in model.albert.encoder.groups:
            for block in group:  # type: ignore[attr-defined]
                block.compile(dynamic=False)
    return model


def compiles(settings: PretrainSettings, device: torch.device) -> bool:
    """Whether the block and the loss are compiled: as told, or where a compiler is there and the run is long enough."""
    if settings.compile != "auto":
        return settings.compile
    training = settings.training
    long_enough = (training.minutes or 1e9) >= 3 and (training.steps or 1e9) >= 300
    there = device.type == "cuda" or any(shutil.which(name) for name in ("g++", "clang++"))
    return bool(long_enough and there)


def provenance(prepared: Prepared) -> dict[str, Any]:
    """Return what identifies the data, without paths: fingerprint, pieces, documents and files by corpus."""
    found = {"train": prepared.corpus} | ({"held_out": prepared.held_out} if prepared.held_out is not None else {})
    return {
        name: {
            "fingerprint": corpus.fingerprint, "tokens": corpus.tokens, "documents": corpus.documents, "sources": corpus.sources(),
        }
        for name, corpus in found.items()
    }  # fmt: skip
