"""Answers for an endless stream of records, in order, with bounded memory: while one window is computed the next is tokenised."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice
from typing import Any

import torch

from litebert.errors import DataError
from litebert.tasks.base import Answer, Passes
from litebert.tasks.model_folder import TaskModel
from litebert.tasks.reading.records import Record
from litebert.tasks.reading.rejected import are_taken, reject
from litebert.tasks.zero_shot import ZeroShotModel

Work = Callable[[Passes], list[Answer]]
"""Tokenised records, which only have to be computed."""

_MOST: ContextVar[int | None] = ContextVar("most threads", default=None)


def windows_of(
    loaded: TaskModel | ZeroShotModel, records: Iterable[Record], passes: Passes, options: Mapping[str, Any], *, window: int,
    threads: int | None = None,
) -> Iterator[tuple[list[Record], list[Answer]]]:  # fmt: skip
    """Answer records window by window.

    Args:
        loaded: The model.
        records: Any number; at most two windows are in memory at once.
        passes: How the model is run.
        options: Of the task.
        window: Records that are sorted by length together; 1 answers each before the next is read.
        threads: Of the computation.

    Yields:
        The records of a window and their answers, in order. Where the records break off with an error, those before it are answered
        first.
    """
    source = iter(records)
    broken: list[Exception] = []

    def read() -> list[Record]:
        found: list[Record] = []
        try:
            for record in islice(source, 0 if broken else window):
                found.append(record)
        except Exception as error:
            broken.append(error)
        return found

    if window == 1:
        yield from _one_by_one(loaded, source, passes, options, threads)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="tokenise") as pool:
        chunk = read()
        ahead: Future[Work] = pool.submit(loaded.prepare, chunk, options)
        while chunk:
            following = read()
            chunk, work = _tokenised(ahead, loaded, chunk, options)
            if following:
                ahead = pool.submit(loaded.prepare, following, options)
            with computing(threads):
                answers = work(passes)
            if chunk:
                yield chunk, answers
            chunk = following
    if broken:
        raise broken[0]


def _one_by_one(
    loaded: TaskModel | ZeroShotModel, records: Iterable[Record], passes: Passes, options: Mapping[str, Any],
    threads: int | None,
) -> Iterator[tuple[list[Record], list[Answer]]]:  # fmt: skip
    for record in records:
        kept, work = _sound(loaded, [record], options)
        with computing(threads):
            answers = work(passes)
        if kept:
            yield kept, answers


def _tokenised(
    ahead: Future[Work], loaded: TaskModel | ZeroShotModel, records: list[Record], options: Mapping[str, Any]
) -> tuple[list[Record], Work]:
    """Return what was tokenised ahead; where one of the records cannot be answered, and such are taken, the others."""
    try:
        return records, ahead.result()
    except DataError:
        if not are_taken():
            raise
        return _sound(loaded, records, options)


def _sound(
    loaded: TaskModel | ZeroShotModel, records: list[Record], options: Mapping[str, Any]
) -> tuple[list[Record], Work]:
    """Tokenise the records that can be answered; hand over those that cannot, or raise as ever where nobody takes them."""
    if not are_taken():
        return records, loaded.prepare(records, options)
    kept = []
    for record in records:
        try:
            loaded.prepare([record], options)
        except DataError as error:
            error.line = record.line if error.line is None else error.line
            reject(error)
        else:
            kept.append(record)
    return kept, loaded.prepare(kept, options) if kept else lambda _passes: []


@contextmanager
def computing(threads: int | None) -> Iterator[None]:
    """Compute with a number of threads, or as many as ``at_most`` allows; None leaves it as it is."""
    before = torch.get_num_threads()
    most = _MOST.get()
    if threads is not None and most is not None:
        threads = min(threads, most)
    if threads is not None and threads != before:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


@contextmanager
def at_most(threads: int) -> Iterator[None]:
    """Compute with no more than some threads, whatever is asked for within: others compute at the same time."""
    token = _MOST.set(threads)
    try:
        with computing(threads):
            yield
    finally:
        _MOST.reset(token)
