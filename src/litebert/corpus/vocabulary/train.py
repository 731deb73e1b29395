"""Training an ALBERT vocabulary: a sample of the text, ALBERT's text rules, SentencePiece with ALBERT's flags.

Implements the vocabulary section of google-research/albert's README (unigram, ``[CLS] [SEP] [MASK]`` as control symbols, user-defined
punctuation, padding 0, unknown 1, no sentence marks). The text goes through the very rules the tokenizer applies before
SentencePiece, so that what is learnt is what will be asked for.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from litebert import files
from litebert.corpus.reading.readers import nothing_read
from litebert.corpus.vocabulary import line_sampling, sentencepiece_process
from litebert.corpus.vocabulary.figures import Figures, measure
from litebert.corpus.vocabulary.line_sampling import TextFile
from litebert.corpus.vocabulary.settings import VocabularySettings
from litebert.errors import UsageError
from litebert.text import AlbertTokenizer
from litebert.text.sentencepiece_tokenizer import SPACE
from litebert.text.settings import SPECIALS

__all__ = ["Figures", "VocabularyResult", "VocabularySettings", "plan_vocabulary", "train_vocabulary"]

RECORD = "vocabulary.json"
OURS = (RECORD, "spiece.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
"""Files of a vocabulary folder; only these are replaced."""

Progress = Callable[[str, int, int | None], None]
"""Takes the stage, how much of it is done, and how much there is."""

_HELD_BACK_BYTES = 2_000_000
_LARGE_CORPUS = 1_000_000_000  # bytes; from here on SentencePiece's suffix array needs 64-bit positions
_SHRINKS_BY = 0.75  # SentencePiece's shrinking_factor
_SPARE = 1.1  # it stops shrinking at this many times the size
_RULES = ("style", "lower", "keep_accents")
_FEW_LINES = 1000
_SAMPLE, _TRAINED = "sample.txt", "trained"


@dataclass(frozen=True)
class VocabularyResult:
    """A trained vocabulary.

    Attributes:
        folder: Where it is.
        pieces: Their number.
        characters: Number of pieces of one character, a leading space aside.
        figures: Measured on held-back lines.
        sample_lines: Lines trained on.
        sample_bytes: Bytes of text under the text rules trained on.
        seconds: Time taken: sampling, training, all.
        warnings: What the user should know.
    """

    folder: Path
    pieces: int
    characters: int
    figures: Figures
    sample_lines: int
    sample_bytes: int
    seconds: dict[str, float]
    warnings: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON data."""
        return {**asdict(self), "folder": str(self.folder)}


def plan_vocabulary(inputs: Sequence[str | Path], out: str | Path, settings: VocabularySettings) -> dict[str, Any]:
    """Return what would be done, as JSON data.

    Args:
        inputs: As for :func:`train_vocabulary`.
        out: Folder of the vocabulary.
        settings: How it would be trained.

    Raises:
        DataError: An input is missing or cannot be read.
        MachineError: A package for it is not installed.
    """
    found = line_sampling.find_files(inputs, settings.read)
    there = sum(file.text_bytes for file in found)
    return {
        "settings": settings.model_dump(mode="json"),
        "inputs": _described(found),
        "text_bytes": there,
        "sample_bytes": min(there, settings.sample_bytes),
        "sample_rate": line_sampling.sample_rate(found, settings.sample_bytes),
        "files": [str(Path(out) / name) for name in OURS],
    }


def train_vocabulary(
    inputs: Sequence[str | Path], out: str | Path, settings: VocabularySettings, progress: Progress | None = None,
    *, force: bool = False, verbose: bool = False,
) -> VocabularyResult:  # fmt: skip
    """Train a vocabulary and write it as a folder that ``AlbertTokenizer.from_pretrained`` loads.

    Args:
        inputs: Text, JSONL, Parquet or HTML files, packed or not, folders, globs, URLs: what a corpus is built from.
        out: Folder to make; it appears when all is done.
        settings: How to train.
        progress: Told how far the work is.
        force: Replace a vocabulary that is there.
        verbose: Let SentencePiece's log through to stderr.

    Returns:
        Where it is and what it does to held-back text.

    Raises:
        UsageError: ``out`` is occupied.
        DataError: An input is missing, no text or empty, or the size is impossible for it; names the nearest that works.
        RunError: The folder cannot be written.
    """
    out = Path(out)
    _check_free(out, force=force)
    begin = time.perf_counter()
    found = line_sampling.find_files(inputs, settings.read)
    with files.new_folder(out) as folder:
        work = folder / "work"
        work.mkdir()
        drawn = _draw(found, work / _SAMPLE, settings, progress)
        sampled = time.perf_counter()
        model = _train(work, drawn, settings, progress, verbose=verbose)
        trained = time.perf_counter()
        shutil.rmtree(work)
        (folder / "spiece.model").write_bytes(model)
        rules = {name: getattr(settings, name) for name in _RULES}
        tokenizer = AlbertTokenizer.from_file(folder / "spiece.model", **rules)
        tokenizer.save_pretrained(folder)
        alphabet = sorted({p.removeprefix(SPACE) for p in tokenizer.vocabulary if len(p.removeprefix(SPACE)) == 1})
        lines = drawn.held_back or drawn.first
        figures = measure(tokenizer, lines, held_back=bool(drawn.held_back))
        seconds = {"sampling": sampled - begin, "training": trained - sampled, "all": time.perf_counter() - begin}
        result = VocabularyResult(
            out,
            tokenizer.vocab_size,
            len(alphabet),
            figures,
            drawn.lines,
            drawn.bytes,
            seconds,
            _warnings(drawn, figures),
        )
        files.write_json(folder / RECORD, _record(result, found, drawn, settings, "".join(alphabet)))
    return result


@dataclass
class _Sample:
    """What was drawn: counts, those of the readers, a digest, the held-back lines and, for want of any, some that are trained on."""

    lines: int = 0
    bytes: int = 0
    damaged: int = 0
    cut: int = 0
    sha256: str = ""
    by_file: Counter[int] = field(default_factory=Counter)
    reading: Counter[str] = field(default_factory=Counter)
    held_back: list[str] = field(default_factory=list)
    first: list[str] = field(default_factory=list)


def _check_free(out: Path, *, force: bool) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, not a folder", hint="Name a new folder.", path=out)
    inside = sorted(p.name for p in out.iterdir()) if out.is_dir() else []
    if inside and not force:
        raise UsageError(
            f"{out} is not empty",
            hint="Add --force to replace the vocabulary in it, or choose another --out.",
            path=out,
        )
    foreign = [name for name in inside if name not in OURS]
    if foreign:
        raise UsageError(
            f"{out} holds files that are no part of a vocabulary: {', '.join(foreign[:5])}",
            hint="They are not removed, not even with --force. Choose another --out, or move them away.", path=out,
        )  # fmt: skip


def _draw(found: list[TextFile], target: Path, settings: VocabularySettings, progress: Progress | None) -> _Sample:
    """Write the lines to train on under the text rules, and keep some for measuring."""
    normalizer = settings.rules.normalizer
    size = sum(file.text_bytes for file in found)
    on_bytes = None if progress is None else lambda done: progress("reading", done, size)
    drawn = _Sample()
    digest = hashlib.sha256()
    lines = line_sampling.sample(
        found, settings.sample_bytes, _HELD_BACK_BYTES, settings.seed, settings.read, drawn.reading, on_bytes
    )
    with target.open("wb") as stream:
        for line in lines:
            if line_sampling.is_damaged(line.text):
                drawn.damaged += 1
                continue
            if line.held_back:
                drawn.held_back.append(line.text)
                continue
            parts = _cut(normalizer(line.text).encode("utf-8", "replace"), settings.max_sentence_bytes)
            drawn.cut += len(parts) > 1
            for part in parts:
                digest.update(part + b"\n")
                stream.write(part + b"\n")
                drawn.bytes += len(part) + 1
            drawn.lines += len(parts)
            drawn.by_file[line.file] += 1
            if len(drawn.first) < _FEW_LINES:
                drawn.first.append(line.text)
    drawn.sha256 = digest.hexdigest()
    if not drawn.lines:
        raise nothing_read([entry.file for entry in found], {"file not text": 1} if drawn.damaged else drawn.reading)
    return drawn


def _cut(text: bytes, longest: int) -> list[bytes]:
    """Cut a line between words, or between characters where a word is longer than a line may be."""
    parts = []
    while len(text) > longest:
        at = text.rfind(b" ", 1, longest + 1)
        if at < 0:
            at = longest
            while text[at] & 0xC0 == 0x80:  # the inside of a UTF-8 character
                at -= 1
        parts.append(text[:at])
        text = text[at:].lstrip(b" ")
    return [part for part in (*parts, text) if part]


def _train(
    work: Path, drawn: _Sample, settings: VocabularySettings, progress: Progress | None, *, verbose: bool
) -> bytes:
    """Return the trained model."""
    pieces = SPECIALS["sentencepiece"]
    flags = {
        "input": [_SAMPLE],
        "model_prefix": _TRAINED,
        "model_type": settings.model_type,
        "vocab_size": settings.size,
        "character_coverage": settings.character_coverage,
        "pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1,
        "pad_piece": pieces["pad"], "unk_piece": pieces["unk"],
        "control_symbols": [pieces[role] for role in ("cls", "sep", "mask")],
        "user_defined_symbols": list(settings.user_defined),
        "normalization_rule_name": "nmt_nfkc",
        "max_sentence_length": settings.max_sentence_bytes,
        # Lines are drawn already; SentencePiece draws again only from more lines than it may load.
        "input_sentence_size": settings.sentences if drawn.lines > settings.sentences else 0,
        "shuffle_input_sentence": True,
        "train_extremely_large_corpus": drawn.bytes > _LARGE_CORPUS,
        "shrinking_factor": _SHRINKS_BY,
        "num_threads": settings.threads,
        "minloglevel": 0,
    }  # fmt: skip
    first = 0

    def on_pieces(left: int) -> None:
        nonlocal first
        first = first or left
        if progress is not None:
            step = -math.log(_SHRINKS_BY)
            rounds = max(1, math.ceil(math.log(max(1.0, first / (_SPARE * settings.size))) / step))
            progress("training", min(rounds, round(math.log(first / left) / step)), rounds)

    sentencepiece_process.train(flags, work, settings.seed, on_pieces, verbose=verbose)
    return (work / f"{_TRAINED}.model").read_bytes()


def _warnings(drawn: _Sample, figures: Figures) -> list[str]:
    found = []
    if drawn.damaged:
        found.append(
            f"{drawn.damaged:,} lines of the sample hold bytes that could not be decoded and were left out (setting read.encoding)"
        )
    if rows := sum(drawn.reading[name] for name in ("row not json", "row too long", "row without text")):
        found.append(f"{rows:,} rows held no usable text (setting read.text_field)")
    if whole := drawn.reading["file not text"] + drawn.reading["file damaged"]:
        found.append(f"{whole:,} {'file was' if whole == 1 else 'files were'} damaged or not text")
    if not figures.held_back:
        found.append("the text is too small to keep lines apart: the figures are those of lines trained on")
    if figures.unknown_rate > 0.001:
        found.append(f"{figures.unknown_rate:.2%} of the tokens are unknown: raise --coverage, or look at the text")
    return found


def _described(found: list[TextFile]) -> list[dict[str, Any]]:
    return [{"name": entry.name, "bytes": entry.file.size, "text_bytes": entry.text_bytes} for entry in found]


def _record(
    result: VocabularyResult, found: list[TextFile], drawn: _Sample, settings: VocabularySettings, alphabet: str
) -> dict[str, Any]:
    """Return what ``vocabulary.json`` says: no times, no places, so that equal runs leave equal files."""
    inputs = [{**entry, "lines_drawn": drawn.by_file[i]} for i, entry in enumerate(_described(found))]
    return {
        "settings": settings.model_dump(mode="json"),
        "inputs": inputs,
        "sample": {
            "lines": drawn.lines, "bytes": drawn.bytes, "cut_lines": drawn.cut, "undecodable_lines": drawn.damaged,
            "sha256": drawn.sha256,
        },
        "reading": dict(sorted(drawn.reading.items())),
        "pieces": result.pieces,
        "characters": result.characters,
        "alphabet": alphabet,
        "figures": asdict(result.figures),
        "versions": {name: version(name) for name in ("litebert", "sentencepiece")},
    }  # fmt: skip
