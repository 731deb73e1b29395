"""Model archives, honest and hostile."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import stat
import struct
import tarfile
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from litebert.checkpoint.archive import extract_model_archive
from litebert.checkpoint.tensor_bundle import find_bundle, read_bundle
from litebert.errors import CheckpointError, LitebertError, UsageError

GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden" / "tiny"
MODEL = {file.name: file.read_bytes() for file in sorted(GOLDEN.iterdir()) if file.suffix != ".npz"}
BUNDLE = {"m/x.index": b"index", "m/x.data-00000-of-00001": b"data"}
Change = Callable[[tarfile.TarInfo], None]


def tar_bytes(files: dict[str, bytes], change: Change | None = None, **options: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", **options) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if change is not None:
                change(info)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def zip_bytes(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


FORMATS: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "m.tar": tar_bytes,
    "m.tar.gz": lambda files: gzip.compress(tar_bytes(files)),
    "m.tgz": lambda files: gzip.compress(tar_bytes(files, format=tarfile.GNU_FORMAT)),
    "m.tar.xz": lambda files: lzma.compress(tar_bytes(files)),
    "m.tar.bz2": lambda files: bz2.compress(tar_bytes(files)),
    "m.zip": zip_bytes,
    "stored.zip": lambda files: zip_bytes(files, zipfile.ZIP_STORED),
    "renamed.bin": lambda files: gzip.compress(tar_bytes(files)),
}


def unpack(tmp_path: Path, content: bytes, **limits: int) -> Path:
    archive = tmp_path / "archive"
    archive.write_bytes(content)
    return extract_model_archive(archive, tmp_path / "into", **limits)


def refuse(tmp_path: Path, content: bytes, match: str = "was not unpacked", **limits: int) -> CheckpointError:
    with pytest.raises(CheckpointError, match=match) as caught:
        unpack(tmp_path, content, **limits)
    assert caught.value.path == str(tmp_path / "archive")
    assert [path.name for path in tmp_path.iterdir()] == ["archive"]  # nothing, not even a part, is left
    return caught.value


def listing(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# Honest archives ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("top", ["", "albert_base/", "./albert_base/"])
def test_a_real_checkpoint_survives(tmp_path: Path, name: str, top: str) -> None:
    (tmp_path / name).write_bytes(FORMATS[name]({top + file: content for file, content in MODEL.items()}))
    folder = extract_model_archive(tmp_path / name, tmp_path / "into")
    assert folder == tmp_path / "into" / top
    assert {file: (folder / file).read_bytes() for file in MODEL} == MODEL
    found, expected = read_bundle(find_bundle(folder)), read_bundle(GOLDEN / "model.ckpt-best")
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[key], expected[key]) for key in expected)


def test_only_what_a_model_needs_is_unpacked(tmp_path: Path) -> None:
    wanted = {
        *("model.ckpt-best.index", "model.ckpt-best.data-00000-of-00001", "checkpoint", "albert_config.json"),
        *("30k-clean.model", "30k-clean.vocab", "vocab.txt", "vocab_chinese.txt", "tokenizer.json", "x.safetensors"),
        *("assets/anything", "variables/variables.index"),
    }
    left = {
        *("model.ckpt-best.meta", "events.out", "README.md", "run.py", "pytorch_model.bin", "saved_model.pb", "x.pkl"),
        *(".hidden.json", "._model.ckpt-best.index", "__MACOSX/x.index", "x.data-of", "setup.sh"),
    }
    folder = unpack(tmp_path, tar_bytes({f"top/{name}": b"x" for name in wanted | left}))
    assert folder == tmp_path / "into" / "top"
    assert listing(folder) == wanted


@pytest.mark.parametrize("top", ["", "albert_base/"])
def test_a_hub_module(tmp_path: Path, top: str) -> None:
    names = [
        "saved_model.pb",
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
        "assets/30k-clean.model",
    ]
    folder = unpack(tmp_path, gzip.compress(tar_bytes({top + name: b"x" for name in names})))
    assert folder == tmp_path / "into" / top
    assert listing(folder) == set(names[1:])
    assert find_bundle(folder) == folder / "variables" / "variables"


def test_folders_in_archives_are_fine(tmp_path: Path) -> None:
    out = io.BytesIO(tar_bytes(BUNDLE))
    with tarfile.open(fileobj=out, mode="a") as tar:
        for name in ("./", "m", "m/empty/"):
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE
            tar.addfile(info)
    assert listing(unpack(tmp_path, out.getvalue())) == {"x.index", "x.data-00000-of-00001"}


def test_unpacked_files_have_no_foreign_rights(tmp_path: Path) -> None:
    def change(info: tarfile.TarInfo) -> None:
        info.mode, info.uid, info.mtime = 0o6777, 0, 1

    folder = unpack(tmp_path, tar_bytes(BUNDLE, change))
    assert not stat.S_IMODE((folder / "x.index").stat().st_mode) & 0o7133
    assert (folder / "x.index").stat().st_mtime > 1


def test_an_empty_folder_may_be_given_but_not_a_full_one(tmp_path: Path) -> None:
    (tmp_path / "into").mkdir()
    assert unpack(tmp_path, tar_bytes(BUNDLE)) == tmp_path / "into" / "m"
    with pytest.raises(UsageError, match="not an empty folder"):
        unpack(tmp_path, tar_bytes(BUNDLE))
    with pytest.raises(UsageError, match="no archive"):
        extract_model_archive(tmp_path / "nothing.zip", tmp_path / "new")


def test_models_none_or_several(tmp_path: Path) -> None:
    refuse(tmp_path, tar_bytes({"config.json": b"{}", "notes.txt": b""}), "holds no model")
    refuse(tmp_path, tar_bytes({"a/x.index": b"", "b/x.index": b""}), "several models, in a, b")
    refuse(tmp_path, tar_bytes({}), "holds no model|not unpacked")
    refuse(tmp_path, zip_bytes({}), "holds no model|not unpacked")


# Damaged archives -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_truncated_archives(tmp_path: Path, name: str) -> None:
    whole = FORMATS[name](MODEL)
    marks = 10240 if name == "m.tar" else 1  # a tar's zeros at the end may be fewer
    for size in (0, 1, 10, 512, len(whole) // 3, len(whole) // 2, len(whole) - marks):
        assert refuse(tmp_path, whole[:size]).hint


def test_a_tar_cut_between_members(tmp_path: Path) -> None:
    whole = tar_bytes({**BUNDLE, "m/albert_config.json": b"{}"})
    refuse(tmp_path, whole[: 2 * 1024], "end mark")
    assert listing(unpack(tmp_path, whole[: 3 * 1024 + 512])) == {
        "x.index",
        "x.data-00000-of-00001",
        "albert_config.json",
    }


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    octets = bytearray(tar_bytes({**BUNDLE, "m/albert_config.json": b"{}"}))
    octets[2 * 1024 + 5] ^= 1
    refuse(tmp_path, bytes(octets), "end mark")


@pytest.mark.parametrize(
    "content", [b"", b"PK\3\4", b"\x1f\x8b", b"\x1f\x8b" + bytes(90), b"BZh9", b"\xfd7zXZ\0", b"text" * 500]
)
def test_what_is_no_archive(tmp_path: Path, content: bytes) -> None:
    assert refuse(tmp_path, content).hint


@pytest.mark.parametrize("name", FORMATS)
def test_random_damage_gives_our_error_or_files(tmp_path: Path, name: str) -> None:
    rng, whole = random.Random(name), FORMATS[name](BUNDLE)
    archive, refused = tmp_path / "archive", 0
    for turn in range(50):
        octets = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            octets[rng.randrange(len(octets) if turn % 2 else min(400, len(octets)))] ^= rng.randint(1, 255)
        archive.write_bytes(octets)
        try:
            extract_model_archive(archive, tmp_path / f"into{turn}", max_bytes=1 << 20)
        except LitebertError as error:
            assert error.message
            refused += 1
    assert refused > 5


# Hostile archives -----------------------------------------------------------------------------------------------------------------

BAD_NAMES = [
    *(
        "/etc/x.index",
        "//x.index",
        "../x.index",
        "m/../../x.index",
        "m/..",
        "..",
        "C:/x.index",
        "C:x.index",
        "\\\\host\\x.index",
    ),
    *(
        "..\\x.index",
        "m/x.index:stream",
        "m/\x07x.index",
        "m/x\n.index",
        "m/" + "n" * 300 + ".index",
        "a/" * 600 + "x.index",
    ),
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_could_leave_the_folder(tmp_path: Path, name: str) -> None:
    refuse(tmp_path, tar_bytes({**BUNDLE, name: b"x"}), "is not allowed|not unpacked")
    refuse(tmp_path, zip_bytes({**BUNDLE, name: b"x"}), "is not allowed")


@pytest.mark.parametrize("name", ["../", "/", "../../m/", "C:/"])
def test_folders_elsewhere(tmp_path: Path, name: str) -> None:
    refuse(tmp_path, zip_bytes({**BUNDLE, name: b""}), "is not allowed")


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE],
)
@pytest.mark.parametrize("name", ["m/albert_config.json", "m/unneeded.txt"])
def test_links_and_devices(tmp_path: Path, kind: bytes, name: str) -> None:
    def change(info: tarfile.TarInfo) -> None:
        if info.name == name:
            info.type, info.linkname = kind, "/etc/passwd"

    refuse(tmp_path, tar_bytes({**BUNDLE, name: b""}, change), "link, a device or a sparse")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_in_zip(tmp_path: Path, kind: int) -> None:
    out = io.BytesIO(zip_bytes(BUNDLE))
    with zipfile.ZipFile(out, "a") as archive:
        info = zipfile.ZipInfo("m/albert_config.json")
        info.external_attr = (kind | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    refuse(tmp_path, out.getvalue(), "link, a device or encrypted")


def test_encrypted_zip(tmp_path: Path) -> None:
    octets = bytearray(zip_bytes(BUNDLE))
    octets[octets.index(b"PK\1\2") + 8] |= 1
    refuse(tmp_path, bytes(octets), "a device or encrypted")


@pytest.mark.parametrize("twin", ["m/x.index", "m/X.INDEX", "./m//x.index"])
def test_duplicates(tmp_path: Path, twin: str) -> None:
    out = io.BytesIO(tar_bytes(BUNDLE))
    with tarfile.open(fileobj=out, mode="a") as tar:
        tar.addfile(tarfile.TarInfo(twin))
    refuse(tmp_path, out.getvalue(), "is there twice")


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(tar_bytes({"m.json": b"{}", "m.json/x.index": b""}))
    with pytest.raises(LitebertError):
        extract_model_archive(tmp_path / "archive", tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_too_many_files(tmp_path: Path) -> None:
    content = tar_bytes({**BUNDLE, **{f"n{i}": b"" for i in range(20)}})
    refuse(tmp_path, content, "more than 21 files", max_files=21)
    assert unpack(tmp_path, content, max_files=22)


@pytest.mark.parametrize("name", FORMATS)
def test_declared_sizes(tmp_path: Path, name: str) -> None:
    content = FORMATS[name]({**BUNDLE, "m/unneeded": bytes(5000)})
    refuse(tmp_path, content, "more than 5,000 bytes", max_bytes=5000)
    assert unpack(tmp_path, content, max_bytes=5009)


def test_a_tar_that_declares_far_too_much(tmp_path: Path) -> None:
    info = tarfile.TarInfo("m/x.index")
    info.size = 1 << 60
    refuse(tmp_path, info.tobuf(tarfile.GNU_FORMAT) + bytes(2048), "more than")


@pytest.mark.parametrize("squeeze", [gzip.compress, lzma.compress, bz2.compress])
def test_bombs_end_early(tmp_path: Path, squeeze: Callable[[bytes], bytes]) -> None:
    """More bytes come after the members than the members declare."""
    content = squeeze(tar_bytes(BUNDLE) + bytes(40 << 20))
    tracemalloc.start()
    refuse(tmp_path, content, "more than 1,000 bytes", max_bytes=1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


def test_an_extended_header_is_not_read_into_memory(tmp_path: Path) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 64 << 20
    content = gzip.compress(info.tobuf() + bytes(64 << 20) + tar_bytes(BUNDLE))
    tracemalloc.start()
    refuse(tmp_path, content, "impossible size")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


def test_headers_upon_headers(tmp_path: Path) -> None:
    info = tarfile.TarInfo("pax")
    info.type = tarfile.XHDTYPE
    refuse(tmp_path, info.tobuf() * 5000 + tar_bytes(BUNDLE))


@pytest.mark.parametrize("size", ["-1", "-512", "-1536", "-99999999999", "1e9", "99999999999999999999999999"])
def test_forged_sizes_do_not_loop(tmp_path: Path, size: str) -> None:
    def change(info: tarfile.TarInfo) -> None:
        info.pax_headers = {"size": size}

    start = time.monotonic()
    refuse(tmp_path, tar_bytes(BUNDLE, change, format=tarfile.PAX_FORMAT))
    assert time.monotonic() - start < 5


def test_a_zip_that_lies_about_a_size(tmp_path: Path) -> None:
    octets = bytearray(zip_bytes({"m/x.index": bytes(100_000)}))
    place = octets.index(b"PK\1\2")
    for size in (10, 200_000):
        octets[place + 24 : place + 28] = struct.pack("<I", size)
        refuse(tmp_path, bytes(octets))


def test_a_zip_bomb_of_overlapping_members(tmp_path: Path) -> None:
    """Many entries of the directory point at one large member."""
    one = zip_bytes({"m/x.index": bytes(1 << 20)})
    place = one.index(b"PK\1\2")
    end = one.index(b"PK\5\6")
    entries = b"".join(one[place:end].replace(b"m/x.index", b"m/%d.index" % i) for i in range(10))
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 10, 10, len(entries), place, 0)
    refuse(tmp_path, one[:place] + entries + tail, "more than", max_bytes=5 << 20)
    refuse(tmp_path, one[:place] + entries + tail)  # the names do not fit
