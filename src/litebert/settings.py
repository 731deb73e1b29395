"""Settings of a run: a run file (TOML), a recipe and overrides become one validated, frozen object."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from litebert.errors import ConfigError, nearest


class Settings(BaseModel):
    """Base of all run configurations: frozen, no unknown fields."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=(), allow_inf_nan=False
    )


S = TypeVar("S", bound=Settings)


def shipped_folder(name: str) -> Path:
    """Return a folder that is shipped with the code: inside the installed package, or beside ``src`` in a checkout."""
    installed = Path(__file__).parent / "resources" / name
    return installed if installed.is_dir() else Path(__file__).parents[2] / name


def recipe_folder() -> Path:
    """Return the folder of the recipes."""
    return shipped_folder("recipes")


def recipe_names() -> list[str]:
    """Return the names of the shipped recipes, e.g. ``glue/mrpc``."""
    folder = recipe_folder()
    return sorted(p.relative_to(folder).with_suffix("").as_posix() for p in folder.rglob("*.toml"))


def read_recipe(reference: str | Path) -> dict[str, Any]:
    """Read a run file by path or by the name of a shipped recipe; ``extends`` names one to start from.

    Raises:
        ConfigError: Not found, or not valid TOML.
    """
    path = Path(reference)
    if not path.is_file():
        path = recipe_folder() / f"{reference}.toml"
    if not path.is_file():
        raise ConfigError(f"no recipe {str(reference)!r}", hint=nearest(str(reference), recipe_names()))
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name} is not valid TOML: {error}", path=path) from None
    base = data.pop("extends", None)
    if base is None:
        return data
    if not isinstance(base, str) or (path.parent / f"{base}.toml").resolve() == path.resolve():
        raise ConfigError("extends must name another recipe", path=path)
    beside = path.parent / f"{base}.toml"
    return merge(read_recipe(beside if beside.is_file() else base), data)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested tables merged, ``over`` winning."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        result[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def parse_overrides(assignments: Iterable[str]) -> dict[str, Any]:
    """Turn ``["training.learning_rate=1e-4"]`` into nested tables.

    Values are read as TOML, lists and tables as JSON, too; ``null`` is None, and everything else a string.

    Raises:
        ConfigError: No equals sign, or a list or table that cannot be read.
    """
    result: dict[str, Any] = {}
    for assignment in assignments:
        key, sign, text = assignment.partition("=")
        if not sign or not key.strip():
            raise ConfigError(
                f"{assignment!r} is not of the form a.b=value", hint="For example --set training.epochs=5"
            )
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = _not_toml(key.strip(), text)
        nested: Any = value
        for part in reversed(key.strip().split(".")):
            nested = {part: nested}
        result = merge(result, nested)
    return result


def _not_toml(name: str, text: str) -> Any:
    bare = text.strip()
    if not (bare.startswith("[") and bare.endswith("]")) and not (bare.startswith("{") and bare.endswith("}")):
        return None if bare == "null" else text
    try:
        return json.loads(bare)
    except json.JSONDecodeError:
        raise ConfigError(
            f"{name}: {bare} is neither TOML nor JSON",
            hint=f"""Words stand in quotation marks: --set '{name}=["a", "b"]' or --set '{name}={{"a": "b"}}'.""",
        ) from None


def build_settings(kind: type[S], data: Mapping[str, Any], *, path: str | Path | None = None) -> S:
    """Validate a table into settings.

    Raises:
        ConfigError: Names the field, what was given, what is allowed, and the nearest field for an unknown one.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = [str(part) for part in first["loc"]]
        field = ".".join(place)
        if first["type"] == "extra_forbidden":
            elsewhere = " or ".join(repr(path) for path in _paths(kind) if path.split(".")[-1] == place[-1])
            hint = f"Did you mean {elsewhere}?" if elsewhere else nearest(place[-1], _fields_at(kind, place[:-1]))
            raise ConfigError(f"unknown field {field!r}", hint=hint, path=path) from None
        message = first["msg"].removeprefix("Value error, ")
        hint = ""
        if first["type"] == "literal_error" and isinstance(first.get("input"), str):
            hint = nearest(first["input"], re.findall("'([^']*)'", first["ctx"]["expected"]))
        said = f"{field}: {message} (got {first.get('input')!r})" if field else message  # of several fields: names them
        raise ConfigError(said, hint=hint or None, path=path) from None


def _fields_at(kind: type[BaseModel], place: list[str]) -> list[str]:
    for part in place:
        table = _table(kind, part)
        if table is None:
            return []
        kind = table
    return list(kind.model_fields)


def _table(kind: type[BaseModel], name: str) -> type[BaseModel] | None:
    """Return the settings that a field holds; None for a field of another kind, or no field."""
    annotation = kind.model_fields[name].annotation if name in kind.model_fields else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _paths(kind: type[BaseModel]) -> Iterator[str]:
    """Yield the name of every field, those of nested settings as ``training.epochs``."""
    for name in kind.model_fields:
        yield name
        table = _table(kind, name)
        if table is not None:
            yield from (f"{name}.{path}" for path in _paths(table))
