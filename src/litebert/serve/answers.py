"""JSON as it is sent: numbers in the fewest digits that give them back, arrays of NumPy as they are."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson
from fastapi.responses import JSONResponse


class Json(JSONResponse):
    """An answer in JSON; NaN becomes null. FastAPI writes the schema of an answer into the document for this parent's children only."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the bytes."""
        try:
            return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
        except TypeError:  # halves of surrogate pairs in what a client sent and is told again
            return json.dumps(content, default=lambda one: one.tolist()).encode("ascii")


def clean(text: str) -> str:
    """Return a text without halves of surrogate pairs, which JSON can carry and no encoding can; offsets stay."""
    return text if text.isascii() else _HALF.sub("\ufffd", text)


_HALF = re.compile("[\ud800-\udfff]")
