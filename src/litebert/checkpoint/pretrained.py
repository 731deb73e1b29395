"""The networks and the tokenizer with ``from_pretrained`` and ``save_pretrained``: the classes users import.

``model/`` and ``text/`` know nothing of formats; here each of their classes gains loading from any model reference and saving as a
folder that ``transformers`` loads.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn

from litebert import files, text
from litebert.checkpoint.google import read_google
from litebert.checkpoint.huggingface import read_hugging_face, write_hugging_face
from litebert.checkpoint.reference import RANDOM, local_path, located
from litebert.checkpoint.report import LoadReport
from litebert.checkpoint.sentence_folder import check_sentence_files, write_sentence_files
from litebert.checkpoint.source import Source
from litebert.config import AlbertConfig
from litebert.errors import ConfigError
from litebert.model import albert, conditional_span, heads
from litebert.model.initial import initialise, without_drawing

logger = logging.getLogger("litebert")

FORMAT_VERSION = 1
"""Of ``litebert.json``."""


def read_source(reference: str | Path, **changes: Any) -> Source:
    """Read a checkpoint from any model reference into memory.

    Args:
        reference: See ``reference.py``.
        **changes: Configuration fields to override.
    """
    with located(reference) as place:
        if place.kind == "random":
            assert place.config is not None
            return Source("random", None, place.config.replace(**changes), {})
        assert place.folder is not None
        if place.kind == "huggingface":
            return read_hugging_face(place.folder, changes)
        assert place.prefix is not None
        return read_google(place.prefix, place.config_file, changes)


class Pretrained(nn.Module):
    """Loading and saving for a network; mixed into each public class.

    Attributes:
        load_report: What the last ``from_pretrained`` matched; None for a model made from a configuration.
    """

    load_report: LoadReport | None = None
    _class_name: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._class_name = cls.__name__

    @classmethod
    def from_pretrained(
        cls,
        reference: str | Path,
        *,
        strict: bool = True,
        attention: str = "sdpa",
        dtype: torch.dtype | None = None,
        device: str | torch.device = "cpu",
        **changes: Any,
    ) -> Self:
        """Load from any model reference, in evaluation mode.

        Args:
            reference: Bundled name, folder, Google checkpoint or archive, hub id, or ``random:PRESET``.
            strict: Refuse missing, unexpected or mismatched tensors of the encoder. A missing head is announced, never refused.
            attention: Backend.
            dtype: Floating dtype of the parameters; None for float32.
            device: Where to put the parameters.
            **changes: Configuration fields to override, e.g. ``num_labels=3``.

        Returns:
            The model; its ``load_report`` says what was matched.

        Raises:
            CheckpointError: Nothing matched, or, if strict, the encoder did not match.
        """
        return cls.from_source(
            read_source(reference, **changes), strict=strict, attention=attention, dtype=dtype, device=device
        )

    @classmethod
    def from_source(
        cls,
        source: Source,
        *,
        strict: bool = True,
        attention: str = "sdpa",
        dtype: torch.dtype | None = None,
        device: str | torch.device = "cpu",
    ) -> Self:
        """Build the network for what was read; arguments as in ``from_pretrained``."""
        if source.origin == "random":
            model = cls(source.config, attention=attention)
        else:
            with without_drawing():
                model = cls(source.config, attention=attention)
            report = source.into(model)
            report.check(strict=strict)
            _draw_missing(model, source.config, report)
            model.load_report = report
            if report.new_parts:
                logger.warning("%s", report.summary())
        return model.to(device=device, dtype=dtype or torch.float32).eval()

    def save_pretrained(self, folder: str | Path, *, stored: torch.dtype | None = None) -> None:
        """Write ``config.json``, ``model.safetensors`` and ``litebert.json``; the folder loads in ``transformers``.

        Args:
            folder: Made if missing. Files are replaced one by one, each in one step.
            stored: Precision in the file alone, for a smaller one; the folder still loads in the model's own.

        Raises:
            RunError: The folder cannot be written.
        """
        folder = Path(folder)
        needless = self.load_report.needless if self.load_report else ()
        write_hugging_face(
            self, self._albert_config(), folder, architecture=self._class_name, leave_out=needless, stored=stored
        )
        files.write_json(folder / "litebert.json", {"format_version": FORMAT_VERSION})

    def _albert_config(self) -> AlbertConfig:
        config = self.config
        assert isinstance(config, AlbertConfig)
        return config

    def num_parameters(self) -> int:
        """Return the number of distinct parameters, shared ones once."""
        return sum(p.numel() for p in self.parameters())

    def resize_token_embeddings(self, vocab_size: int) -> None:
        """Grow or cut the vocabulary; old rows keep their values bit by bit, new ones are drawn like at the start.

        Args:
            vocab_size: New number of rows of the word embedding, and of the masked-LM bias if there is one.

        Raises:
            ConfigError: Not a positive number.
        """
        body = self.albert if hasattr(self, "albert") else self
        assert isinstance(body, albert.AlbertModel)
        config = body.config.replace(vocab_size=vocab_size)
        old = body.embeddings.word.weight
        kept = min(vocab_size, old.shape[0])
        word = nn.Embedding(vocab_size, config.embedding_size, device=old.device, dtype=old.dtype)
        initialise(word, config)
        with torch.no_grad():
            word.weight[:kept] = old[:kept]
        body.embeddings.word = word
        body.config = body.encoder.config = config
        head = getattr(self, "predictions", None)
        if isinstance(head, heads.MaskedLMHead):
            bias = head.bias.new_zeros(vocab_size)
            bias[:kept] = head.bias.detach()[:kept]
            head.bias = nn.Parameter(bias)


def _draw_missing(model: nn.Module, config: AlbertConfig, report: LoadReport) -> None:
    prefix, loaded = "" if hasattr(model, "albert") else "albert.", set(report.loaded)
    tensors = model.state_dict(keep_vars=True).items()
    initialise(model, config, keep={id(tensor) for name, tensor in tensors if prefix + name in loaded})


class AlbertModel(Pretrained, albert.AlbertModel):
    """The encoder, see ``litebert.model.albert.AlbertModel``."""


class AlbertForPreTraining(Pretrained, heads.AlbertForPreTraining):
    """Masked LM and sentence order, see ``litebert.model.heads.AlbertForPreTraining``."""


class AlbertForMaskedLM(Pretrained, heads.AlbertForMaskedLM):
    """Masked LM, see ``litebert.model.heads.AlbertForMaskedLM``."""


class AlbertForSequenceClassification(Pretrained, heads.AlbertForSequenceClassification):
    """Sequence head, see ``litebert.model.heads.AlbertForSequenceClassification``."""


class AlbertForTokenClassification(Pretrained, heads.AlbertForTokenClassification):
    """Token head, see ``litebert.model.heads.AlbertForTokenClassification``."""


class AlbertForQuestionAnswering(Pretrained, heads.AlbertForQuestionAnswering):
    """Span head, see ``litebert.model.heads.AlbertForQuestionAnswering``."""


class AlbertForConditionalQuestionAnswering(Pretrained, conditional_span.AlbertForConditionalQuestionAnswering):
    """SQuAD 2.0's head, see ``litebert.model.conditional_span``; ``transformers`` has none like it and loads the encoder."""


class AlbertForSentenceEmbedding(Pretrained, heads.AlbertForSentenceEmbedding):
    """Mean of the states, see ``litebert.model.heads.AlbertForSentenceEmbedding``.

    A folder of it is an encoder's with the files by which ``sentence-transformers`` loads it.

    Attributes:
        max_length: Tokens of one input it was made for; None for all its positions.
    """

    max_length: int | None = None

    @classmethod
    def from_source(cls, source: Source, **options: Any) -> Self:
        """Build the network; arguments as in ``from_pretrained``.

        Raises:
            CheckpointError: As there, or a folder whose vectors are made in another way.
        """
        max_length = check_sentence_files(source.path) if source.path is not None else None
        model = super().from_source(source, **options)
        model.max_length = max_length
        return model

    def save_pretrained(self, folder: str | Path, *, stored: torch.dtype | None = None) -> None:
        """Write the folder; arguments and errors as for every network."""
        super().save_pretrained(folder, stored=stored)
        config = self._albert_config()
        length = self.max_length or config.max_position_embeddings
        write_sentence_files(Path(folder), hidden_size=config.hidden_size, max_length=length)


class AlbertForVectorClassification(Pretrained, heads.AlbertForVectorClassification):
    """A classifier on the mean of the states, see ``litebert.model.heads``; ``transformers`` has none like it and loads the encoder."""


AlbertForSentenceEmbedding._class_name = "AlbertModel"  # what transformers loads it as


class AlbertForMultipleChoice(Pretrained, heads.AlbertForMultipleChoice):
    """Choice head, see ``litebert.model.heads.AlbertForMultipleChoice``."""


class AlbertTokenizer(text.AlbertTokenizer):
    """The tokenizer, see ``litebert.text.AlbertTokenizer``; here it loads from any model reference."""

    @classmethod
    def from_pretrained(cls, reference: str | Path, /, **options: Any) -> Self:
        """Load the vocabulary that belongs to a model.

        Args:
            reference: Any model reference, or a vocabulary file or folder. ``random:PRESET`` gives the bundled English vocabulary.
            **options: As in ``litebert.text.AlbertTokenizer.from_folder``.

        Raises:
            CheckpointError: There is no vocabulary, or it is damaged.
        """
        path = Path(str(reference)) if str(reference).startswith(RANDOM) else local_path(reference)
        if path.is_file() and path.suffix in (".model", ".txt"):
            return cls.from_file(path, **options)
        if (path / "tokenizer_config.json").is_file():
            return cls.from_folder(path, **options)  # with a model or without
        with located(reference) as place:
            if place.folder is None:
                return cls.bundled(**options)
            folder = place.folder
            if place.prefix is not None and place.prefix.parent.name == "variables":  # TF-Hub
                assets = place.prefix.parent.parent / "assets"
                folder = assets if assets.is_dir() else folder
            return cls.from_folder(folder, **options)


def check_vocabulary(tokenizer: text.AlbertTokenizer, config: AlbertConfig) -> None:
    """Refuse a tokenizer with ids the model has no rows for.

    Raises:
        ConfigError: The vocabulary is larger than the word embedding.
    """
    if tokenizer.vocab_size > config.vocab_size:
        raise ConfigError(
            f"the vocabulary has {tokenizer.vocab_size} pieces, the model only {config.vocab_size} rows",
            hint="The tokenizer belongs to another model. Put the right vocabulary file into the folder.",
        )
