"""Unpack downloaded model archives (tar, plain or compressed; zip) without trusting them.

Nothing in an archive is executed or unpickled. Only regular files of the kinds a model is made of are written, under names checked
here (on top of ``tarfile``'s ``data`` filter, PEP 706, where Python has it). The sizes that an archive declares and the bytes that
really come out of it are both limited, so that a decompression bomb ends early. The folder appears complete or not at all.
"""

from __future__ import annotations

import bz2
import gzip
import io
import logging
import lzma
import re
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, NoReturn

from litebert.errors import CheckpointError, LitebertError, UsageError
from litebert.files import explained, new_folder

DEFAULT_MAX_BYTES: Final = 8 << 30
DEFAULT_MAX_FILES: Final = 1000
_WANTED = (
    *("*.index", "*.data-[0-9]*-of-[0-9]*", "checkpoint", "*.safetensors", "*.json"),
    *("*.model", "*.vocab", "vocab*.txt", "*/variables/*", "*/assets/*"),
)
_WEIGHTS = ("*.index", "*.safetensors")
_PIECE = 1 << 20
_LARGEST_READ = 4 << 20  # tarfile reads extended headers whole, whatever length they declare
_HEADERS = 16 << 20  # allowance for a tar's headers and padding
_UNREADABLE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, LookupError),
    *(ArithmeticError, RuntimeError, MemoryError, struct.error),  # RuntimeError: also recursion and encrypted zips
)
_OPENERS: Final[tuple[tuple[bytes, Callable[[Any], Any]], ...]] = (
    (b"\x1f\x8b", lambda raw: gzip.GzipFile(fileobj=raw)),
    (b"\xfd7zXZ\x00", lzma.LZMAFile),
    (b"BZh", bz2.BZ2File),
)

_log = logging.getLogger(__name__)


def extract_model_archive(
    archive: str | Path, into: str | Path, *, max_bytes: int = DEFAULT_MAX_BYTES, max_files: int = DEFAULT_MAX_FILES
) -> Path:
    """Unpack the files of a model.

    Members that no model needs (graphs, notes, hidden files) are left out.

    Args:
        archive: A ``.tar``, ``.tar.gz``, ``.tar.xz``, ``.tar.bz2`` or ``.zip`` file; its content decides, not its name.
        into: Folder to make, or an empty one.
        max_bytes: Refuse more than this, declared or real, counting every member.
        max_files: Refuse more members than this.

    Returns:
        The folder in ``into`` that holds the model: ``into`` itself or the archive's own top folder.

    Raises:
        CheckpointError: The archive is damaged, hostile or too large, or holds no model or several.
        UsageError: There is no such archive, or ``into`` is not empty.
        RunError: ``into`` cannot be written.
    """
    archive, into = Path(archive), Path(into).resolve()
    if not archive.is_file():
        raise UsageError(f"there is no archive {archive}", path=archive)
    if into.exists() and not (into.is_dir() and not any(into.iterdir())):
        raise UsageError(f"{into} is not an empty folder", hint="Name a new folder to unpack into.", path=into)
    with new_folder(into) as folder:
        target = _Target(archive, folder, max_bytes, max_files)
        with _readable(archive), archive.open("rb") as raw:
            head = raw.read(8)
            raw.seek(0)
            if head.startswith(b"PK"):
                _unzip(raw, target)
            else:
                opened = next((opener(raw) for magic, opener in _OPENERS if head.startswith(magic)), raw)
                with closing(opened) as source:
                    _untar(source, target)
        place = target.model_folder()
    return into / place


class _Target:
    """The folder that is being filled, and the rules for what may go there."""

    def __init__(self, archive: Path, folder: Path, max_bytes: int, max_files: int) -> None:
        self.archive = archive
        self.folder = folder
        self.max_bytes = max_bytes
        self.max_files = max_files
        self.declared = 0
        self.copied = 0
        self.members = 0
        self.seen: set[str] = set()
        self.written: list[PurePosixPath] = []

    def admit(self, name: str, size: int, *, is_folder: bool) -> PurePosixPath | None:
        """Check a member, needed or not; return where it goes, or None if it is to be left out."""
        path = None if is_folder and name in (".", "./") else _checked_name(name)
        self.members += 1
        self.declared += max(0, size)
        if size < 0:
            self.refuse(f"member {name!r} has a negative size")
        if self.declared > self.max_bytes:
            self.refuse(f"it unpacks to more than {self.max_bytes:,} bytes")
        if self.members > self.max_files:
            self.refuse(f"it holds more than {self.max_files:,} files")
        if path is None or is_folder:
            return None
        same = unicodedata.normalize("NFC", str(path)).casefold()  # one file where a file system ignores case
        if same in self.seen:
            self.refuse(f"member {name!r} is there twice")
        self.seen.add(same)
        if not _is_wanted(path):
            _log.debug("%s: left out %s", self.archive, path)
            return None
        return path

    def write(self, path: PurePosixPath, source: IO[bytes], size: int) -> None:
        """Copy a member, counting what really comes."""
        target, done = self.folder / path, 0
        with explained(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        with explained(target), target.open("xb") as file:
            while piece := self._next(source):
                done += len(piece)
                self.copied += len(piece)
                if self.copied > self.max_bytes or done > size:
                    self.refuse(f"member {str(path)!r} is larger than it says, or than {self.max_bytes:,} bytes")
                file.write(piece)
        if done != size:
            self.refuse(f"member {str(path)!r} ends after {done:,} of {size:,} bytes")
        self.written.append(path)

    def _next(self, source: IO[bytes]) -> bytes:
        with _readable(self.archive):  # so that a failure to read is not taken for one to write
            return source.read(_PIECE)

    def model_folder(self) -> PurePosixPath:
        """Return the folder with the weights, relative to the target."""
        places = set()
        for path in self.written:
            if any(fnmatchcase(path.name, pattern) for pattern in _WEIGHTS):
                places.add(path.parent.parent if path.parent.name == "variables" else path.parent)
        if not places:
            self.refuse("it holds no model: no *.index with *.data-* files (TensorFlow) and no *.safetensors")
        if len(places) > 1:
            self.refuse(f"it holds several models, in {', '.join(sorted(map(str, places))[:8])}")
        return places.pop()

    def refuse(self, problem: str) -> NoReturn:
        """Raise the error for an archive that must not be unpacked."""
        raise CheckpointError(f"{self.archive} was not unpacked: {problem}", path=self.archive)


def _checked_name(name: str) -> PurePosixPath:
    """Return a member's name as a path that cannot leave the folder it is joined to.

    Raises:
        ValueError: It could, or it is no name at all.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    bad = (
        not parts
        or name.startswith("/")
        or ".." in parts
        or re.search(r"[\\:]", name)  # Windows: a separator, a drive, a stream
        or any(unicodedata.category(char) in ("Cc", "Cs") for char in name)
        or len(name.encode(errors="replace")) > 1000
        or any(len(part.encode(errors="replace")) > 255 for part in parts)
    )
    if bad:
        raise ValueError(f"the member name {name[:200]!r} is not allowed")
    return PurePosixPath(*parts)


def _is_wanted(path: PurePosixPath) -> bool:
    if any(part.startswith(".") or part == "__MACOSX" for part in path.parts):
        return False  # also the copies macOS makes, such as ._model.ckpt.index
    return any(fnmatchcase(f"/{path}" if "/" in pattern else path.name, pattern) for pattern in _WANTED)


@contextmanager
def _readable(archive: Path) -> Iterator[None]:
    """Turn whatever the standard library raises on a damaged archive into a CheckpointError."""
    try:
        yield
    except LitebertError:
        raise
    except _UNREADABLE as error:
        raise CheckpointError(
            f"{archive} was not unpacked: {str(error)[:300] or type(error).__name__}",
            hint="Download it again: it is damaged, incomplete, or not an archive of a model.",
            path=archive,
        ) from error


class _Metered(io.RawIOBase):
    """A decompressed stream for ``tarfile`` that counts, refuses huge reads, and never goes back.

    ``tarfile`` goes back only when misled by a forged size, and would then read the same headers for ever.
    """

    def __init__(self, source: IO[bytes], target: _Target) -> None:
        super().__init__()
        self.source = source
        self.target = target
        self.position = 0
        self.last = b""

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= _LARGEST_READ:
            raise ValueError("a header of an impossible size")
        self.last = self.source.read(size)
        self.position += len(self.last)
        if self.position > self.target.max_bytes + _HEADERS:
            self.target.refuse(f"it unpacks to more than {self.target.max_bytes:,} bytes")
        return self.last

    def tell(self) -> int:
        return self.position

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence != io.SEEK_SET or offset < self.position:
            raise ValueError("its members are not in order")
        while self.position < offset and self.read(min(_PIECE, offset - self.position)):
            pass
        return self.position


def _untar(source: IO[bytes], target: _Target) -> None:
    stream = _Metered(source, target)
    with tarfile.open(fileobj=stream, mode="r:") as tar:
        for member in tar:
            _take(tar, member, target)
    if stream.last.strip(b"\0") or len(stream.last) != tarfile.BLOCKSIZE:
        raise EOFError("it ends without an end mark")  # tarfile takes a damaged header for the end
    while stream.read(_PIECE):  # to the checksum that ends a compressed stream
        pass


def _take(tar: tarfile.TarFile, member: tarfile.TarInfo, target: _Target) -> None:
    if not (member.isreg() or member.isdir()) or member.issparse():
        target.refuse(f"member {member.name!r} is a link, a device or a sparse file")
    path = target.admit(member.name, member.size, is_folder=member.isdir())
    if path is None:
        return
    if hasattr(tarfile, "data_filter"):  # from 3.11.4
        tarfile.data_filter(member, str(target.folder))
    source = tar.extractfile(member)
    if source is None:
        target.refuse(f"member {member.name!r} cannot be read")
    with source:
        target.write(path, source, member.size)


def _unzip(raw: IO[bytes], target: _Target) -> None:
    with zipfile.ZipFile(raw) as archive:
        admitted = []
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == 3 else 0  # 3: made on Unix
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or info.flag_bits & 1:
                target.refuse(f"member {info.orig_filename!r} is a link, a device or encrypted")
            path = target.admit(info.orig_filename, info.file_size, is_folder=info.is_dir())
            if path is not None:
                admitted.append((path, info))
        for path, info in admitted:
            with archive.open(info) as source:
                target.write(path, source, info.file_size)
