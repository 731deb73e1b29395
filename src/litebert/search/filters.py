"""Conditions on metadata: a small grammar, checked against the fields there are, which every store translates for itself.

``lang == "en" and (year >= 1990 or not draft)``: comparisons (``== != < <= > >=``, chained too), ``in`` and ``not in`` a list, ``and``,
``or``, ``not``, ``is None`` (has no such value), a yes/no field by its name, ``"x" in tags`` where a field holds lists of texts, and
``field("any name")`` for names that are no identifiers. Parsed as a Python expression of which nothing else is let through, and never
evaluated. A comparison with a missing value is false, so ``lang != "en"``, which is ``not lang == "en"``, holds for what has none.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from litebert.errors import UsageError, nearest

Value = str | float | bool
Kind = Literal["text", "number", "flag", "texts"]
Fields = Mapping[str, Sequence[Kind]]
"""Kinds of value that each field has."""

BUILT_IN: dict[str, Sequence[Kind]] = {"source": ("text",), "document": ("text",)}
"""Fields that every document has: the file it is from, and its identifier (``id`` means that, too, where nothing else has the name)."""


@dataclass(frozen=True, slots=True)
class Test:
    """A comparison of a field with a value."""

    field: str
    operator: Literal["==", "<", "<=", ">", ">="]
    value: Value


@dataclass(frozen=True, slots=True)
class Holds:
    """A field with a list that has a text among its items."""

    field: str
    value: str


@dataclass(frozen=True, slots=True)
class Missing:
    """A field that has no value."""

    field: str


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of a condition."""

    part: Condition


@dataclass(frozen=True, slots=True)
class Both:
    """All of several conditions (``every``), or one of them at least."""

    parts: tuple[Condition, ...]
    every: bool


Condition = Test | Holds | Missing | Not | Both

_OPERATORS: dict[type[ast.cmpop], Literal["==", "<", "<=", ">", ">="]] = {
    ast.Eq: "==", ast.NotEq: "==", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
_MIRRORED: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE}
_HINT = 'Write it like: lang == "en" and (year >= 1990 or not tag in ["draft", "old"])'
_TOLD: dict[Kind, str] = {"text": "text", "number": "number", "flag": "flag", "texts": "lists of texts"}
_DEEPEST = 50
_INFINITE = float("inf")


def kind_of(value: object) -> Kind | None:
    """Return which kind of metadata a value is; None if it cannot be filtered by."""
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, list | tuple):
        return "texts" if value and all(isinstance(one, str) for one in value) else None
    return "text" if isinstance(value, str) else None


def parse_filter(text: str, fields: Fields) -> Condition:
    """Read a condition.

    Args:
        text: In the grammar above.
        fields: What may be asked for.

    Raises:
        UsageError: It is none, names a field that is not there, or compares what cannot be compared.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"the filter {text!r} cannot be read: {_reason(text, error)}", hint=_HINT) from None
    return _Reader(text, {**fields, **BUILT_IN}).condition(tree.body, 0)


def _reason(text: str, error: Exception) -> str:
    words = text.split()
    for wrong, right in (("=", "=="), ("AND", "and"), ("OR", "or"), ("NOT", "not"), ("&&", "and"), ("||", "or")):
        if wrong in words:
            return f"{wrong!r} is written {right!r}"
    return getattr(error, "msg", None) or str(error)


class _Reader:
    def __init__(self, text: str, fields: Fields) -> None:
        self.text, self.fields = text, fields

    def condition(self, node: ast.expr, depth: int) -> Condition:
        if depth > _DEEPEST:
            raise self.wrong("is nested too deeply")
        if isinstance(node, ast.BoolOp):
            parts = tuple(self.condition(part, depth + 1) for part in node.values)
            return Both(parts, isinstance(node.op, ast.And))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return Not(self.condition(node.operand, depth + 1))
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            tests = [self.comparison(a, op, b) for a, op, b in zip(sides, node.ops, sides[1:], strict=False)]
            return tests[0] if len(tests) == 1 else Both(tuple(tests), True)
        if (name := self.name(node)) is not None:
            return self.test(name, "==", True)
        raise self.wrong(f"has {ast.unparse(node)!r} where a comparison is expected")

    def comparison(self, left: ast.expr, operator: ast.cmpop, right: ast.expr) -> Condition:
        if self.name(left) is None and self.name(right) is not None and not isinstance(operator, ast.In | ast.NotIn):
            left, right, operator = right, left, _MIRRORED.get(type(operator), type(operator))()
        name, among = self.name(left), self.name(right)
        if name is None and among is not None and isinstance(operator, ast.In | ast.NotIn):
            held = self.held(among, self.value(left))
            return Not(held) if isinstance(operator, ast.NotIn) else held
        if name is None:
            raise self.wrong(f"compares {ast.unparse(left)!r}, which is no field")
        found = self.positive(name, operator, right)
        return Not(found) if isinstance(operator, ast.NotEq | ast.NotIn | ast.IsNot) else found

    def positive(self, name: str, operator: ast.cmpop, right: ast.expr) -> Condition:
        if isinstance(right, ast.Constant) and right.value is None:
            if not isinstance(operator, ast.Is | ast.IsNot | ast.Eq | ast.NotEq):
                raise self.wrong(f"compares {name!r} with None")
            self.known(name)
            return Missing(name)
        if isinstance(operator, ast.In | ast.NotIn):
            if not isinstance(right, ast.List | ast.Tuple | ast.Set) or not right.elts:
                raise self.wrong(f"has {ast.unparse(right)!r} where a list such as [1, 2] is expected")
            return Both(tuple(self.test(name, "==", self.value(item)) for item in right.elts), False)
        if type(operator) not in _OPERATORS:
            raise self.wrong("uses 'is' with something else than None")
        return self.test(name, _OPERATORS[type(operator)], self.value(right))

    def held(self, name: str, value: Value) -> Holds:
        kinds = self.known(name)
        if "texts" not in kinds or not isinstance(value, str):
            raise self.wrong(f"looks for {value!r} in {name!r}, which holds {' and '.join(_TOLD[k] for k in kinds)}")
        return Holds(name, value)

    def test(self, name: str, operator: Literal["==", "<", "<=", ">", ">="], value: Value) -> Test:
        if name == "document" and kind_of(value) == "number":  # an identifier that is a number in the file
            value = str(value)
        kinds, kind = self.known(name), kind_of(value)
        if kind not in kinds:
            held = " and ".join(_TOLD[one] for one in kinds)
            raise self.wrong(f"compares {name!r}, which holds {held}, with {value!r}")
        if kind == "flag" and operator != "==":
            raise self.wrong(f"orders the yes/no values of {name!r}")
        return Test(name, operator, value)

    def known(self, name: str) -> Sequence[Kind]:
        if name not in self.fields:
            raise UsageError(f"there is no metadata field {name!r} in the index", hint=nearest(name, self.fields))
        return self.fields[name]

    def name(self, node: ast.expr) -> str | None:
        if isinstance(node, ast.Name):
            return "document" if node.id == "id" and "id" not in self.fields else node.id
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "field"
        if called and isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords:
            found = node.args[0]
            return found.value if isinstance(found, ast.Constant) and isinstance(found.value, str) else None
        return None

    def value(self, node: ast.expr) -> Value:
        if isinstance(node, ast.Name):
            words = {"true": True, "false": False}
            if node.id in words:
                return words[node.id]
            raise self.wrong(f"compares with {node.id}: a text stands in quotation marks")
        sign = -1 if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else 1
        inner = node.operand if isinstance(node, ast.UnaryOp) else node
        if isinstance(inner, ast.Constant) and kind_of(inner.value) is not None and inner.value != _INFINITE:
            value: Value = inner.value  # type: ignore[assignment]
            if sign == 1 and inner is node:
                return value
            if sign == -1 and not isinstance(value, str | bool):
                return -value
        raise self.wrong(f"has {ast.unparse(node)!r} where a text, a number, True or False is expected")

    def wrong(self, what: str) -> UsageError:
        return UsageError(f"the filter {self.text!r} {what}", hint=_HINT)
