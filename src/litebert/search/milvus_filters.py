"""Conditions as Milvus's boolean expressions, in which nothing is left to how a server treats what is missing.

A negation is pushed down to the comparisons, and each of them says first whether the value has to be there. The values are in a JSON
column under a name of their own for every field and kind, so that a comparison never meets a value of another kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from litebert.search.filters import BUILT_IN, Both, Condition, Holds, Kind, Missing, Not, Test, kind_of

_OPPOSITES = {"==": "!=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def expression(condition: Condition, *, negated: bool = False) -> str:
    """Return a condition, or its opposite, as an expression."""
    if isinstance(condition, Not):
        return expression(condition.part, negated=not negated)
    if isinstance(condition, Both):
        joined = " and " if condition.every is not negated else " or "
        return "(" + joined.join(expression(part, negated=negated) for part in condition.parts) + ")"
    if isinstance(condition, Missing):
        return _missing(condition.field, negated=negated)
    if isinstance(condition, Holds):
        place = _place(condition.field, "texts")
        found = f"json_contains({place}, {_literal(condition.value)})"
        return f"(not (exists {place}) or not {found})" if negated else f"(exists {place} and {found})"
    return _comparison(condition, negated=negated)


def _missing(field: str, *, negated: bool) -> str:
    if field in BUILT_IN:
        return f"ordinal {'>=' if negated else '<'} 0"  # every chunk has one
    there = [f"exists {_place(field, kind)}" for kind in get_args(Kind)]
    return "(" + " or ".join(there) + ")" if negated else "(" + " and ".join(f"not ({one})" for one in there) + ")"


def _comparison(test: Test, *, negated: bool) -> str:
    operator = _OPPOSITES[test.operator] if negated else test.operator
    kind = kind_of(test.value) or "text"
    place = test.field if test.field in BUILT_IN else _place(test.field, kind)
    compared = f"{place} {operator} {_literal(test.value)}"
    if test.field in BUILT_IN:
        return f"({compared})"
    return f"(not (exists {place}) or {compared})" if negated else f"(exists {place} and {compared})"


def _place(field: str, kind: Kind) -> str:
    return f'fields["{key(field, kind)}"]'


def key(field: str, kind: Kind) -> str:
    """Return what the values of a field and kind go by, whatever characters are in its name."""
    return f"{kind}_{field.encode().hex()}"


def among(column: str, values: Sequence[str]) -> str:
    """Return that a text column has one of some values."""
    return f"{column} in [{', '.join(map(_literal, values))}]"


def _literal(value: object) -> str:
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPED)}"'
    return ("true" if value else "false") if isinstance(value, bool) else repr(float(value))  # type: ignore[arg-type]
