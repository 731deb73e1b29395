"""The page at ``/``: three kinds of files, read once, told apart by their hash, and nothing from anywhere else."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

router = APIRouter(tags=["page"], include_in_schema=False)

POLICY = "; ".join(
    ("default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'", "base-uri 'none'",
     "form-action 'none'", "frame-ancestors 'none'")
)  # fmt: skip
"""What the page may load and call: its own server's files and routes."""

_TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
          ".svg": "image/svg+xml"}  # fmt: skip


class _File(NamedTuple):
    body: bytes
    kind: str
    tag: str


def _read() -> dict[str, _File]:
    found = {}
    for file in files("litebert.serve").joinpath("page").iterdir():
        kind = _TYPES.get(f".{file.name.rpartition('.')[2]}")
        if kind is not None and file.is_file():
            body = file.read_bytes()
            found[file.name] = _File(body, kind, f'"{hashlib.sha256(body).hexdigest()[:20]}"')
    return found


_FILES = _read()


def _answer(request: Request, name: str) -> Response:
    file = _FILES.get(name)
    if file is None:
        raise HTTPException(404, "there is no such file")
    headers = {
        "etag": file.tag, "cache-control": "no-cache", "content-security-policy": POLICY, "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer", "cross-origin-opener-policy": "same-origin",
    }  # fmt: skip
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if file.tag in known:
        return Response(status_code=304, headers=headers)
    return Response(file.body, media_type=file.kind, headers=headers)


@router.get("/")
async def page(request: Request) -> Response:
    """Return the page; a browser asks each time whether it has changed."""
    return _answer(request, "index.html")


@router.get("/favicon.ico")
async def icon(request: Request) -> Response:
    """Return its icon."""
    return _answer(request, "icon.svg")


@router.get("/page/{name}")
async def part(request: Request, name: str) -> Response:
    """Return one of its files."""
    return _answer(request, name)
