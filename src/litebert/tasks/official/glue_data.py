"""Read GLUE's official files: TSV without quoting, with and without header; MRPC also from the original Microsoft files.

The MRPC split is rebuilt as GLUE's own script does. No row is dropped for being short or empty, since scores are over all rows.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path

from litebert.errors import DataError
from litebert.tasks.official.glue import GlueSplit, GlueTask, as_task, split_name
from litebert.tasks.reading.columns import Columns
from litebert.tasks.reading.records import Record, iter_records
from litebert.tasks.reading.rows import text_lines

_BINARY = ("0", "1")
_LINE_FORMATS = (".tsv", ".txt")
_MICROSOFT = {"train": "msr_paraphrase_train.txt", "dev": "msr_paraphrase_train.txt", "test": "msr_paraphrase_test.txt"}
_QQP_PART = "qqp-train-subset.tsv"
_QQP_DEV_SHARE = 10  # one pair in ten of the published part of QQP is held out


def read_glue(
    task: str | GlueTask, folder: str | Path, split: str, *, file: str | Path | None = None,
    warnings: list[str] | None = None,
) -> list[Record]:  # fmt: skip
    """Read one split.

    Args:
        task: A name or a task.
        folder: The task's folder, or one that holds it as ``MRPC``, ``mrpc`` or ``glue-mrpc``.
        split: ``train``, ``dev`` or ``test``; MNLI has ``dev_matched``, ``dev_mismatched``, ``test_matched`` and
            ``test_mismatched``, where ``dev`` and ``test`` mean the matched ones. AX has ``test`` only.
        file: Read this file as that split instead of looking in ``folder``.
        warnings: Receives what was skipped, and where the data differ from the official files.

    Returns:
        The records. ``id`` is the index a submission needs; labels are names of ``task.labels``, or numbers for STS-B. No
        row is dropped for being short or empty, since scores are over all rows.

    Raises:
        DataError: The split is not there, or a file is not what it should be; the message lists what is there.
        UsageError: No such task or split.
    """
    task = as_task(task)
    split = split_name(task, split)
    told = warnings if warnings is not None else []
    if file is not None:
        return _read_file(task, split, Path(file), told)
    home = task_folder(task, folder)
    path = glue_files(task, home, split)[0]
    if path.name == _QQP_PART:
        return _read_qqp_part(task, split, path, told)
    if path.name.startswith("msr_"):
        return _read_microsoft(task, split, path, told)
    return _read_file(task, split, path, told)


def available_splits(task: str | GlueTask, folder: str | Path) -> list[str]:
    """Return the splits :func:`read_glue` finds in a folder."""
    task = as_task(task)
    home = task_folder(task, folder)
    return [name for name in task.splits if _files(task, home, name)]


def glue_files(task: str | GlueTask, folder: str | Path, split: str) -> list[Path]:
    """Return the files :func:`read_glue` takes a split from, for provenance.

    Raises:
        DataError: The split is not there.
    """
    task = as_task(task)
    split, home = split_name(task, split), task_folder(task, folder)
    found = _files(task, home, split)
    if not found:
        raise _missing(task, home, split)
    return found


def task_folder(task: GlueTask, folder: str | Path) -> Path:
    """Return the folder that holds a task's files: one inside ``folder`` named after the task, else ``folder`` itself.

    Raises:
        DataError: There is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}", hint=f"It should hold GLUE's {task.folder} files.", path=folder)
    names = (task.folder.lower(), task.name, *task.aliases)
    wanted = {f"{prefix}{name}" for prefix in ("", "glue-", "glue_") for name in names}
    inside = sorted(entry for entry in folder.iterdir() if entry.name.lower() in wanted and entry.is_dir())
    # A complete task folder comes before a part of it, such as QQP before glue-qqp-subset.
    return max(inside, key=lambda entry: sum(bool(_files(task, entry, name)) for name in task.splits), default=folder)


# Official files -------------------------------------------------------------------------------------------------------


def _files(task: GlueTask, home: Path, split: str) -> list[Path]:
    """Return the official file, else a replacement with what it needs beside it, else nothing."""
    stems = [Path(task.splits[split].file).stem]
    if task.name == "mnli":
        stems += [split.removesuffix("_matched")] if split.endswith("_matched") else []
        stems.append(f"multinli_1.0_{split}")
    found = next((home / f"{x}{y}" for x in stems for y in (".tsv", ".jsonl") if (home / f"{x}{y}").is_file()), None)
    if found is not None:
        return [found]
    if task.name == "qqp" and split != "test":
        return [home / _QQP_PART] if (home / _QQP_PART).is_file() else []
    if task.name != "mrpc":
        return []
    original, ids = home / _MICROSOFT[split], home / "dev_ids.tsv"
    if split == "test" or ids.is_file():
        return [path for path in (original, ids) if path.is_file() and (path == original or split != "test")]
    return [original] if split == "train" and original.is_file() else []


def _missing(task: GlueTask, home: Path, split: str) -> DataError:
    present = sorted(entry.name for entry in home.iterdir() if entry.is_file())
    there = available_splits(task, home)
    option = " or name such a file with --" + split if split in ("train", "dev") else ""
    return DataError(
        f"{home} has no {split} split of GLUE {task.folder} ({task.splits[split].file}); it holds "
        + (", ".join(present[:12]) or "nothing")
        + (f" (splits: {', '.join(there)})" if there else ""),
        hint=f"Put {task.splits[split].file} there{option}.",
        path=home,
    )


def _read_file(task: GlueTask, split: str, path: Path, warnings: list[str]) -> list[Record]:
    layout = task.splits[split]
    if path.suffix.lower() not in _LINE_FORMATS:
        return _from_other_format(task, path, warnings)
    records, bad = _read_tsv(task, layout, path)
    if bad:
        warnings.append(f"{path}: broken lines skipped, as Google's reader does: {len(bad)} (first: line {bad[0]})")
    if layout.rows and len(records) != layout.rows:
        warnings.append(f"{path}: {len(records)} examples where GLUE's {task.folder} {split} has {layout.rows}")
    return records


def _read_tsv(
    task: GlueTask, layout: GlueSplit, path: Path, *, keep: Callable[[list[str]], bool] | None = None
) -> tuple[list[Record], list[int]]:
    """Read official lines; return the records and the numbers of the broken lines that were skipped."""
    lines = text_lines(path)
    width = layout.width
    columns = Columns(layout.text, layout.pair, layout.label, layout.id)
    if not width:  # the first line names the columns
        names = next(lines, (1, ""))[1].split("\t")
        columns = _positions(task, columns, names, path)
        width = len(names)
    records: list[Record] = []
    bad: list[int] = []
    for number, line in lines:
        cells = line.split("\t")
        if not line:
            continue
        if len(cells) != width:
            if not task.tolerant:
                hint = "Is it the file of another task, or was it changed by a spreadsheet?"
                what = f"line {number} of {path} has {len(cells)} columns, not {width}"
                raise DataError(what, hint=hint, path=path, line=number)
            bad.append(number)
        elif keep is None or keep(cells):
            try:
                records.append(_record(task, columns, cells, number, len(records), path))
            except DataError:
                if not task.tolerant:
                    raise
                bad.append(number)
    if not records:
        raise DataError(f"{path} has no examples", hint=f"It should be GLUE's {task.folder} file.", path=path)
    return records, bad


def _positions(task: GlueTask, columns: Columns, names: list[str], path: Path) -> Columns:
    def position(name: object) -> int | None:
        if name is None:
            return None
        if name not in names:
            raise DataError(
                f"{path} is not a file of GLUE {task.folder}: it has no column {name!r} but {', '.join(names[:12])}",
                hint="Check that the folder belongs to the task.",
                path=path,
                line=1,
            )
        return names.index(str(name))

    return Columns(position(columns.text), position(columns.pair), position(columns.label), position(columns.id))


def _record(task: GlueTask, columns: Columns, cells: list[str], number: int, count: int, path: Path) -> Record:
    def cell(place: object) -> str | None:
        return cells[place] if isinstance(place, int) else None

    raw = cell(columns.label)
    label = None if raw is None else _label(task, raw.strip(), path, number)
    index = cell(columns.id)
    id_ = count if index is None else int(index) if index.isascii() and index.isdigit() else index
    return Record(cell(columns.text) or "", cell(columns.pair), label, id_, number)


def _label(task: GlueTask, value: object, path: Path, line: int | None) -> str | float:
    if task.regression:
        try:
            number = float(str(value))
        except ValueError:
            number = math.nan
        if not 0 <= number <= 5:
            raise DataError(f"line {line} of {path}: the score {value!r} is not in 0..5", path=path, line=line)
        return number
    if value not in task.labels:
        hint = f"Allowed: {', '.join(task.labels)}."
        if str(value).isdigit() and task.labels != _BINARY:
            hint += " Numbers are refused, because releases of this data number the classes differently."
        raise DataError(f"line {line} of {path}: unknown label {value!r}", hint=hint, path=path, line=line)
    return str(value)


def _from_other_format(task: GlueTask, path: Path, warnings: list[str]) -> list[Record]:
    records: list[Record] = []
    unsure = 0
    source = iter_records(path, regression=task.regression, labels_required=False, keep_empty=True, warnings=warnings)
    for record in source:
        if record.label == "-":  # MNLI as published: the annotators did not agree
            unsure += 1
            continue
        label = None if record.label is None else _label(task, record.label, path, record.line)
        id_ = record.id if record.id is not None else len(records)
        records.append(Record(record.text, record.pair, label, id_, record.line))
    if unsure:
        warnings.append(f"{path}: {unsure} examples without an agreed label skipped")
    if records and task.pair and records[0].pair is None:
        raise DataError(f"{path} has one text a row, GLUE {task.folder} needs two", path=path, line=records[0].line)
    return records


# Where GLUE itself could not publish the files ------------------------------------------------------------------------


def _read_microsoft(task: GlueTask, split: str, path: Path, warnings: list[str]) -> list[Record]:
    ids = path.parent / "dev_ids.tsv"
    held_out = {tuple(line.split("\t")) for _, line in text_lines(ids)} if ids.is_file() and split != "test" else set()

    def keep(cells: list[str]) -> bool:
        return (tuple(cells[1:3]) in held_out) == (split == "dev")

    records, _ = _read_tsv(task, task.splits["dev"], path, keep=keep)
    note = "" if held_out or split == "test" else "; dev_ids.tsv is missing, so GLUE's dev pairs are among them"
    warnings.append(f"{path}: {split} split made from the Microsoft file{note}")
    return records


def _read_qqp_part(task: GlueTask, split: str, path: Path, warnings: list[str]) -> list[Record]:
    layout = GlueSplit(file=_QQP_PART, text=3, pair=4, label=5, id=0, width=6)

    def keep(cells: list[str]) -> bool:
        # By the pair's own id, so the division survives any reordering or shortening of the file.
        drawn = int.from_bytes(hashlib.sha256(cells[0].encode()).digest()[:8], "big") % _QQP_DEV_SHARE
        return (drawn == 0) == (split == "dev")

    records, bad = _read_tsv(task, layout, path, keep=keep)
    warnings.append(
        f"{path}: a part of QQP's train set, divided here (one pair in {_QQP_DEV_SHARE} is dev); scores do not compare with "
        "published ones"
    )
    if bad:
        warnings.append(f"{path}: broken lines skipped, as Google's reader does: {len(bad)} (first: line {bad[0]})")
    return records
