"""A reader sees the old content or the new; a refusal to write is an error that says what to do."""

import errno
import json
import os
from pathlib import Path

import pytest

from litebert import files
from litebert.errors import RunError

WRITERS = {
    "bytes": lambda path: files.write_bytes(path, b"new\n"),
    "text": lambda path: files.write_text(path, "new\n"),
    "json": lambda path: files.write_json(path, "new"),
    "lines": lambda path: files.write_lines(path, ["new"]),
}


@pytest.fixture(params=WRITERS)
def write(request):
    return WRITERS[request.param]


def refuse(number):
    def call(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return call


def test_writers_write_what_they_are_given(tmp_path):
    files.write_bytes(tmp_path / "a" / "b" / "bytes", b"\0\r\n\xff")
    files.write_text(tmp_path / "text", "ünï\n")
    files.write_json(tmp_path / "json", {"b": 1, "a": ["é"]})
    assert files.write_lines(tmp_path / "lines", (f"{i}é" for i in range(3))) == 3
    assert (tmp_path / "a" / "b" / "bytes").read_bytes() == b"\0\r\n\xff"
    assert (tmp_path / "text").read_bytes() == "ünï\n".encode()
    assert list(json.loads((tmp_path / "json").read_text(encoding="utf-8"))) == ["b", "a"]
    assert "é" in (tmp_path / "json").read_text(encoding="utf-8")
    assert (tmp_path / "lines").read_text(encoding="utf-8") == "0é\n1é\n2é\n"


def test_written_files_are_readable_by_others(tmp_path, write):
    write(tmp_path / "file")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_nothing_is_left_beside(tmp_path, write):
    (tmp_path / "file").write_text("old")
    write(tmp_path / "file")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert "new" in (tmp_path / "file").read_text()


def test_the_name_appears_in_one_step(tmp_path):
    """While it is written, the old content stands under the name; the new content is complete before the switch."""
    path = tmp_path / "file"
    path.write_text("old")

    def write(temporary):
        assert temporary.parent == path.parent
        temporary.write_text("ne")
        assert path.read_text() == "old"
        temporary.write_text("new")

    files.write_with(path, write)
    assert path.read_text() == "new"


@pytest.mark.parametrize("where", ["os.fsync", "pathlib.Path.replace", "tempfile.mkstemp", "litebert.files._write"])
def test_disk_full_leaves_the_old_file(tmp_path, monkeypatch, where):
    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr(where, refuse(errno.ENOSPC))
    with pytest.raises(RunError, match="No space left") as caught:
        files.write_bytes(path, b"new")
    assert "disk is full" in caught.value.hint
    assert caught.value.path == str(path)
    assert caught.value.exit_code == 1
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_read_only_folder(tmp_path, monkeypatch, write, number):
    monkeypatch.setattr("tempfile.mkstemp", refuse(number))
    with pytest.raises(RunError, match=os.strerror(number)) as caught:
        write(tmp_path / "file")
    assert "you may write to it" in caught.value.hint
    assert not any(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_really_read_only_folder(tmp_path, write):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(RunError, match="Permission denied"):
            write(tmp_path / "file")
        with pytest.raises(RunError, match="Permission denied"), files.new_folder(tmp_path / "folder"):
            pass
    finally:
        tmp_path.chmod(0o700)


def test_a_file_where_a_folder_should_be(tmp_path, write):
    (tmp_path / "file").write_text("old")
    with pytest.raises(RunError, match="cannot write"):
        write(tmp_path / "file" / "below")
    assert (tmp_path / "file").read_text() == "old"


def test_a_folder_where_a_file_should_be(tmp_path, write):
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(RunError, match="cannot write"):
        write(tmp_path / "folder")
    assert [p.name for p in tmp_path.rglob("*")] == ["folder", "inside"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, RunError])
def test_an_error_of_the_writer_passes_and_leaves_nothing(tmp_path, error):
    (tmp_path / "file").write_text("old")

    def write(temporary):
        temporary.write_text("half")
        raise error("stop")

    with pytest.raises(error, match="stop"):
        files.write_with(tmp_path / "file", write)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_lines_that_fail_on_the_way_leave_nothing(tmp_path):
    def lines():
        yield "first"
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        files.write_lines(tmp_path / "file", lines())
    assert not any(tmp_path.iterdir())


# --- Folders ------------------------------------------------------------------------------------------------------------


def test_new_folder_appears_at_the_end(tmp_path):
    target = tmp_path / "a" / "folder"
    with files.new_folder(target) as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub" / "file").write_text("new")
        assert not target.exists()
    assert (target / "sub" / "file").read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o755
    assert [p.name for p in target.parent.iterdir()] == ["folder"]


def test_new_folder_replaces_the_old_one_as_a_whole(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").write_text("old")
    with files.new_folder(target) as temporary:
        (temporary / "new").write_text("new")
        assert (target / "old").exists()
    assert [p.name for p in tmp_path.rglob("*")] == ["folder", "new"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RunError])
@pytest.mark.parametrize("there", [False, True])
def test_new_folder_vanishes_on_an_error(tmp_path, error, there):
    target = tmp_path / "folder"
    if there:
        target.mkdir()
        (target / "old").write_text("old")
    with pytest.raises(error), files.new_folder(target) as temporary:
        (temporary / "half").write_text("half")
        raise error("stop")
    assert [p.name for p in tmp_path.rglob("*")] == (["folder", "old"] if there else [])


def test_full_disk_inside_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", refuse(errno.ENOSPC))
    with pytest.raises(RunError, match="No space left"), files.new_folder(tmp_path / "folder") as temporary:
        (temporary / "file").write_text("half")
    assert not any(tmp_path.iterdir())


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(tmp_path, monkeypatch):
    """The second of the two renames fails: the old folder must be back under its name."""
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").write_text("old")
    rename = Path.rename

    def second_fails(self, to):
        if self.name.endswith(".tmp"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", second_fails)
    with pytest.raises(RunError, match="No space left"), files.new_folder(target) as temporary:
        (temporary / "new").write_text("new")
    assert (target / "old").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]
