"""What a reader of the data report must know before training on a corpus: figures against thresholds, in plain sentences.

The thresholds are rules of thumb: where good prose of several kinds (encyclopaedia, novels, textbooks, manuals) was measured, they
leave about twice the room it needs. They warn, they stop nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from litebert.corpus.report.fields import Fields, percent, share

UNKNOWN_SHARE = 0.005
"""Of the pieces; a fitting vocabulary leaves about 0.0001."""
UNKNOWN_SHARE_BAD = 0.05
SOURCE_SHARE = 0.8
"""Of the tokens, from one of several sources."""
DROPPED_SHARE = 0.2
"""Of the documents read, for one reason."""
NEAR_SHARE = 0.1
"""Of the documents compared."""
CLUSTER_SHARE = 0.01
"""Of the documents compared, in one cluster of duplicates..."""
CLUSTER_DOCUMENTS = 100
"""... that is at least so large."""
SENTENCE_TOKENS = (6.0, 60.0)
"""Mean length; English prose has 20 to 35."""
ONE_SENTENCE_SHARE = 0.3
"""Of the documents; they have no sentences to order."""
TOKENS = {"any size": 1e6, "small": 50e6, "base": 500e6}
"""Least tokens to pretrain from random weights. The paper trained all sizes on about 16 GB of text (section 4.1)."""
NO_LETTER_SHARE = 0.3
"""Of the pieces; English prose has 0.18, punctuation for the most part."""
CHARACTERS_PER_TOKEN = 2.5
UNSPACED = ("zh", "ja", "ko", "th", "lo", "km", "my", "bo", "dz")
"""Languages whose tokens are short because their words are."""
SOURCE_CHARACTERS_PER_TOKEN = 0.75
"""Of the mean of the corpus, for a source of at least SOURCE_TOKENS tokens."""
SOURCE_TOKENS = 10_000
LANGUAGE_SHARE = 0.1
"""Of the documents measured, in other languages than the most frequent."""
UNUSED_SHARE = 0.2
"""Of the vocabulary."""
RARE_SHARE = 0.5
"""Of the vocabulary, in pieces that occur fewer than 100 times."""
REPLACED_SHARE = 0.0001
"""Undecodable bytes for each character read."""
UNREAD_ROWS_SHARE = 0.01
"""Rows without usable text for each document read."""

Severity = Literal["info", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One sentence for the reader."""

    severity: Severity
    text: str


@dataclass(frozen=True)
class Check:
    """One figure and its threshold.

    Attributes:
        name: What was looked at.
        measured: The figure, for a reader; empty where the report lacks it.
        limit: What counts as usual, for a reader.
        findings: What is beyond it.
    """

    name: str
    measured: str
    limit: str
    findings: tuple[Finding, ...] = ()


def check_report(report: Mapping[str, Any]) -> list[Check]:
    """Compare the figures of a data report with the thresholds of this file.

    Args:
        report: The contents of ``report.json``.

    Returns:
        All checks; those without a finding too.
    """
    fields = Fields(report)
    if fields.number("corpus", "documents") == 0:
        read = fields.count("read", "documents")
        text = f"Nothing was written: none of the {read:,} documents read is left. See what was dropped and why, below."
        return [Check("documents written", "0", "at least 1", (Finding("error", text),)), *_checks(fields, _LOSSES)]
    return _checks(fields, (*_AMOUNTS, *_LOSSES, *_CONTENTS))


def _checks(fields: Fields, functions: tuple[_Function, ...]) -> list[Check]:
    return [function(fields) for function in functions]


def findings_of(checks: list[Check]) -> list[Finding]:
    """Return the findings of all checks, the gravest first."""
    found = [finding for check in checks for finding in check.findings]
    return sorted(found, key=lambda finding: ("error", "warning", "info").index(finding.severity))


def _check(
    name: str, figure: float | None, limit: str, beyond: bool, text: str, severity: Severity = "warning", form: str = "%"
) -> Check:  # fmt: skip
    """Return a check with one possible finding; ``form`` writes the figure, by default as a share."""
    measured = "" if figure is None else percent(figure) if form == "%" else format(figure, form)
    return Check(name, measured, limit, (Finding(severity, text),) if beyond and figure is not None else ())


# How much there is ----------------------------------------------------------------------------------------------------


def _tokens(fields: Fields) -> Check:
    tokens = fields.number("corpus", "tokens")
    size = f"{tokens or 0:,.0f} tokens"
    limit = f"{TOKENS['base'] / 1e6:,.0f} million for base, {TOKENS['small'] / 1e6:,.0f} million for small"
    if tokens is not None and tokens < TOKENS["any size"]:
        text = f"{size} are too few to pretrain a model of any size from random weights: train on from a checkpoint."
        return _check("tokens", tokens, limit, True, text, "error", ",.0f")
    if tokens is not None and tokens < TOKENS["small"]:
        text = f"{size} are few even for the small presets, which want about {TOKENS['small'] / 1e6:.0f} million."
        return _check("tokens", tokens, limit, True, text, "warning", ",.0f")
    text = (
        f"{size} suit the small presets; the base size wants about {TOKENS['base'] / 1e6:.0f} million, and the paper"
        " trained all its sizes on about 16 GB of text."
    )
    return _check("tokens", tokens, limit, tokens is not None and tokens < TOKENS["base"], text, "info", ",.0f")


def _largest_source(fields: Fields) -> Check:
    sources, total = fields.parts("sources"), fields.count("corpus", "tokens")
    largest = max(sources, key=lambda source: source.count("tokens"), default=Fields(None))
    several = len(sources) > 1 or bool(fields.part("other_sources").data)
    part = share(largest.count("tokens"), total)
    text = f"{part:.0%} of the tokens are from one source, {largest.text('source')}: the model will know little else."
    limit = f"at most {SOURCE_SHARE:.0%}"
    return _check("largest source", part if several and total else None, limit, part > SOURCE_SHARE, text)


def _silent_sources(fields: Fields) -> Check:
    sources = fields.parts("sources")
    silent = [source.text("source") for source in sources if not source.count("kept_documents")]
    text = f"Nothing is left of {_listed(silent, 'source', 'sources')}."
    return _check("sources without text", float(len(silent)), "none", bool(silent), text, form=".0f")


# What was lost --------------------------------------------------------------------------------------------------------


def _dropped(fields: Fields) -> Check:
    read = fields.count("read", "documents")
    reasons = {name: share(n, read) for name, n in fields.counts("dropped").items() if name != "near duplicate"}
    found = tuple(
        Finding("warning", f"{part:.0%} of the documents read were dropped by one reason, {name}: look at its samples.")
        for name, part in reasons.items()
        if part > DROPPED_SHARE
    )
    worst = max(reasons.values(), default=0.0)
    return Check("dropped by one reason", percent(worst) if read else "", f"at most {DROPPED_SHARE:.0%}", found)


def _near(fields: Fields) -> Check:
    near, compared = fields.count("duplicates", "near"), _compared(fields)
    part = share(near, compared)
    text = f"{part:.0%} of the documents are near duplicates of others: the sources overlap, or share boilerplate."
    return _check("near duplicates", part if compared else None, f"at most {NEAR_SHARE:.0%}", part > NEAR_SHARE, text)


def _cluster(fields: Fields) -> Check:
    largest, compared = fields.count("duplicates", "largest_cluster"), _compared(fields)
    beyond = largest >= CLUSTER_DOCUMENTS and share(largest, compared) > CLUSTER_SHARE
    text = f"One text came {largest:,} times with few changes; one copy is kept. A template, or a page of errors?"
    limit = f"at most {CLUSTER_SHARE:.0%} of the documents, or {CLUSTER_DOCUMENTS}"
    return _check(
        "largest cluster of duplicates", float(largest) if compared else None, limit, beyond, text, "info", ",.0f"
    )


def _compared(fields: Fields) -> int:
    return sum(fields.count("duplicates", name) for name in ("kept", "exact", "near"))


def _comparison(fields: Fields) -> Check:
    asked = [fields.value("settings", "dedup", name) for name in ("exact", "near")]
    off = [name for name, wanted in zip(("exact", "near"), asked, strict=True) if wanted is False]
    text = f"{' and '.join(off).capitalize()} duplicates were not looked for (settings dedup)."
    figure = None if asked == [None, None] else float(2 - len(off))
    return _check("kinds of duplicates looked for", figure, "2", bool(off), text, "info", ".0f")


def _undecodable(fields: Fields) -> Check:
    replaced, characters = fields.count("read", "bytes replaced"), fields.number("read", "characters")
    part = share(replaced, characters or 0)
    text = f"{replaced:,} bytes could not be decoded: check the encoding of the sources (setting read.encoding)."
    limit = f"at most {REPLACED_SHARE:.2%}"
    return _check("undecodable bytes", None if characters is None else part, limit, part > REPLACED_SHARE, text)


def _unread(fields: Fields) -> Check:
    rows = fields.count("read", "row not json") + fields.count("read", "row without text")
    rows += fields.count("read", "row too long")
    whole = fields.count("read", "file not text") + fields.count("read", "file damaged")
    part = share(rows, rows + fields.count("read", "documents"))
    found = [f"{rows:,} rows ({part:.0%}) held no usable text (setting read.text_field)"] * (part > UNREAD_ROWS_SHARE)
    found += [f"{whole:,} {'file was' if whole == 1 else 'files were'} damaged or not text"] * (whole > 0)
    text = "; ".join(found) + "."
    return _check("rows left unread", part, f"at most {UNREAD_ROWS_SHARE:.0%}", bool(found), text)


# What is in it --------------------------------------------------------------------------------------------------------


def _unknown(fields: Fields) -> Check:
    part = fields.number("tokens", "unknown_share")
    beyond = part is not None and part > UNKNOWN_SHARE
    text = (
        f"{part or 0:.2%} of the pieces are unknown: the vocabulary lacks characters of these texts. "
        "Train one on them (litebert vocab train), or check the encoding of the sources."
    )
    severity: Severity = "error" if part is not None and part > UNKNOWN_SHARE_BAD else "warning"
    return _check("unknown pieces", part, f"at most {UNKNOWN_SHARE:.1%}", beyond, text, severity)


def _no_letters(fields: Fields) -> Check:
    part, least = no_letter_share(fields)
    many = f"{'At least ' if least else ''}{part or 0:.0%}"
    text = f"{many} of the pieces hold no letter: tables, figures, code or markup are left in the texts."
    beyond = part is not None and part > NO_LETTER_SHARE
    return _check("pieces without a letter", part, f"at most {NO_LETTER_SHARE:.0%}", beyond, text)


def no_letter_share(fields: Fields) -> tuple[float | None, bool]:
    """Return the share of pieces without a letter, and whether it is a lower bound, from the most frequent pieces only."""
    written = fields.number("tokens", "no_letter_share")
    if written is not None:
        return written, False
    top = fields.parts("tokens", "top")
    return (sum(t.number("share") or 0.0 for t in top if not has_letter(t.text("piece"))) if top else None), True


def has_letter(piece: str) -> bool:
    """Tell whether a piece holds a letter of any script."""
    return any(character.isalpha() for character in piece)


def _sentence_length(fields: Fields) -> Check:
    mean = fields.number("histograms", "sentence_tokens", "mean") if _counted(fields, "sentence_tokens") else None
    low, high = SENTENCE_TOKENS
    short = mean is not None and mean < low
    why = "lists, headings, or a splitter that cuts too much" if short else "few sentence ends are found in these texts"
    text = f"The mean sentence has {mean or 0:.1f} tokens, which is odd: {why} (settings sentences)."
    beyond = mean is not None and not low <= mean <= high
    return _check("mean sentence, tokens", mean, f"{low:.0f} to {high:.0f}", beyond, text, form=".1f")


def _single_sentences(fields: Fields) -> Check:
    name = "document_sentences"
    total = _counted(fields, name)
    single = sum(int(count) for start, _, count in bins_of(fields, name) if start <= 1)
    part = share(single, total)
    text = f"{part:.0%} of the documents have a single sentence, so there are no sentences in them to put in order."
    limit = f"at most {ONE_SENTENCE_SHARE:.0%}"
    return _check("documents of one sentence", part if total else None, limit, part > ONE_SENTENCE_SHARE, text)


def _counted(fields: Fields, name: str) -> int:
    return fields.count("histograms", name, "count")


def bins_of(fields: Fields, name: str) -> list[tuple[float, float | None, float]]:
    """Return the bins of a histogram as from, to (None: open) and count; what is no bin is left out."""
    found = fields.value("histograms", name, "bins")
    bins = []
    for entry in found if isinstance(found, list | tuple) else ():
        if isinstance(entry, list | tuple) and len(entry) == 3:
            row = Fields(dict(zip("abc", entry, strict=True)))
            start, stop, count = row.number("a"), row.number("b"), row.number("c")
            if start is not None and count is not None and (stop is None or stop > start):
                bins.append((start, stop, count))
    return bins


def _density(fields: Fields) -> Check:
    figure, tokens = fields.number("corpus", "characters_per_token"), fields.count("corpus", "tokens")
    main = next(iter(fields.languages()[1]), "")
    text = (
        f"A token holds {figure or 0:.2f} characters: the vocabulary does not fit these texts, or they are not prose."
    )
    beyond = figure is not None and figure < CHARACTERS_PER_TOKEN and main not in UNSPACED
    limit = f"at least {CHARACTERS_PER_TOKEN}, but for scripts without spaces"
    return _check("characters per token", figure if tokens else None, limit, beyond, text, form=".2f")


def _odd_sources(fields: Fields) -> Check:
    mean = fields.number("corpus", "characters_per_token") or 0.0
    known = [s for s in fields.parts("sources") if s.count("tokens") >= SOURCE_TOKENS]
    ratios = {s.text("source"): share(s.count("kept_characters") / s.count("tokens"), mean) for s in known}
    odd = [name for name, ratio in ratios.items() if ratio < SOURCE_CHARACTERS_PER_TOKEN]
    text = f"Far fewer characters per token than elsewhere in {_listed(odd, 'source', 'sources')}: another language, or not prose."
    lowest = min(ratios.values()) if len(ratios) > 1 and mean else None
    limit = f"at least {SOURCE_CHARACTERS_PER_TOKEN:.0%} of the mean"
    return _check("characters per token, lowest source", lowest, limit, bool(odd), text)


def _languages(fields: Fields) -> Check:
    shares = fields.languages()[1]
    main = next(iter(shares), "")
    others = 1 - shares[main] if main else None
    text = f"{others or 0:.0%} of the documents measured are in other languages than {main}."
    limit = f"at most {LANGUAGE_SHARE:.0%}"
    return _check("other languages", others, limit, (others or 0) > LANGUAGE_SHARE, text, "info")


def _vocabulary(fields: Fields) -> Check:
    size, used = fields.count("tokens", "vocab_size"), fields.number("tokens", "pieces_used")
    often = fields.number("tokens", "pieces_seen_100_times")
    unused, rare = share(size - (used or 0), size), share(size - (often or 0), size)
    limit = f"at most {UNUSED_SHARE:.0%} unused"
    known = unused if size and used is not None else None
    if unused <= UNUSED_SHARE and often is not None and rare > RARE_SHARE:
        text = (
            f"{rare:.0%} of the vocabulary occurs fewer than 100 times: too rarely to be learnt from these texts alone."
        )
        return _check("vocabulary unused", known, limit, True, text, "info")
    text = f"{unused:.0%} of the vocabulary does not occur: it was made for other texts, or is too large for these."
    return _check("vocabulary unused", known, limit, unused > UNUSED_SHARE, text)


def _listed(names: list[str], one: str, many: str) -> str:
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{one if len(names) == 1 else f'{len(names)} {many}'}: {shown}" if names else ""


_Function = Callable[[Fields], Check]
_AMOUNTS: tuple[_Function, ...] = (_tokens, _largest_source, _silent_sources)
_LOSSES: tuple[_Function, ...] = (_dropped, _near, _cluster, _comparison, _undecodable, _unread)
_CONTENTS: tuple[_Function, ...] = (
    _unknown, _no_letters, _sentence_length, _single_sentences, _density, _odd_sources, _languages, _vocabulary,
)  # fmt: skip
