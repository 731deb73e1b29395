"""The parts of a corpus's page that are about its texts: sources, what was dropped, duplicates, languages, lengths, pieces, samples."""

from __future__ import annotations

from litebert.corpus.report.fields import Fields, percent, share
from litebert.corpus.report.findings import bins_of, has_letter, no_letter_share
from litebert.report import charts
from litebert.report.page import Block, Cell, LongText, figure, fold, key_values, paragraph, table

_BARS = 12
_PIECE_BARS = 15
_DRAWN_SHARE = 0.01
"""Reasons of dropping are drawn if one of them reaches this share; below, the table says it all."""


# Sources --------------------------------------------------------------------------------------------------------------


def sources_section(fields: Fields) -> list[Block]:
    """Show where the text comes from: shares and density as bars, all as a table, the largest source first."""
    sources, total = fields.parts("sources"), fields.count("corpus", "tokens")
    if not sources:
        return []
    names = [source.text("source") for source in sources]
    folder = common_folder(names)
    ranked = sorted(
        ((name[len(folder) :], source) for name, source in zip(names, sources, strict=True)),
        key=lambda pair: -pair[1].count("tokens"),
    )
    rows = [_source_row(name, source, total, _form(source)) for name, source in ranked]
    if (others := fields.part("other_sources")).data:
        rows.append(_source_row(f"{others.count('files'):,} smaller ones", others, total, ""))
    header = ("source", "form", "kB", "documents", "kept", "tokens", "share", "characters a token", "dropped")
    shown = [i for i in range(len(header)) if i not in (1, 8) or len({str(row[i]) for row in rows}) > 1]
    return [*_source_bars(ranked, total), table([header[i] for i in shown], [[row[i] for i in shown] for row in rows])]


def common_folder(names: list[str]) -> str:
    """Return the folder that all paths or URLs share, with a slash at its end; empty where there is none."""
    first, last = (name.split("/")[:-1] for name in (min(names, default=""), max(names, default="")))
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return "".join(f"{name}/" for name in first[:same])


def _form(source: Fields) -> str:
    return ", ".join(part for part in (source.text("kind"), source.text("compression")) if part)


def _source_row(name: str, source: Fields, total: int, form: str) -> list[Cell]:
    tokens = source.count("tokens")
    reasons = [f"{reason} {count:,}" for reason, count in source.counts("dropped").items()]
    return [
        name, form, round(source.count("bytes") / 1000), source.count("documents"), source.count("kept_documents"), tokens,
        f"{share(tokens, total):.1%}", f"{source.count('kept_characters') / tokens:.2f}" if tokens else "",
        LongText([", ".join(reasons)], 90) if reasons else "",
    ]  # fmt: skip


def _source_bars(ranked: list[tuple[str, Fields]], total: int) -> list[Block]:
    shown = [(name, source) for name, source in ranked if source.count("tokens")][:_BARS]
    if len(shown) < 2 or not total:
        return []
    names = [name if len(name) <= 28 else "…" + name[-27:] for name, _ in shown]  # ends tell files apart
    which = f"The {_BARS} largest. " if len(ranked) > _BARS else ""
    shares = [round(100 * source.count("tokens") / total, 2) for _, source in shown]
    density = [round(source.count("kept_characters") / source.count("tokens"), 2) for _, source in shown]
    return [
        figure(charts.bar_chart(names, shares, title="Tokens by source", x_label="% of all tokens"), which.strip()),
        figure(
            charts.bar_chart(names, density, title="Characters per token", x_label="characters"),
            f"{which}A short bar: another language, code, tables, or an odd encoding.",
        ),
    ]


# Dropped, duplicates --------------------------------------------------------------------------------------------------


def dropped_section(fields: Fields) -> list[Block]:
    """Show reasons by frequency, and samples of each behind a click."""
    reasons, read = fields.counts("dropped"), fields.count("read", "documents")
    if fields.value("dropped") is None:
        return []
    if not reasons:
        return [paragraph("No document was dropped.")]
    blocks: list[Block] = []
    if len(reasons) > 1 and max(reasons.values()) > _DRAWN_SHARE * read:
        names = list(reasons)[:_BARS]
        values = [round(100 * share(reasons[name], read), 2) for name in names]
        blocks.append(figure(charts.bar_chart(names, values, title="By reason", x_label="% of the documents read")))
    rows = [(name, count, percent(share(count, read)) if read else None) for name, count in reasons.items()]
    blocks.append(table(("reason", "documents", "of those read"), rows))
    samples = fields.part("samples", "dropped")
    return [
        *blocks,
        *(_samples(f"Samples: {name}", samples.parts(name), fields) for name in reasons if samples.parts(name)),
    ]


def _samples(title: str, samples: list[Fields], fields: Fields) -> Block:
    return fold(f"{title} ({len(samples)})", _texts(samples, fields))


def _texts(samples: list[Fields], fields: Fields) -> Block:
    """Return a table of texts and of the place each comes from: its source and its number there."""
    folder = common_folder([source.text("source") for source in fields.parts("sources")])
    rows: list[list[Cell]] = []
    for sample in samples:
        shown = [item for item in (sample, sample.part("duplicate_of")) if item.data]
        places = [f"{item.text('source').removeprefix(folder)} {item.count('number'):,}" for item in shown]
        rows.append([LongText([item.text("text") for item in shown], 300), LongText(places, 80)])
    return table(("text", "source, number"), rows)


def duplicates_section(fields: Fields) -> list[Block]:
    """Show counts, and pairs of a dropped document and the one that was kept."""
    duplicates = fields.part("duplicates")
    if not duplicates.data:
        return []
    dedup = fields.part("settings", "dedup")
    threshold = dedup.number("threshold")
    names = {
        "exact": "exact duplicates dropped",
        "near": "near duplicates dropped",
        "clusters": "clusters with duplicates",
        "largest_cluster": "documents in the largest cluster",
    }
    facts = {label: f"{duplicates.count(key):,}" for key, label in names.items() if duplicates.number(key) is not None}
    if threshold is not None and dedup.value("near") is True:
        words = dedup.count("shingle_words")
        facts["near means"] = f"about {threshold:.0%} of the sequences of {words} words in common, or more"
    samples = fields.part("samples", "duplicates")
    blocks = [key_values(facts)] if facts else []
    for kind in ("exact", "near"):
        if found := samples.parts(kind):
            blocks.append(_samples(f"Samples: {kind} duplicates, each above the document that was kept", found, fields))
    return blocks


# Languages, lengths, vocabulary ---------------------------------------------------------------------------------------


def languages_section(fields: Fields) -> list[Block]:
    """Show how documents are spread over languages, or why that is not known."""
    if fields.value("languages") is None:
        return []
    measured, shares = fields.languages()
    basis = f"Measured on {measured:,} documents. " if measured else ""
    if not shares:
        why = 'py3langid was not installed (pip install "litebert[corpus]") or report.language_samples is 0'
        return [paragraph(f"Not measured: {why}.")]
    if len(shares) == 1:
        return [paragraph(f"{basis}All are in {next(iter(shares))}.")]
    names = list(shares)[:_BARS]
    values = [round(100 * shares[name], 2) for name in names]
    chart = charts.bar_chart(names, values, title="Languages", x_label="% of the documents measured")
    rest = f"{len(shares) - _BARS} rarer ones are not drawn. " if len(shares) > _BARS else ""
    return [figure(chart, f"{basis}{rest}ISO 639 codes, the likeliest language of each document.")]


_LENGTHS = {
    "document_tokens": ("Documents, in tokens", "tokens"),
    "sentence_tokens": ("Sentences, in tokens", "tokens"),
    "document_sentences": ("Documents, in sentences", "sentences"),
    "read_characters": ("Documents as read, in characters", "characters"),
    "document_characters": ("Documents after cleaning, in characters", "characters"),
    "sentence_characters": ("Sentences, in characters", "characters"),
}
_DRAWN = ("document_tokens", "sentence_tokens", "document_sentences", "read_characters")


def lengths_section(fields: Fields) -> list[Block]:
    """Draw how lengths are spread, and list mean and quantiles of all that was measured."""
    blocks: list[Block] = []
    rows: list[list[Cell]] = []
    for name, (title, unit) in _LENGTHS.items():
        figures = fields.part("histograms", name)
        if not figures.count("count"):
            continue
        values = [figures.number(key) for key in ("mean", "median", "p90", "largest")]
        whole = [None if value is None else round(value) for value in values]
        rows.append([title, figures.count("count"), *whole])
        if name in _DRAWN and (bins := bins_of(fields, name)):
            quantiles = ((values[1], "median"), (values[2], "90th percentile"))
            marks = [(at, f"{what} {at:,.0f}") for at, what in quantiles if at]
            svg = charts.binned_histogram(bins, title=title, x_label=unit, markers=marks)
            blocks.append(figure(svg, f"Dashed: {' and '.join(text for _, text in marks)}." if marks else ""))
    header = ("length of", "count", "mean", "median", "90% below", "largest")
    return [*blocks, table(header, rows)] if rows else []


def vocabulary_section(fields: Fields) -> list[Block]:
    """Show how much of the vocabulary these texts use, and the most frequent pieces."""
    tokens, top = fields.part("tokens"), fields.parts("tokens", "top")
    size = tokens.count("vocab_size")
    facts = {"pieces in the vocabulary": f"{size:,}"} if size else {}
    for key, label in (("pieces_used", "that occur"), ("pieces_seen_100_times", "that occur 100 times or more")):
        if (found := tokens.number(key)) is not None and size:
            facts[label] = f"{found:,.0f} ({percent(share(found, size))})"
    if (unknown := tokens.number("unknown_share")) is not None:
        facts["unknown pieces"] = f"{tokens.count('unknown'):,} ({percent(unknown)} of the text)"
    part, least = no_letter_share(fields)
    if part is not None:
        facts["pieces without a letter"] = f"{'at least ' if least else ''}{percent(part)} of the text"
    blocks = [key_values(facts)] if facts else []
    if top:
        shown = top[:_PIECE_BARS]
        values = [round(100 * (piece.number("share") or 0.0), 2) for piece in shown]
        names = [piece.text("piece") for piece in shown]
        chart = charts.bar_chart(names, values, title="Most frequent pieces", x_label="% of all pieces")
        blocks.append(figure(chart, "▁ marks the beginning of a word."))
        rows = [(i, t.text("piece"), _mark(t.text("piece")), t.count("count"), percent(t.number("share") or 0.0))
                for i, t in enumerate(top, 1)]  # fmt: skip
        blocks.append(
            fold(f"The {len(top)} most frequent pieces", table(("rank", "piece", "", "count", "share"), rows))
        )
    return blocks


def _mark(piece: str) -> str:
    return "" if has_letter(piece) else "no letter"


def kept_section(fields: Fields) -> list[Block]:
    """Show texts that will be trained on."""
    samples = fields.parts("samples", "kept")
    return [_texts(samples, fields)] if samples else []
