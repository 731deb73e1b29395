"""The tokenizer of ALBERT: raw text in, ids with types and character offsets out.

Style ``"google"`` gives the ids of ``FullTokenizer`` in google-research/albert ``tokenization.py``, which the released weights
were trained with; style ``"hf"`` those of the ``transformers`` tokenizer, which also turns LaTeX quotes into ``"``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, Self

from litebert.errors import CheckpointError, UsageError
from litebert.text.encoding import (
    Encoding,
    Template,
    Tokens,
    Truncation,
    check_lengths,
    kept_lengths,
    special_count,
)
from litebert.text.normalization import checked
from litebert.text.segmenter import Step, segment_all
from litebert.text.sentencepiece_tokenizer import SentencePieceSegmenter
from litebert.text.settings import SPECIALS, Settings
from litebert.text.vocabulary_files import (
    find_vocabulary,
    load_segmenter,
    read_settings,
    write_folder,
)
from litebert.text.windows import windows
from litebert.text.wordpiece import WordPieceSegmenter


class AlbertTokenizer:
    """Turns text into model input, for SentencePiece (English) and WordPiece (Chinese) vocabularies.

    Use :meth:`from_pretrained`, :meth:`from_file` or :meth:`bundled` to make one.

    Args:
        segmenter: Engine and vocabulary.
        settings: Style and text rules, remembered by :meth:`save_pretrained`.

    Raises:
        CheckpointError: A special token is missing from the vocabulary.
    """

    def __init__(self, segmenter: SentencePieceSegmenter | WordPieceSegmenter, settings: Settings) -> None:
        self._segmenter = segmenter
        self.settings = settings
        self._ids = {piece: i for i, piece in enumerate(segmenter.pieces)}
        self.specials = dict(SPECIALS[segmenter.kind])
        missing = [piece for piece in self.specials.values() if piece not in self._ids]
        if missing:
            raise CheckpointError(
                f"The vocabulary lacks the special token(s) {', '.join(missing)}.",
                hint="Is it an ALBERT vocabulary? A padding or unknown token is never made up.",
            )
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (
            self._ids[piece] for piece in self.specials.values()
        )
        self._template = Template(self.cls_id, self.sep_id, segmenter.pieces)
        self._special_pattern = re.compile("|".join(re.escape(piece) for piece in self.specials.values()))

    @classmethod
    def from_pretrained(cls, path: str | Path, /, **settings: Any) -> Self:
        """Load from a folder or a vocabulary file.

        Args:
            path: Folder, ``*.model``, ``vocab*.txt`` or ``tokenizer.json``.
            **settings: ``style``, ``lower``, ``keep_accents``, ``remove_space``, ``model_max_length``, over what the
                folder says.

        Returns:
            The tokenizer.

        Raises:
            CheckpointError: Nothing usable is there.
        """
        return cls.from_folder(path, **settings) if Path(path).is_dir() else cls.from_file(path, **settings)

    @classmethod
    def from_folder(cls, path: str | Path, /, **settings: Any) -> Self:
        """Load from a folder; arguments as for :meth:`from_pretrained`."""
        return cls.from_file(find_vocabulary(Path(path)), **{**read_settings(Path(path)), **settings})

    @classmethod
    def from_file(cls, path: str | Path, /, **settings: Any) -> Self:
        """Load from a vocabulary file alone; arguments as for :meth:`from_pretrained`."""
        chosen = _settings(settings)
        return cls(load_segmenter(Path(path), chosen), chosen)

    @classmethod
    def bundled(cls, **settings: Any) -> Self:
        """Return the tokenizer of the released English models, which comes with the package."""
        file = resources.files("litebert").joinpath("resources", "albert-vocab", "spiece.model")
        chosen = replace(_settings(settings), model_max_length=settings.get("model_max_length", 512))
        return cls(SentencePieceSegmenter(file.read_bytes(), chosen.normalizer), chosen)

    def save_pretrained(self, folder: str | Path) -> list[Path]:
        """Write the tokenizer's files such that ``transformers`` loads them too.

        Args:
            folder: Created if missing.

        Returns:
            The files written.
        """
        return write_folder(Path(folder), self._segmenter, self.settings, specials=self.specials)

    @property
    def kind(self) -> str:
        """``"sentencepiece"`` or ``"wordpiece"``."""
        return self._segmenter.kind

    @property
    def style(self) -> str:
        """``"google"`` or ``"hf"``."""
        return self.settings.style

    @property
    def model_max_length(self) -> int | None:
        """Longest input of the model this tokenizer came with, in tokens; None if unknown. Not applied by itself."""
        return self.settings.model_max_length

    @property
    def vocab_size(self) -> int:
        """Number of pieces."""
        return len(self._segmenter.pieces)

    @property
    def vocabulary(self) -> Sequence[str]:
        """The pieces in id order."""
        return self._segmenter.pieces

    @property
    def piece_scores(self) -> Sequence[float] | None:
        """Log probability of each piece in id order; None for WordPiece, which has none."""
        return self._segmenter.scores if isinstance(self._segmenter, SentencePieceSegmenter) else None

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids of the five special tokens."""
        return frozenset((self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id))

    def __len__(self) -> int:
        return self.vocab_size

    def __repr__(self) -> str:
        return f"AlbertTokenizer(kind={self.kind!r}, vocab_size={self.vocab_size}, style={self.style!r})"

    def piece_to_id(self, piece: str) -> int:
        """Return the id of a piece, the unknown id if it has none."""
        return self._ids.get(piece, self.unk_id)

    def id_to_piece(self, index: int) -> str:
        """Return the piece of an id.

        Raises:
            UsageError: There is no such id.
        """
        if not 0 <= index < self.vocab_size:
            raise UsageError(f"Token id {index} is outside the vocabulary (0 to {self.vocab_size - 1}).")
        return self._segmenter.pieces[index]

    def tokenize(self, text: str) -> list[str]:
        """Return the pieces of a text without special tokens; unknown text appears as it is (SentencePiece).

        Raises:
            DataError: ``text`` is not a string.
        """
        return self._segmenter.surfaces(checked(text))

    def explain(self, text: str) -> list[Step]:
        """Return every step from the text to its ids: pairs of name and result, in order.

        Raises:
            DataError: ``text`` is not a string.
        """
        steps = self._segmenter.explain(checked(text))
        return [("input", text), *steps, ("ids", [str(i) for i in self.encode(text).ids])]

    def encode(
        self,
        text: str,
        pair: str | None = None,
        *,
        max_length: int | None = None,
        truncation: Truncation = "longest_first",
        allow_special: bool = False,
    ) -> Encoding:
        """Turn a text or a pair into one model input with offsets.

        Args:
            text: First text.
            pair: Second text, if any.
            max_length: Largest number of tokens, specials included; None for no limit.
            truncation: What to cut, always from the end: ``"longest_first"`` (Google's rule), ``"only_first"``,
                ``"only_second"``, or ``"none"`` to ignore ``max_length``.
            allow_special: Read ``[MASK]`` and the other special tokens in the text as special tokens. Off by default: what
                users type is text.

        Returns:
            Ids, type ids, offsets into the originals.

        Raises:
            DataError: A text is not a string.
            UsageError: ``max_length`` or ``truncation`` cannot be met.
        """
        return self.encode_batch(
            [text],
            None if pair is None else [pair],
            max_length=max_length,
            truncation=truncation,
            offsets=True,
            threads=None,
            allow_special=allow_special,
        )[0]

    def encode_batch(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        max_length: int | None = None,
        truncation: Truncation = "longest_first",
        offsets: bool = False,
        threads: int | None = None,
        allow_special: bool = False,
    ) -> list[Encoding]:
        """Turn many texts or pairs into model inputs, on all cores; arguments as for :meth:`encode`.

        Args:
            texts: First texts.
            pairs: Second texts, one per first text.
            max_length: Largest number of tokens, specials included.
            truncation: What to cut.
            offsets: Whether to fill in character offsets (costs about half as much again).
            threads: Number of threads; None chooses.
            allow_special: Read special tokens in the texts as such.

        Returns:
            One encoding per text, in order.

        Raises:
            DataError: A text is not a string.
            UsageError: Numbers of texts differ, or ``max_length`` or ``truncation`` cannot be met.
        """
        _check_batch(texts, pairs)
        check_lengths(max_length, truncation, has_pair=pairs is not None)
        budget = None if max_length is None or truncation == "none" else max_length - special_count(pairs is not None)
        found = self._of_each(texts, pairs, offsets=offsets, threads=threads, limit=budget, allow_special=allow_special)
        return [self._fit(first, second, budget, truncation) for first, second in found]

    def ids_batch(self, texts: Sequence[str], threads: int = 1) -> list[list[int]]:
        """Return the ids of many texts without special tokens: what :meth:`encode` puts between them, and nothing else.

        The quickest way from text to ids, for corpora: no encodings are built and no offsets found.

        Args:
            texts: Sentences or whole texts.
            threads: Number of threads; a program with one process a core wants 1.

        Returns:
            One list a text, in order.

        Raises:
            DataError: A text is not a string.
        """
        _check_batch(texts, None)
        flat = [checked(text) for text in texts]
        return [ids for ids, _ in segment_all(self._segmenter, flat, offsets=False, threads=threads)]

    def encode_windows(
        self, text: str, pair: str | None = None, max_length: int = 512, stride: int = 128
    ) -> list[Encoding]:
        """Turn a text or a pair of any length into overlapping model inputs that leave nothing out.

        Args:
            text: First text.
            pair: Second text; the long side is windowed, both in lockstep if both are long.
            max_length: Largest number of tokens per window, specials included.
            stride: Number of tokens that neighbouring windows share.

        Returns:
            At least one encoding; offsets index the whole originals.

        Raises:
            DataError: A text is not a string.
            UsageError: ``max_length`` leaves no room to advance.
        """
        pairs = None if pair is None else [pair]
        return self.encode_windows_batch([text], pairs, max_length=max_length, stride=stride, offsets=True)[0]

    def encode_windows_batch(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        max_length: int = 512,
        stride: int = 128,
        offsets: bool = False,
        threads: int | None = None,
    ) -> list[list[Encoding]]:
        """Turn many texts or pairs of any length into model inputs that leave nothing out; arguments as for :meth:`encode_windows`.

        Args:
            texts: First texts.
            pairs: Second texts, one per first text.
            max_length: Largest number of tokens per window, specials included.
            stride: Number of tokens that neighbouring windows share.
            offsets: Whether to fill in character offsets.
            threads: Number of threads; None chooses.

        Returns:
            For each text at least one encoding.

        Raises:
            DataError: A text is not a string.
            UsageError: Numbers of texts differ, or ``max_length`` leaves no room to advance.
        """
        _check_batch(texts, pairs)
        windows(0, None if pairs is None else 0, max_length, stride)  # refuse before the work
        found = self._of_each(texts, pairs, offsets=offsets, threads=threads, limit=None, allow_special=False)
        return [self._in_windows(first, second, max_length, stride) for first, second in found]

    def _in_windows(self, first: Tokens, second: Tokens | None, max_length: int, stride: int) -> list[Encoding]:
        cut = windows(len(first.ids), None if second is None else len(second.ids), max_length, stride)
        return [
            self._template.build(
                first.part(window.first),
                None if second is None or window.second is None else second.part(window.second),
            )
            for window in cut
        ]

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """Return the text that ids stand for (lower-cased and normalised as the vocabulary is).

        Args:
            ids: Token ids, with or without specials.
            skip_special: Leave special tokens out, the unknown token too.

        Raises:
            UsageError: An id is outside the vocabulary.
        """
        special = self.special_ids if skip_special else frozenset()
        return self._segmenter.decode([self.id_to_piece(int(i)) for i in ids if int(i) not in special])

    def _fit(self, first: Tokens, second: Tokens | None, budget: int | None, truncation: Truncation) -> Encoding:
        more = 0 if second is None else len(second.ids)
        if budget is None or len(first.ids) + more <= budget:
            return self._template.build(first, second)
        keep_a, keep_b = kept_lengths(len(first.ids), more, budget, truncation)
        kept = None if second is None else second.part(slice(keep_b))
        return self._template.build(first.part(slice(keep_a)), kept, truncated=True)

    def _of_each(
        self, texts: Sequence[str], pairs: Sequence[str] | None, *, offsets: bool, threads: int | None, limit: int | None,
        allow_special: bool,
    ) -> list[tuple[Tokens, Tokens | None]]:  # fmt: skip
        """Return the tokens of each text and of what it is paired with; other arguments as for ``_tokens``."""
        flat = [checked(text) for text in (texts if pairs is None else [*texts, *pairs])]
        found = self._tokens(flat, offsets=offsets, threads=threads, limit=limit, allow_special=allow_special)
        seconds = [None] * len(texts) if pairs is None else found[len(texts) :]
        return list(zip(found[: len(texts)], seconds, strict=True))

    def _tokens(
        self, texts: list[str], *, offsets: bool, threads: int | None, limit: int | None, allow_special: bool
    ) -> list[Tokens]:
        if not allow_special:
            return segment_all(self._segmenter, texts, offsets=offsets, threads=threads, limit=limit)
        split = [self._split_specials(text) for text in texts]
        plain = [part for parts in split for _, part in parts if isinstance(part, str)]
        found = iter(segment_all(self._segmenter, plain, offsets=offsets, threads=threads, limit=limit))
        results = []
        for parts in split:
            joined = Tokens([], [])
            for start, part in parts:
                if isinstance(part, str):
                    tokens = next(found)
                    joined.ids.extend(tokens.ids)
                    joined.offsets.extend((s + start, e + start) for s, e in tokens.offsets)
                else:
                    joined.ids.append(self._ids[part.group()])
                    joined.offsets.extend([part.span()] if offsets else [])
            results.append(joined)
        return results

    def _split_specials(self, text: str) -> list[tuple[int, str | re.Match[str]]]:
        """Cut a text at special tokens; the white space before a mask goes with it, as transformers has it."""
        parts: list[tuple[int, str | re.Match[str]]] = []
        at = 0
        for match in self._special_pattern.finditer(text):
            before = text[at : match.start()]
            parts += [
                (at, before.rstrip() if match.group() == self.specials["mask"] else before),
                (match.start(), match),
            ]
            at = match.end()
        return [*parts, (at, text[at:])]


def _settings(given: dict[str, Any]) -> Settings:
    try:
        return Settings(**given)
    except TypeError as error:
        allowed = ", ".join(Settings.__dataclass_fields__)
        raise UsageError(f"Unknown tokenizer setting: {error}", hint=f"Allowed: {allowed}.") from None


def _check_batch(texts: Sequence[str], pairs: Sequence[str] | None) -> None:
    for name, value in (("texts", texts), ("pairs", pairs)):
        if isinstance(value, str):
            raise UsageError(f"{name} must be a list of strings, not one string.", hint="Use encode() for one text.")
    if pairs is not None and len(pairs) != len(texts):
        raise UsageError(f"{len(texts)} texts but {len(pairs)} second texts.", hint="Pass one second text per text.")
