"""The data report as JSON (``report.json``): what came in, what was dropped and why, what is left.

Its fields, in the order of the file:

    schema       "litebert-corpus-report/1"
    corpus       documents, sentences, tokens, characters, shards, characters_per_token
    funnel       documents and characters after each stage: read, cleaned, deduplicated, written
    sources      for each input file its size and what became of its documents; the largest 500, the rest summed in other_sources
    read         what the readers counted: documents, characters, bytes replaced, rows left out, ...
    changed      what cleaning changed inside documents, by rule
    dropped      documents dropped, by reason, duplicates included
    duplicates   exact, near, clusters, largest_cluster, settings
    tokens       vocabulary size, pieces used, unknown pieces and their share, pieces without a letter, the most frequent pieces
    languages    documents measured and the share of each language among them; none where py3langid is not installed
    histograms   count, mean, median, p90, largest and bins [from, to, count] of read_characters, document_characters,
                 document_sentences, document_tokens, sentence_characters, sentence_tokens
    samples      dropped: by reason; duplicates: exact and near, with the document each is a duplicate of; kept
    settings, tokenizer, versions
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from litebert.corpus.building.tally import Samples, Tally, ordered
from litebert.corpus.cleaning.languages import probabilities
from litebert.corpus.duplicates.clusters import EXACT_DUPLICATE, KEPT, NEAR_DUPLICATE, Clusters
from litebert.corpus.duplicates.fingerprints import mixed
from litebert.corpus.duplicates.parts import Part, Row, read_rows
from litebert.corpus.report.findings import has_letter
from litebert.corpus.settings import CorpusSettings
from litebert.corpus.shards import ShardRecord, tokenizer_sha256
from litebert.text import AlbertTokenizer

SCHEMA = "litebert-corpus-report/1"
_SOURCES = 500
_TOP_PIECES = 100
_SOURCE_FIELDS = (
    "documents", "characters", "clean_documents", "clean_characters", "kept_documents", "kept_characters", "sentences", "tokens",
)  # fmt: skip

Pieces = npt.NDArray[np.int64]


class Findings:
    """What the stages of a build found, gathered piece by piece.

    Args:
        settings: How many samples to keep.
        vocab_size: Number of pieces.

    Attributes:
        tally: Of all stages.
        pieces: (vocab_size,) how often each occurs.
        dropped: Samples of what cleaning dropped.
        kept: Samples of what is left.
        languages: Texts whose language is measured.
        duplicates: From ``duplicate_figures``; empty where nothing was compared.
        shards: What was written.
        inputs: Name, size and hash of each.
    """

    def __init__(self, settings: CorpusSettings, vocab_size: int) -> None:
        report = settings.report
        self.tally = Tally()
        self.pieces: Pieces = np.zeros(vocab_size, dtype=np.int64)
        self.dropped = Samples(report.samples, report.sample_characters, settings.seed)
        self.kept = Samples(report.samples, report.sample_characters, settings.seed)
        self.languages = Samples(report.language_samples, report.sample_characters, settings.seed)
        self.duplicates: dict[str, Any] = {}
        self.shards: list[ShardRecord] = []
        self.inputs: list[dict[str, Any]] = []


def corpus_report(tokenizer: AlbertTokenizer, settings: CorpusSettings, found: Findings) -> dict[str, Any]:
    """Put the report together; see the head of this file.

    Args:
        tokenizer: Made the pieces.
        settings: Of the build.
        found: All there is to tell.
    """
    tally, duplicates, shards = found.tally, found.duplicates, found.shards
    sources = [_source(entry, tally.files.get(i, Counter())) for i, entry in enumerate(found.inputs)]
    sources.sort(key=lambda source: (-source["bytes"], source["source"]))
    total = _sum(sources)
    urls = [entry["url"] for entry in found.inputs]
    reasons = {
        **ordered(tally.group("dropped")),
        **{f"{k} duplicate": duplicates[k] for k in ("exact", "near") if duplicates},
    }
    return {
        "schema": SCHEMA,
        "corpus": {
            "documents": sum(s.documents for s in shards), "sentences": sum(s.sentences for s in shards),
            "tokens": sum(s.tokens for s in shards), "characters": total["kept_characters"], "shards": len(shards),
            "characters_per_token": total["kept_characters"] / max(1, total["tokens"]),
        },
        "funnel": _funnel(total, duplicates),
        "sources": sources[:_SOURCES], "other_sources": _sum(sources[_SOURCES:]) if len(sources) > _SOURCES else None,
        "read": ordered(tally.group("read")), "changed": ordered(tally.group("changed")), "dropped": reasons,
        "duplicates": {k: v for k, v in duplicates.items() if k != "samples"},
        "tokens": _tokens(tokenizer, found.pieces),
        "languages": _languages(found.languages),
        "histograms": {name: h.figures() for name, h in sorted(tally.histograms.items())},
        "samples": {
            "dropped": {label: _shown(texts, urls) for label, texts in found.dropped.dump().items()},
            "duplicates": duplicates.get("samples", {}),
            "kept": _shown(found.kept.dump().get("kept", []), urls),
        },
        "settings": settings.model_dump(mode="json"),
        "tokenizer": {"vocab_size": tokenizer.vocab_size, "sha256": tokenizer_sha256(tokenizer)},
    }  # fmt: skip


def _languages(samples: Samples) -> dict[str, Any]:
    """Measure the language of a sample of the documents that stay; their beginnings decide."""
    texts = [text for *_, text in samples.dump().get("languages", [])]
    if not texts or importlib.util.find_spec("py3langid") is None:
        return {"measured": 0, "shares": {}}
    codes = Counter(next(iter(probabilities(text))) for text in texts)
    shares = {code: count / len(texts) for code, count in sorted(codes.items(), key=lambda item: (-item[1], item[0]))}
    return {"measured": len(texts), "shares": shares}


def _source(entry: dict[str, Any], figures: Counter[str]) -> dict[str, Any]:
    prefix = "dropped: "
    reasons = {name.removeprefix(prefix): n for name, n in sorted(figures.items()) if name.startswith(prefix)}
    return {
        "source": entry["url"], "kind": entry["kind"], "compression": entry["compression"], "bytes": entry["size"],
        **{name: figures[name] for name in _SOURCE_FIELDS}, "dropped": reasons,
    }  # fmt: skip


def _sum(sources: Iterable[dict[str, Any]]) -> dict[str, Any]:
    total: Counter[str] = Counter(dict.fromkeys(("files", "bytes", *_SOURCE_FIELDS), 0))
    dropped: Counter[str] = Counter()
    for source in sources:
        total.update({"files": 1, "bytes": source["bytes"], **{name: source[name] for name in _SOURCE_FIELDS}})
        dropped.update(source["dropped"])
    return {**total, "dropped": ordered(dropped)}


def _funnel(total: dict[str, Any], duplicates: dict[str, Any]) -> list[dict[str, Any]]:
    steps = [
        ("read", total["documents"], total["characters"]),
        ("cleaned", total["clean_documents"], total["clean_characters"]),
    ]
    if duplicates:
        steps.append(("deduplicated", duplicates["kept"], None))
    steps.append(("written", total["kept_documents"], total["kept_characters"]))
    return [{"stage": name, "documents": documents, "characters": size} for name, documents, size in steps]


def _tokens(tokenizer: AlbertTokenizer, pieces: Pieces) -> dict[str, Any]:
    count = int(pieces.sum())
    order = np.argsort(-pieces, kind="stable")[:_TOP_PIECES]
    unknown = int(pieces[tokenizer.unk_id])
    used = np.flatnonzero(pieces).tolist()
    return {
        "vocab_size": tokenizer.vocab_size, "pieces_used": int((pieces > 0).sum()),
        "pieces_seen_100_times": int((pieces >= 100).sum()), "unknown": unknown, "unknown_share": unknown / max(1, count),
        "no_letter_share": sum(int(pieces[i]) for i in used if not has_letter(tokenizer.id_to_piece(i))) / max(1, count),
        "top": [
            {"piece": tokenizer.id_to_piece(int(i)), "count": int(pieces[i]), "share": int(pieces[i]) / count}
            for i in order if pieces[i]
        ],
    }  # fmt: skip


def _shown(samples: Iterable[Sequence[Any]], urls: Sequence[str]) -> list[dict[str, Any]]:
    return [{"source": urls[file], "number": number, "text": text} for _, file, number, text in samples]


# Duplicates -----------------------------------------------------------------------------------------------------------


def duplicate_figures(
    folder: Path, parts: Sequence[Part], clusters: Clusters, states: npt.NDArray[np.uint8], settings: CorpusSettings,
    urls: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    """Return counts of duplicates, and samples of each kind beside the document that was kept.

    Args:
        folder: Of the parts.
        parts: All of them, in order.
        clusters: With every document's root.
        states: (documents,) what becomes of each.
        settings: How many samples.
        urls: Of the input files.
    """
    dropped = np.flatnonzero(states != KEPT)
    roots, sizes = np.unique(clusters.parent[dropped], return_counts=True)
    return {
        "kept": int((states == KEPT).sum()), "exact": int((states == EXACT_DUPLICATE).sum()),
        "near": int((states == NEAR_DUPLICATE).sum()), "clusters": len(roots),
        "largest_cluster": int(sizes.max()) + 1 if len(sizes) else 0,
        "samples": {
            name: _pairs(folder, parts, clusters, np.flatnonzero(states == state), settings, urls)
            for name, state in (("exact", EXACT_DUPLICATE), ("near", NEAR_DUPLICATE))
        },
    }  # fmt: skip


def _pairs(
    folder: Path, parts: Sequence[Part], clusters: Clusters, ids: npt.NDArray[np.int64], settings: CorpusSettings,
    urls: Sequence[str],
) -> list[dict[str, Any]]:  # fmt: skip
    ranks = mixed(mixed(ids.astype(np.uint64) + np.uint64(1)) ^ np.uint64(settings.seed))
    chosen = ids[np.argsort(ranks, kind="stable")[: settings.report.samples]].tolist()
    kept = [int(clusters.parent[i]) for i in chosen]
    rows = _documents(folder, parts, sorted({*chosen, *kept}))
    length = settings.report.sample_characters
    result = []
    for mine, other in ((rows[i], rows[k]) for i, k in zip(chosen, kept, strict=True)):
        original = {"source": urls[other[1]], "number": other[2], "text": other[0][:length]}
        result.append({"source": urls[mine[1]], "number": mine[2], "text": mine[0][:length], "duplicate_of": original})
    return result


def _documents(folder: Path, parts: Sequence[Part], ids: Sequence[int]) -> dict[int, Row]:
    offsets = np.cumsum([0, *(part.documents for part in parts)])
    owners = np.searchsorted(offsets, ids, side="right") - 1
    found: dict[int, Row] = {}
    for owner in np.unique(owners).tolist():
        start = int(offsets[owner])
        wanted = [i - start for i, o in zip(ids, owners.tolist(), strict=True) if o == owner]
        found.update({i + start: row for i, row in read_rows(folder, parts[owner].name, wanted).items()})
    return found
