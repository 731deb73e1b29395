"""What there is to read: files, folders, globs and URLs become a sorted list, and each file a stream of bytes.

Local paths go through the standard library; anything with a scheme (``s3://``, ``gs://``, ``hdfs://``, ``https://``) through
fsspec. Packed files are unpacked while reading, never as a whole.
"""

from __future__ import annotations

import bz2
import glob
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal, cast
from urllib.parse import urlsplit

from litebert.errors import DataError, MachineError, nearest

Kind = Literal["text", "jsonl", "parquet", "html"]

KINDS: dict[str, Kind] = {
    ".txt": "text", ".text": "text", ".md": "text", ".lines": "text",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
    ".parquet": "parquet", ".pq": "parquet",
    ".html": "html", ".htm": "html", ".xhtml": "html",
}  # fmt: skip
PACKED = {".gz": "gzip", ".xz": "xz", ".zst": "zstd", ".zstd": "zstd", ".bz2": "bz2"}
DAMAGE = (EOFError, OSError, lzma.LZMAError, zlib.error)
"""What reading a broken or truncated file raises."""

_BUFFER = 1 << 20
_BLOCK = 1 << 16
_MAGIC = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file to read.

    Attributes:
        url: Path or URL.
        size: Stored bytes; 0 if the server does not tell.
        kind: What is in it once it is unpacked.
        compression: ``gzip``, ``xz``, ``zstd``, ``bz2`` or None.
    """

    url: str
    size: int
    kind: Kind
    compression: str | None


def list_inputs(inputs: Sequence[str]) -> list[InputFile]:
    """Find all files that the inputs mean, each once, sorted by path.

    Args:
        inputs: Files, folders (searched to the bottom, hidden names and unknown suffixes left out), globs, URLs of any of these.

    Raises:
        DataError: Nothing there, nothing readable in it, or a named file of a kind that is not known.
        MachineError: A URL needs a package that is not installed.
    """
    found: dict[str, InputFile] = {}
    for given in inputs:
        for file in _remote(given) if "://" in given else _local(given):
            found.setdefault(file.url, file)
    if not found:
        raise DataError("there is no input", hint="Name files, folders, globs or URLs.")
    return sorted(found.values(), key=lambda file: file.url)


def kind_of(url: str) -> tuple[Kind | None, str | None]:
    """Return the kind and the compression that a name tells; kind None where it tells nothing known."""
    path = PurePosixPath(urlsplit(url).path if "://" in url else Path(url).as_posix())
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compression = PACKED.get(suffixes[-1]) if suffixes else None
    if compression:
        suffixes.pop()
    return (KINDS.get(suffixes[-1]) if suffixes else None), compression


def open_stream(file: InputFile) -> AbstractContextManager[io.BufferedReader]:
    """Open a file for reading, unpacked.

    Raises:
        DataError: It cannot be opened.
        MachineError: Its file system needs a package that is not installed.
    """
    return _opened(file)


@contextmanager
def _opened(file: InputFile) -> Iterator[io.BufferedReader]:
    try:
        raw = _fetch(file.url) if "://" in file.url else cast("BinaryIO", Path(file.url).open("rb", buffering=0))  # noqa: SIM115
    except OSError as error:
        raise unreadable(file, error) from error
    stream: io.BufferedReader
    with raw, io.BufferedReader(_unpacked(raw, file.compression), _BUFFER) as stream:
        yield stream


def unreadable(file: InputFile, error: Exception, line: int | None = None) -> DataError:
    """Return the error that says a file cannot be read."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    what = f"the {file.compression} file {file.url}" if file.compression else file.url
    return DataError(
        f"{what} cannot be read: {reason}",
        hint="Check that it is complete and that you may read it.",
        path=file.url,
        line=line,
    )


def read_head(file: InputFile, size: int) -> bytes:
    """Return the first ``size`` bytes of a file, unpacked; fewer if it is shorter or damaged further on."""
    data = b""
    with open_stream(file) as stream:
        try:
            while len(data) < size and (block := stream.read1(size - len(data))):
                data += block
        except DAMAGE:
            if not data:
                raise
    return data


def unpacked_size(file: InputFile, probe: int) -> int:
    """Return about how many bytes a file has once it is unpacked, judging by what its first ``probe`` stored bytes give.

    A file whose server does not tell its size is read to the end.
    """
    if not file.size:
        with open_stream(file) as stream, suppress(*DAMAGE):
            return sum(len(block) for block in iter(lambda: stream.read1(_BLOCK), b""))
        return 0
    if not file.compression:
        return file.size
    size = at = 0
    with (
        open_stream(replace(file, compression=None)) as stored,
        suppress(*DAMAGE),
        io.BufferedReader(_unpacked(stored, file.compression)) as stream,
    ):
        while block := stream.read1(_BLOCK):
            if stored.tell() > at >= probe:  # it reads on, so all that was read before is unpacked
                return size * file.size // at
            at = stored.tell()
            size += len(block)
    return size


class _InBlocks(io.RawIOBase):
    """An unpacking stream, read in small blocks so that no more than one is lost where it is damaged."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._read = getattr(stream, "read1", stream.read)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._read(min(len(buffer), _BLOCK))
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


def _unpacked(raw: BinaryIO, compression: str | None) -> Any:
    if compression == "gzip":
        return _InBlocks(gzip.GzipFile(fileobj=raw))
    if compression == "xz":
        return _InBlocks(lzma.LZMAFile(raw))
    if compression == "bz2":
        return _InBlocks(bz2.BZ2File(raw))
    if compression == "zstd":
        import pyarrow as pa

        if not pa.Codec.is_available("zstd"):
            raise MachineError("pyarrow was built without zstandard here", hint="Unpack the file: zstd -d")
        return _InBlocks(pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd"))
    return raw


# Finding --------------------------------------------------------------------------------------------------------------


def _local(given: str) -> Iterator[InputFile]:
    path = Path(given)
    if path.is_dir():
        names = [str(name) for name in _walk(path)]
        yield from _known(given, [(name, Path(name).stat().st_size) for name in names])
    elif path.exists():
        yield _named(given, path.stat().st_size)
    elif _MAGIC & set(given):
        names = [name for name in glob.glob(given, recursive=True) if Path(name).is_file()]  # noqa: PTH207 - takes any path
        yield from _known(given, [(name, Path(name).stat().st_size) for name in names])
    else:
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = nearest(path.name, beside) if len(beside) <= 20 else ""
        raise DataError(f"there is no file or folder {given}", hint=hint or "Check the path.", path=given)


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(folder) / name for name in names if not name.startswith("."))


def _remote(given: str) -> Iterator[InputFile]:
    fs, path = _file_system(given)
    web = given.startswith(("http://", "https://"))
    try:
        if "*" in given or (not web and _MAGIC & set(given)):
            names = [name for name in fs.glob(path) if _hidden(name) <= _hidden(path) and fs.isfile(name)]
        elif web or fs.isfile(path):
            yield _named(given, int(fs.info(path).get("size") or 0))
            return
        else:
            names = [name for name in fs.find(path) if "/." not in name[len(path) :]]
        yield from _known(given, [(fs.unstrip_protocol(name), int(fs.info(name).get("size") or 0)) for name in names])
    except (OSError, ValueError) as error:
        raise DataError(
            f"{given} cannot be read: {error}", hint="Check the address and the access to it.", path=given
        ) from error


def _hidden(path: str) -> set[str]:
    return {part for part in path.split("/") if part.startswith(".")}


def _file_system(url: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError as error:
        raise MachineError(
            f"{url} needs fsspec", hint='Install it: pip install "litebert[corpus]"', path=url
        ) from error
    try:
        return cast("tuple[Any, str]", fsspec.core.url_to_fs(url))
    except ImportError as error:  # e.g. "Install s3fs to access S3"
        raise MachineError(f"{url} cannot be opened: {error}", hint="pip install that package.", path=url) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{url} cannot be opened: {error}", hint="Check the address.", path=url) from error


def _fetch(url: str) -> BinaryIO:
    fs, path = _file_system(url)
    return cast("BinaryIO", fs.open(path, "rb"))


def _known(given: str, names: Sequence[tuple[str, int]]) -> list[InputFile]:
    files = []
    for name, size in names:
        kind, compression = kind_of(name)
        if kind:
            files.append(InputFile(name, size, kind, compression))
    if not files:
        seen = f"{len(names)} files, none of a kind that can be read" if names else "no files"
        raise DataError(f"{given} holds {seen}", hint=f"Allowed: {', '.join(KINDS)}, packed or not.", path=given)
    return files


def _named(given: str, size: int) -> InputFile:
    kind, compression = kind_of(given)
    name = PurePosixPath(urlsplit(given).path if "://" in given else Path(given).as_posix())
    if kind is None and not [suffix for suffix in name.suffixes if suffix.lower() not in PACKED]:
        kind = "text"  # a file called simply `corpus`
    if kind is None:
        suffix = [s for s in name.suffixes if s.lower() not in PACKED][-1]
        raise DataError(f"{given}: {suffix} is no kind that can be read", hint=nearest(suffix, KINDS), path=given)
    if kind in {"parquet"} and compression:
        raise DataError(f"{given}: a packed Parquet file cannot be read", hint="Unpack it first.", path=given)
    return InputFile(given, size, kind, compression)
