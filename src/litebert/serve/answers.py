"""JSON as it is sent: numbers in the fewest digits that give them back, arrays of NumPy as they are."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi.responses import Response


class Json(Response):
    """An answer in JSON; NaN becomes null."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the bytes."""
        return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)


def clean(text: str) -> str:
    """Return a text without halves of surrogate pairs, which JSON can carry and no encoding can; offsets stay."""
    return text if text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text) else text.translate(_HALVES)


_HALVES = dict.fromkeys(range(55296, 57344), "�")
