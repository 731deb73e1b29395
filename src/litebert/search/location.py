"""Where an index is: a folder, or the URL of a collection on a server; nothing else differs for who uses it."""

from __future__ import annotations

from litebert.search.store import Store


def open_store(location: str) -> Store:
    """Return the store of a folder or, for a URL, of a server; nothing is read or written yet.

    Raises:
        MachineError: A package is missing.
        UsageError: The URL names no collection.
    """
    if location.startswith(("http://", "https://")):
        from litebert.search.qdrant_store import QdrantStore

        return QdrantStore(location)
    from litebert.search.lance_store import LanceStore

    return LanceStore(location)
