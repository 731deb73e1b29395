"""How Milvus is reached: which server or database on disk a location means, and errors that say what to do."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from litebert import files
from litebert.errors import DataError, LitebertError, MachineError, RunError, UsageError
from litebert.search.store import KEY

T = TypeVar("T")

_ENCRYPTED = "milvus+https"
_COLLECTION = "litebert"
"""In a database on disk, which is an index's own."""
_PATIENCE = 60.0
"""Seconds for an answer."""
_CONNECTING = 10.0
_LOCK = "LOCK"
"""A file that every database on disk has."""
_REFUSED = re.compile(r"\bauth|unauthenticated|permission", re.IGNORECASE)


class Access:
    """A collection's place, connected to when it is first asked.

    Args:
        location: See ``MilvusStore``.

    Raises:
        MachineError: The client library is not installed.
        UsageError: The location names no collection, or no database.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        scheme, _, rest = location.partition(":")
        self.embedded = not rest.startswith("//")
        self.path = Path(rest)
        self.name, self._database = (_COLLECTION, "") if self.embedded else _collection(location)
        if self.embedded and (scheme == _ENCRYPTED or self.path.suffix != ".db" or not self.path.stem):
            raise UsageError(
                f"{location} names no Milvus database",
                hint="Write it like milvus:notes.db, or milvus://host:19530/collection for a server.",
                path=location,
            )
        parts = urlsplit(location)
        port = parts.port or (443 if scheme == _ENCRYPTED else 19530)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        self._address = f"{'https' if scheme == _ENCRYPTED else 'http'}://{host}:{port}"
        self._pymilvus: Any = _library(embedded=self.embedded)
        self._connected: Any = None

    def there(self) -> bool:
        """Return whether there is anything to connect to; on a server, that is found out by asking."""
        return not self.embedded or self.path.is_file() or (self.path.is_dir() and any(self.path.iterdir()))

    def check_place(self) -> None:
        """Refuse a path where something else is."""
        if self.embedded and self.path.is_file():
            raise UsageError(
                f"{self.path} is a file; Milvus Lite 3 keeps a database as a folder",
                hint="Name a new one.",
                path=self.path,
            )
        if self.embedded and self.path.is_dir():
            found = {entry.name for entry in self.path.iterdir()}
            if found and _LOCK not in found:
                raise UsageError(
                    f"{self.path} is no Milvus database, and holds other files: {', '.join(sorted(found)[:5])}",
                    hint="Name a new one.",
                    path=self.path,
                )

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Return what a method of the client says.

        Raises:
            LitebertError: Nobody answers, or not what was hoped for.
        """
        if self._connected is None:
            self._connected = self._local() if self.embedded else self.explained(self._connect, self._address)
        return self.explained(getattr(self._connected, method), *arguments, timeout=_PATIENCE, **options)

    def _connect(self, address: str) -> Any:
        token = "" if self.embedded else os.environ.get(KEY, "")
        return self._pymilvus.MilvusClient(uri=address, token=token, db_name=self._database, timeout=_CONNECTING)

    def _local(self) -> Any:
        """Start the database in this process; the library tells the reason of a failure only to its log."""
        self.check_place()
        with files.explained(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with _overheard("milvus_lite.server_manager") as reasons:
            try:
                return self._connect(str(self.path))
            except self._pymilvus.MilvusException as error:
                reason = reasons[0] if reasons else error
                if type(reason).__name__ == "DataDirLockedError":
                    raise UsageError(
                        f"another process has the database {self.path} open",
                        hint="A Milvus Lite database is one process's at a time: wait for it, or use a folder or a server.",
                        path=self.path,
                    ) from error
                raise DataError(
                    f"the database {self.path} cannot be opened: {reason}",
                    hint="If it is damaged, build the index again elsewhere; if the disk is full, free space.",
                    path=self.path,
                ) from error

    def explained(self, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Call something of the library, and turn what it raises into an error that says what to do."""
        import grpc

        try:
            return function(*arguments, **options)
        except (self._pymilvus.MilvusException, grpc.RpcError) as error:
            raise self._told(error) from error

    def _told(self, error: Any) -> LitebertError:
        reason = str(getattr(error, "message", "") or error)
        code = getattr(error, "code", None)
        if self.embedded:
            return DataError(
                f"the index in {self.path} cannot be used: {reason[:300]}",
                hint="If it is damaged, build it again elsewhere; if the disk is full, free space.",
                path=self.path,
            )
        if _REFUSED.search(reason):
            return UsageError(
                f"the server of {self.location} refuses access", hint=f"Set {KEY} to a key, or user:password.",
                path=self.location,
            )  # fmt: skip
        if self._connected is None or "UNAVAILABLE" in f"{code} {reason}" or "DEADLINE" in f"{code} {reason}":
            return MachineError(
                f"no vector database answers at {self.location}: {reason[:200]}",
                hint="Check the address, and that the server is running.",
                path=self.location,
            )
        return RunError(
            f"the server of {self.location} answered: {reason[:300]}",
            hint="It must be Milvus 2.5 or later.",
            path=self.location,
        )

    def schema(self, columns: Mapping[str, Mapping[str, Any]]) -> Any:
        """Return columns as the library wants them; ``bm25_of`` makes one of the words of another."""
        types = self._pymilvus.DataType
        schema = self._pymilvus.MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        for name, options in columns.items():
            given = {option: value for option, value in options.items() if option not in ("datatype", "bm25_of")}
            schema.add_field(name, getattr(types, options["datatype"]), **given)
        for name, options in columns.items():
            if "bm25_of" in options:
                made = self._pymilvus.Function(
                    name="bm25", function_type=self._pymilvus.FunctionType.BM25, input_field_names=[options["bm25_of"]],
                    output_field_names=[name],
                )  # fmt: skip
                schema.add_function(made)
        return schema

    def indexes(self, wanted: Mapping[str, Mapping[str, Any]]) -> Any:
        """Return indexes as the library wants them."""
        indexes = self._pymilvus.MilvusClient.prepare_index_params()
        for name, options in wanted.items():
            indexes.add_index(field_name=name, **options)
        return indexes


def _collection(location: str) -> tuple[str, str]:
    """Return a URL's collection and database."""
    parts = urlsplit(location)
    database, _, name = parts.path.strip("/").rpartition("/")
    hint = "Write it like milvus://host:19530/collection, or with a database before the collection."
    if not name or not parts.hostname or "/" in database:
        raise UsageError(f"{location} names no collection", hint=hint, path=location)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,199}", name):
        raise UsageError(
            f"{name!r} cannot be a collection of Milvus",
            hint="Use letters without accents, digits and _.",
            path=location,
        )
    return name, database


def _library(*, embedded: bool) -> Any:
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # else connections that fail are told to developers on stderr
    try:
        import pymilvus

        if embedded:
            import milvus_lite  # noqa: F401 - told now that it is missing
    except ImportError as error:
        raise MachineError(
            f"an index in Milvus needs {'pymilvus and milvus-lite' if embedded else 'pymilvus'}, which is not installed",
            hint='Install it: pip install "litebert[milvus]"',
        ) from error
    for chatty in ("pymilvus", "milvus_lite"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
    return pymilvus


@contextmanager
def _overheard(name: str) -> Iterator[list[BaseException]]:
    """Collect the exceptions that a logger is told, in place of printing them."""
    found: list[BaseException] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info and record.exc_info[1] is not None:
                found.append(record.exc_info[1])

    logger, ear = logging.getLogger(name), Ear()
    level, told = logger.level, logger.propagate
    logger.addHandler(ear)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    try:
        yield found
    finally:
        logger.removeHandler(ear)
        logger.setLevel(level)
        logger.propagate = told
