"""SentencePiece vocabularies as the ``tokenizers`` library's ``tokenizer.json``, and back.

We write one beside ``spiece.model`` because from the model alone transformers 5 makes every user-defined piece
(``. - ( ) "`` ...) a special token and gives other ids; and we read it because transformers 5 saves nothing else.
"""

from __future__ import annotations

import base64
from typing import Any

from litebert.text import sentencepiece_model_file as model_file
from litebert.text.sentencepiece_tokenizer import SPACE, SentencePieceSegmenter, is_digit_comma
from litebert.text.settings import SPECIALS, Settings

# transformers' conversion lowers the score of digit-comma pieces by this much, in place of Google's exact rule.
_PENALTY = 100.0


def transformers_class(kind: str, settings: Settings) -> str:
    """Return the ``tokenizer_class`` that makes ``transformers`` give the ids of these settings."""
    if kind == "wordpiece":
        return "BertTokenizer"  # AlbertTokenizer knows SentencePiece only
    # AlbertTokenizer rebuilds its own text rules, LaTeX quotes included; the generic class runs tokenizer.json as it is.
    return "AlbertTokenizer" if settings.style == "hf" else "PreTrainedTokenizerFast"


def fast_tokenizer(segmenter: SentencePieceSegmenter, settings: Settings, specials: dict[str, str]) -> dict[str, Any]:
    """Return the content of ``tokenizer.json``; the digit-comma rule is approximated by scores, as transformers does."""
    ids = {piece: i for i, piece in enumerate(segmenter.pieces)}
    vocabulary = [
        [piece, score - _PENALTY if is_digit_comma(piece) else score]
        for piece, score in zip(segmenter.pieces, segmenter.scores, strict=True)
    ]
    flags = {"single_word": False, "rstrip": False, "normalized": False, "special": True}
    added = [
        {"id": ids[piece], "content": piece, "lstrip": role == "mask", **flags} for role, piece in specials.items()
    ]
    metaspace = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": sorted(added, key=lambda token: int(token["id"])),
        "normalizer": {"type": "Sequence", "normalizers": _fast_rules(segmenter, settings)},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace]},
        "post_processor": _fast_template(ids, specials),
        "decoder": metaspace,
        "model": {"type": "Unigram", "unk_id": ids[specials["unk"]], "vocab": vocabulary, "byte_fallback": False},
    }


def _fast_rules(segmenter: SentencePieceSegmenter, settings: Settings) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = []
    if settings.style == "hf":
        rules += [{"type": "Replace", "pattern": {"String": quote}, "content": '"'} for quote in ("``", "''")]
    if not settings.keep_accents:
        rules += [{"type": "NFKD"}, {"type": "StripAccents"}]
    if settings.lower:
        rules.append({"type": "Lowercase"})
    characters = model_file.character_map(segmenter.model)
    if characters:
        rules.append({"type": "Precompiled", "precompiled_charsmap": base64.b64encode(characters).decode()})
    return rules


def _fast_template(ids: dict[str, int], specials: dict[str, str]) -> dict[str, Any]:
    def special(role: str, kind: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": specials[role], "type_id": kind}}

    first, second = {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}
    single = [special("cls", 0), first, special("sep", 0)]
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, second, special("sep", 1)],
        "special_tokens": {
            specials[role]: {"id": specials[role], "ids": [ids[specials[role]]], "tokens": [specials[role]]}
            for role in ("cls", "sep")
        },
    }


def unigram_proto(vocabulary: list[tuple[str, float]], content: dict[str, Any]) -> bytes:
    """Return the SentencePiece model that a unigram ``tokenizer.json`` was made from.

    Args:
        vocabulary: Piece and score in id order, as in the file.
        content: The whole file.

    Returns:
        A serialised model with the same pieces, scores and character map.
    """
    specials = SPECIALS["sentencepiece"]
    names = [piece for piece, _ in vocabulary]
    entries = []
    for piece, score in vocabulary:
        kind = model_file.NORMAL
        if piece in specials.values():
            kind = model_file.UNKNOWN if piece == specials["unk"] else model_file.CONTROL
        elif score == 0.0:  # log probability 0: trained models have it for user-defined symbols only
            kind = model_file.USER_DEFINED
        penalised = is_digit_comma(piece) and score < -_PENALTY / 2
        entries.append((piece, score + _PENALTY if penalised else score, kind))
    rules = content.get("normalizer") or {}
    rules = rules.get("normalizers", [rules])
    characters = next((rule["precompiled_charsmap"] for rule in rules if rule.get("type") == "Precompiled"), "")
    ids = {piece: i for i, piece in enumerate(names)}
    return model_file.unigram_model(
        entries, base64.b64decode(characters), ids.get(specials["unk"], -1), ids.get(specials["pad"], -1)
    )
