"""A tokenizer's files: finding the vocabulary in a folder, and writing a folder that ``transformers`` reads the same way.

Folders in the wild hold ``spiece.model`` (Hugging Face), ``30k-clean.model`` (Google), ``vocab.txt`` / ``vocab_chinese.txt``
(WordPiece) or, saved by transformers 5, only a ``tokenizer.json``.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from litebert.errors import CheckpointError
from litebert.text.sentencepiece_tokenizer import SentencePieceSegmenter
from litebert.text.settings import SPECIALS, Settings
from litebert.text.tokenizer_json import fast_tokenizer, transformers_class, unigram_proto
from litebert.text.wordpiece import LONGEST_WORD, WordPieceSegmenter, read_vocabulary


def find_vocabulary(folder: Path) -> Path:
    """Return the vocabulary file of a folder.

    Raises:
        CheckpointError: There is none, or several that could be meant.
    """
    if not folder.is_dir():
        raise CheckpointError("No such tokenizer folder.", path=folder, hint="Name a folder or a vocabulary file.")
    for pattern in ("spiece.model", "*.model", "vocab.txt", "vocab*.txt", "tokenizer.json"):
        found = sorted(folder.glob(pattern))
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise CheckpointError(f"Several vocabularies: {names}.", path=folder, hint="Name the file instead.")
        if found:
            return found[0]
    raise CheckpointError(
        f"{folder} has no vocabulary",
        hint="Put the file that its model was trained with there: spiece.model, *.model, vocab*.txt or tokenizer.json.",
        path=folder,
    )


def read_settings(folder: Path) -> dict[str, Any]:
    """Return what ``tokenizer_config.json`` of a folder says, under the names of :class:`Settings`.

    Raises:
        CheckpointError: The file is not a JSON object.
    """
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return {}
    config = _read_json(path)
    names = {
        "litebert_style": "style",
        "do_lower_case": "lower",
        "keep_accents": "keep_accents",
        "remove_space": "remove_space",
    }
    settings = {names[key]: value for key, value in config.items() if key in names and value is not None}
    length = config.get("model_max_length")
    if isinstance(length, int) and length < 10**9:  # transformers writes 10**30 for "unknown"
        settings["model_max_length"] = length
    return settings


def load_segmenter(path: Path, settings: Settings) -> SentencePieceSegmenter | WordPieceSegmenter:
    """Build the engine for a vocabulary file.

    Args:
        path: ``*.model``, ``*.txt`` or ``tokenizer.json``.
        settings: Text rules.

    Raises:
        CheckpointError: The file is missing, damaged or of an unknown kind.
    """
    if not path.is_file():
        raise CheckpointError("No such vocabulary file.", path=path)
    if path.suffix == ".json":
        return _from_tokenizer_json(path, settings)
    if path.suffix == ".txt":
        return wordpiece(read_vocabulary(path), settings, path)
    if path.suffix == ".model":
        return SentencePieceSegmenter(path.read_bytes(), settings.normalizer, str(path))
    raise CheckpointError(
        f"Unknown kind of vocabulary {path.name!r}.", path=path, hint="Allowed: *.model, *.txt, tokenizer.json."
    )


def wordpiece(pieces: list[str], settings: Settings, path: Path | None = None) -> WordPieceSegmenter:
    """Build the WordPiece engine.

    Raises:
        CheckpointError: The unknown piece is missing.
    """
    unk = SPECIALS["wordpiece"]["unk"]
    if unk not in pieces:
        raise CheckpointError(f"The vocabulary has no {unk}.", path=path, hint="Is it a WordPiece vocab.txt?")
    return WordPieceSegmenter(pieces, settings.normalizer, unk, LONGEST_WORD[settings.style])


def _from_tokenizer_json(path: Path, settings: Settings) -> SentencePieceSegmenter | WordPieceSegmenter:
    content = _read_json(path)
    model = content.get("model") or {}
    vocabulary = model.get("vocab")
    try:
        if isinstance(vocabulary, dict):
            pieces = sorted(vocabulary, key=lambda piece: int(vocabulary[piece]))
            return wordpiece(pieces, settings, path)
        if isinstance(vocabulary, list):
            proto = unigram_proto([(str(piece), float(score)) for piece, score in vocabulary], content)
            return SentencePieceSegmenter(proto, settings.normalizer, str(path))
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"Damaged vocabulary in tokenizer.json: {error}", path=path) from error
    raise CheckpointError("tokenizer.json holds neither a unigram nor a WordPiece vocabulary.", path=path)


def write_folder(
    folder: Path,
    segmenter: SentencePieceSegmenter | WordPieceSegmenter,
    settings: Settings,
    *,
    specials: dict[str, str],
) -> list[Path]:
    """Write the files of a tokenizer, each whole or not at all.

    Args:
        folder: Created if missing.
        segmenter: The vocabulary.
        settings: Goes into ``tokenizer_config.json``.
        specials: Piece of each role.

    Returns:
        The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokens = {f"{role}_token": piece for role, piece in specials.items()}
    config: dict[str, Any] = {
        "tokenizer_class": transformers_class(segmenter.kind, settings),
        "litebert_style": settings.style,
        "do_lower_case": settings.lower,
        "keep_accents": settings.keep_accents,
        "remove_space": settings.remove_space,
        # Without this line transformers' ALBERT class gives no type ids, and pairs silently lose them.
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        **tokens,
    }
    if settings.model_max_length is not None:
        config["model_max_length"] = settings.model_max_length
    files: dict[str, bytes] = {}
    if isinstance(segmenter, SentencePieceSegmenter):
        files["spiece.model"] = segmenter.model
        files["tokenizer.json"] = _json_bytes(fast_tokenizer(segmenter, settings, specials))
    else:
        config["strip_accents"] = settings.lower and not settings.keep_accents
        files["vocab.txt"] = ("\n".join(segmenter.pieces) + "\n").encode()
    files["special_tokens_map.json"] = _json_bytes(tokens)
    files["tokenizer_config.json"] = _json_bytes(config)
    for name, content in files.items():
        _write(folder / name, content)
    return [folder / name for name in files]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"Cannot read {path.name}: {error}", path=path) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path.name} is not a JSON object.", path=path)
    return content


def _json_bytes(content: dict[str, Any]) -> bytes:
    """Return a file for people, or, for a whole vocabulary, one a third smaller for programs."""
    whole = "model" in content
    text = json.dumps(
        content, ensure_ascii=False, indent=None if whole else 1, separators=(",", ":") if whole else None
    )
    return (text + "\n").encode()


def _write(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
