"""Where an index is: a folder, in memory, or the URL of a collection on a server; nothing else differs for who uses it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from litebert.errors import UsageError
from litebert.search.store import Store

LOCATIONS = "FOLDER, :memory:, http://host:6333/name (Qdrant), milvus:FILE.db (Milvus Lite) or milvus://host:19530/name (Milvus)"
"""Where an index may be, in words."""


def open_store(location: str) -> Store:
    """Return the store of a location; nothing is read or written yet.

    Args:
        location: One of ``LOCATIONS``.

    Raises:
        MachineError: A package is missing.
        UsageError: The URL is none, names no collection, or there is no store for such URLs.
    """
    if "://" in location:
        _check_url(location)
    if location.startswith(("http://", "https://", ":memory:")):
        from litebert.search.qdrant_store import QdrantStore

        return QdrantStore(location)
    if location.startswith(("milvus:", "milvus+https:")):
        from litebert.search.milvus_store import MilvusStore

        return MilvusStore(location)
    if found := re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", location):
        raise UsageError(f"no index can be kept at {found[0]}", hint=f"Allowed: {LOCATIONS}.", path=location)
    from litebert.search.lance_store import LanceStore

    return LanceStore(location)


def _check_url(location: str) -> None:
    try:
        _ = urlsplit(location).port  # looked at by asking for it
    except ValueError as error:
        raise UsageError(f"{location} is no URL: {error}", hint=f"Allowed: {LOCATIONS}.", path=location) from None


def how_to_build(location: str) -> str:
    """Return the hint for a place where there is no index."""
    if location.startswith(":memory:"):
        return "What is in memory is there in the process that built it only."
    return "Build one: litebert index MODEL INPUT... --out DIR"
