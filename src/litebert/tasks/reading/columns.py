"""Which column is the text, the second text, the label: recognised by common names, or set with ``--columns``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from litebert.errors import DataError, UsageError, nearest
from litebert.tasks.reading.rows import Table

Key = str | int

# Pairs come first: "question" alone is a text, "question" beside "sentence" is the first half of a pair.
_PAIRS = (
    ("sentence1", ("sentence2",)),
    ("sentence_a", ("sentence_b",)),
    ("text1", ("text2",)),
    ("text_a", ("text_b",)),
    ("premise", ("hypothesis",)),
    ("question1", ("question2",)),
    ("#1 string", ("#2 string",)),
    ("text", ("text_pair", "pair")),
    ("query", ("passage", "document", "answer", "text")),
    ("question", ("passage", "sentence", "answer", "context", "document")),
)
_TEXTS: tuple[str, ...] = (
    "text",
    "sentence",
    "sentence1",
    "question",
    "premise",
    "utterance",
    "review",
    "tweet",
    "content",
    "query",
)
_TEXTS += ("document", "passage", "comment", "message", "title", "body")
_LABELS: tuple[str, ...] = (
    "label",
    "labels",
    "gold_label",
    "gold",
    "category",
    "class",
    "intent",
    "target",
    "sentiment",
    "emotion",
)
_LABELS += ("topic", "is_duplicate", "quality", "score", "similarity", "rating")
_SCORES = ("score", "similarity", "rating", "relatedness_score")
_IDS = ("id", "index", "idx", "guid", "uid", "pair_id", "pairid")


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column means what: names, or positions from 0 for a file without a header row.

    Args:
        text: The text.
        pair: The second text.
        label: The label; several columns hold 0 or 1 each and are named after a label.
        id: The identifier.
    """

    text: Key | None = None
    pair: Key | None = None
    label: Key | tuple[Key, ...] | None = None
    id: Key | None = None

    def keys(self) -> list[Key]:
        """Return every column that is set."""
        labels = self.label if isinstance(self.label, tuple) else (self.label,)
        return [key for key in (self.text, self.pair, *labels, self.id) if key is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """How rows become records; the arguments of ``read_records``."""

    multi_label: bool
    regression: bool
    labels_required: bool
    keep_empty: bool
    keep_extra: bool
    ignore_labels: bool
    header: bool | None


def parse_columns(spec: str) -> Columns:
    """Read a ``--columns`` value such as ``text=review,label=stars`` or ``text=1,label=0`` (positions, no header row).

    Args:
        spec: Comma-separated ``role=column``; roles are ``text``, ``pair``, ``label``, ``id``. ``label=a|b|c`` names one
            0/1 column per label.

    Returns:
        The columns.

    Raises:
        UsageError: An unknown role, a role twice, or a part without ``=``.
    """
    found: dict[str, Any] = {}
    for part in spec.split(","):
        role, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not column:
            raise UsageError(
                f"--columns has {part!r} where role=column is expected",
                hint="Example: --columns text=review,label=stars",
            )
        if role not in ("text", "pair", "label", "id"):
            raise UsageError(f"--columns has no role {role!r}", hint=nearest(role, ("text", "pair", "label", "id")))
        if role in found:
            raise UsageError(f"--columns sets {role!r} twice", hint="Several label columns are written label=a|b|c.")
        keys = tuple(_key(item) for item in column.split("|")) if role == "label" else (_key(column),)
        found[role] = keys if len(keys) > 1 else keys[0]
    return Columns(**found)


def _key(text: str) -> Key:
    return int(text) if text.isascii() and text.isdigit() else text


def _guess(names: Iterable[str], options: ReadOptions) -> Columns:
    by_name = {name.strip().lower(): name for name in reversed(list(names))}

    def first(candidates: Iterable[str]) -> str | None:
        return next((by_name[name] for name in candidates if name in by_name), None)

    text, pair = next(
        ((by_name[a], first(b)) for a, b in _PAIRS if a in by_name and first(b) is not None), (first(_TEXTS), None)
    )
    labels = (*_SCORES, *_LABELS) if options.regression else ("labels", *_LABELS) if options.multi_label else _LABELS
    return Columns(text, pair, first(labels), first(_IDS))


def _place(table: Table, wanted: Key) -> Key:
    """Return the position (or the key, for JSON and Parquet) of a column the user named."""
    if isinstance(wanted, int):
        if table.keyed:
            raise UsageError(f"{table.name} has named columns, not positions", hint=nearest("", table.names or ()))
        if wanted >= table.width:
            raise DataError(
                f"{table.name} has no column {wanted}",
                hint=f"It has {table.width}, counted from 0.",
                path=table.name,
                line=1,
            )
        return wanted
    names = table.names or []
    if wanted not in names:
        alike = [name for name in names if name.strip().lower() == wanted.strip().lower()]
        if len(alike) != 1:
            raise DataError(
                f"{table.name} has no column {wanted!r}", hint=nearest(wanted, names), path=table.name, line=1
            )
        wanted = alike[0]
    if names.count(wanted) > 1:
        raise DataError(
            f"{table.name} has {names.count(wanted)} columns named {wanted!r}",
            hint="Rename one, or give positions.",
            path=table.name,
            line=1,
        )
    return wanted if table.keyed else names.index(wanted)


def choose_columns(table: Table, columns: Columns, options: ReadOptions) -> Columns:
    """Return the position of every column, the user's first, then what the names tell."""
    if table.names is not None:
        guess = _guess(table.names, options)
        if columns.text is None:
            taken = {columns.pair, columns.label}
            columns = replace(
                columns, text=None if guess.text in taken else guess.text, pair=columns.pair or guess.pair
            )
        if columns.label is None and guess.label not in (columns.text, columns.pair):
            columns = replace(columns, label=guess.label)
        columns = replace(columns, id=guess.id if columns.id is None else columns.id)
    if options.ignore_labels:
        columns = replace(columns, label=None)
    _refuse_unknown(table, columns, options)
    label = columns.label
    places = tuple(_place(table, key) for key in label) if isinstance(label, tuple) else _optional(table, label)
    return Columns(_optional(table, columns.text), _optional(table, columns.pair), places, _optional(table, columns.id))


def _optional(table: Table, key: Key | None) -> Key | None:
    return None if key is None else _place(table, key)


def _refuse_unknown(table: Table, columns: Columns, options: ReadOptions) -> None:
    missing = "text" if columns.text is None else "label" if columns.label is None and options.labels_required else None
    if isinstance(columns.label, tuple) and not options.multi_label:
        raise UsageError(
            "several label columns make a multi-label task", hint="Name one label column, or set multi-label."
        )
    if missing is None:
        return
    if table.names is None:
        raise DataError(
            f"{table.name}: which column is the {missing} is not known",
            hint=f"Add {missing}=POSITION to --columns, 0 to {table.width - 1}.",
            path=table.name,
            line=1,
        )
    shown = ", ".join(repr(name if len(name) <= 40 else name[:37] + "...") for name in table.names[:20])
    raise DataError(
        f"{table.name} has no column recognised as {missing}; its columns are {shown or '(none)'}",
        hint=f"Name it: --columns {missing}=NAME. Without a header row give positions: --columns text=0,label=1.",
        path=table.name,
        line=1,
    )


def passed_over(table: Table, given: Columns, taken: Columns, options: ReadOptions) -> list[str]:
    """Return a sentence for each role that was recognised by a name while another column has a usual name of that role as well.

    Args:
        table: With named columns, or none.
        given: What the user named.
        taken: As ``choose_columns`` returned it.
        options: How rows become records.
    """
    used = {column_name(table, key) for key in taken.keys()}  # noqa: SIM118 - not a mapping
    found = []
    for role, known in (("text", _TEXTS), ("label", () if options.ignore_labels else (*_LABELS, *_SCORES))):
        own = getattr(taken, role)
        if own is None or getattr(given, role) is not None:
            continue
        others = [name for name in table.names or () if name.strip().lower() in known and name not in used]
        if others:
            left = ", ".join(map(repr, others))
            found.append(
                f"{column_name(table, own)!r} is taken as the {role}, not {left}; --columns {role}=NAME says otherwise"
            )
    return found


def column_name(table: Table, key: Key) -> str:
    """Return a column's name, or its position where it has none."""
    return str(key if table.names is None or isinstance(key, str) else table.names[key])
