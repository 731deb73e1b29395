"""The files of results that the tables are made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"


def read(name: str) -> dict[str, Any]:
    """Return the results of a benchmark."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def machine(environment: dict[str, Any]) -> str:
    """Return what a table says about the machine."""
    return f"{environment['processor']}, {environment['cores']} cores, torch {environment['packages']['torch']}"


def header(columns: str) -> list[str]:
    """Return the two lines that a table begins with, from the first of them."""
    return [columns, "|" + "---|" * (columns.count("|") - 1)]
