"""What routes ask: answers for records, computed in turn with everybody else's."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import numpy as np
import torch

from litebert.errors import DataError, UsageError
from litebert.inference.stream import at_most
from litebert.serve.amounts import check_amount, work_of
from litebert.serve.models import Models, ServedModel
from litebert.serve.settings import ServeSettings
from litebert.serve.tracing import UNNOTED, Notes
from litebert.serve.waiting import TURNS, Lane, OverloadError, Request, WaitingLine
from litebert.serve.worker import Listener, TooLateError, Worker
from litebert.tasks.base import Answer
from litebert.tasks.reading.records import Record

logger = logging.getLogger("litebert.serve")

LETTERS_A_TOKEN = 250
"""Letters that a text may have for each token of a batch: more cannot be meant seriously, and would take long to tokenise."""

MOST_NUMBERS = 2**25
"""Of one answer that has a state for each token: as JSON they are some 400 MB."""

LETTERS_OF_A_TOKEN = 5
"""About as many; for a first guess."""

HANDS = 2
"""Batches that may be computed at once on a CPU, each by a part of its threads.

Other runtimes and devices share themselves out; and where the last digit counts, the threads that compute a text must not depend on
what else is asked.
"""

T = TypeVar("T")


class TooLargeError(UsageError):
    """A request holds more than may be asked at once."""

    code = "too-large"


class TooManyError(TooLargeError):
    """A request holds too many texts."""


class NothingAskedError(DataError):
    """A request holds nothing to answer."""

    code = "empty"


class ClientGoneError(Exception):
    """The client has left."""


@dataclass
class Asked:
    """What is known of a request while it is served, for headers, metrics and the log.

    Attributes:
        model: Name of the model.
        task: What it is asked.
        items: Texts.
        tokens: Of all texts.
        characters: Of all texts.
        tokenising: Seconds.
        queued: Seconds.
        computing: Seconds.
        timeout: Seconds until nobody waits any more.
        gone: Set when the client has left.
        began: When it came, as ``time.monotonic`` has it.
        promised: What is kept free for it in the line, in tokens; None before it is let in.
        notes: Told of each part of the work, for traces.
    """

    timeout: float
    gone: asyncio.Event
    model: str = ""
    task: str = ""
    items: int = 0
    tokens: int = 0
    characters: int = 0
    tokenising: float = 0.0
    queued: float = 0.0
    computing: float = 0.0
    began: float = field(default_factory=time.monotonic)
    promised: int | None = None
    notes: Notes = UNNOTED

    @property
    def left(self) -> float:
        """Seconds until nobody waits any more."""
        return self.began + self.timeout - time.monotonic()


class Engine:
    """Models, and the worker that computes for all of them.

    Args:
        models: What is served.
        settings: Limits.
        listener: Told of batches.
    """

    def __init__(self, models: Models, settings: ServeSettings, listener: Listener) -> None:
        self.models, self.settings = models, settings
        hands, sharing = _hands(models)
        self.line = WaitingLine(
            settings.max_batch_tokens, most_items=settings.max_queue_items, turns=max(TURNS // hands, 1)
        )
        rates = {name: model.measured_rate() for name, model in models.items()}
        fastest = max(rates.values())
        self._weights = {name: fastest / rate for name, rate in rates.items()}
        self.worker = Worker(
            self.line, listener, rate=fastest, most_wait=settings.max_queue_ms / 1000, hang=settings.hang_timeout,
            batch_seconds=settings.max_batch_ms / 1000, hands=hands, sharing=sharing,
        )  # fmt: skip
        self.draining = False
        self._tokenisers = ThreadPoolExecutor(2, thread_name_prefix="tokenise")

    async def close(self, seconds: float) -> None:
        """Take no more work, and wait until what was taken is done: a thread that computes must not outlive the interpreter.

        Args:
            seconds: To wait at most.
        """
        self.worker.close()
        ended = await asyncio.get_running_loop().run_in_executor(None, self.worker.join, seconds)
        if not ended:
            logger.error("the worker did not end within %g seconds", seconds)
        self._tokenisers.shutdown(wait=ended, cancel_futures=True)

    async def answer(
        self, model: ServedModel, task: str, records: Sequence[Record], asked: Asked, **options: Any
    ) -> list[Answer]:
        """Answer records in order.

        Args:
            model: That answers.
            task: One of its tasks.
            records: Texts or pairs.
            asked: Receives what it took.
            **options: Of the task.

        Raises:
            LitebertError: The records or options are wrong.
            OverloadError: It would wait too long.
            TooLateError: The deadline was over.
            ClientGoneError: The client has left.
            WorkerLostError: What was to compute it is gone.
        """
        most = self.settings.max_request_tokens

        def look() -> tuple[list[int], list[int]]:
            check_amount(model, task, records, options, most)
            tokens = model.tokens_of(records)
            return tokens, work_of(model, task, records, options, tokens)

        def lane(paired: bool) -> Lane:
            return Lane(
                (model.name, task, _key(options), paired), lambda inputs: model.answer(task, inputs, options),
                padded=model.pipeline.settings.backend != "torch", weight=self._weights[model.name],
            )  # fmt: skip

        work = await self._taken(model, task, records, look, asked)
        answers: dict[int, Answer] = {}
        for paired in (False, True):  # a batch is of texts or of pairs
            places = [i for i, record in enumerate(records) if (record.pair is not None) == paired]
            if places:
                found = await self._computed(
                    lane(paired), [records[i] for i in places], [work[i] for i in places], asked
                )
                answers.update(zip(places, found, strict=True))
        return [answers[i] for i in range(len(records))]

    async def states(self, model: ServedModel, records: Sequence[Record], asked: Asked) -> list[np.ndarray]:
        """Return the last states (T, H) of each text's tokens; arguments and errors as in ``answer``."""

        def look() -> tuple[list[int], list[int]]:
            tokens = [min(length, model.max_length) for length in model.tokens_of(records)]
            numbers = sum(tokens) * model.config.hidden_size
            if numbers > MOST_NUMBERS:
                raise TooLargeError(
                    f"the states would be {numbers} numbers, more than {MOST_NUMBERS}", hint="Split it."
                )
            return tokens, tokens

        work = await self._taken(model, "embed", records, look, asked)
        lane = Lane(
            (model.name, "states"), lambda inputs: model.states([one.text for one in inputs]),
            padded=model.pipeline.settings.backend != "torch", weight=self._weights[model.name],
        )  # fmt: skip
        return await self._computed(lane, records, work, asked)

    async def _taken(
        self, model: ServedModel, task: str, records: Sequence[Record], look: Callable[[], tuple[list[int], list[int]]], asked: Asked
    ) -> list[int]:  # fmt: skip
        """Take a request if it is sound and can be done in time; return the work of each record, in tokens."""
        self.check(model, records)
        asked.model, asked.task, asked.items = model.name, task, asked.items + len(records)
        self.admit(sum(len(r.text) for r in records), asked)
        tokens, work = await self.tokenised(look, asked)
        asked.tokens += sum(tokens)
        asked.characters += sum(len(r.text) + len(r.pair or "") for r in records)
        most = self.settings.max_request_tokens
        if sum(tokens) > most:
            raise TooLargeError(f"the request has {sum(tokens)} tokens, more than {most}", hint="Split it.")
        return work

    def admit(self, letters: int, asked: Asked) -> None:
        """Refuse what would wait too long before anything is done for it: refusing must cost nothing. It is asked once of a request.

        Args:
            letters: Of its texts, about.
            asked: Receives what is kept free for it, until it waits or has ended (``leave``).

        Raises:
            OverloadError: It would wait too long.
        """
        if asked.promised is None:
            asked.promised = self.worker.promise(letters // LETTERS_OF_A_TOKEN + 1)

    def refused(self, letters: int) -> OverloadError | None:
        """Return why ``admit`` would refuse a request now; None if it would not."""
        return self.worker.refused(letters // LETTERS_OF_A_TOKEN + 1)

    def leave(self, asked: Asked) -> None:
        """Keep nothing free any more for a request that has ended."""
        if asked.promised:
            self.worker.release(asked.promised)
            asked.promised = 0

    async def tokenised(self, work: Callable[[], T], asked: Asked) -> T:
        """Do what a tokenizer is needed for, beside the event loop.

        Args:
            work: Does it.
            asked: Receives how long it took.

        Raises:
            ClientGoneError: The client has left before it was begun.
        """

        def unless_gone() -> T:
            if asked.gone.is_set():
                raise ClientGoneError
            return work()

        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            return await loop.run_in_executor(self._tokenisers, unless_gone)
        finally:
            ended = loop.time()
            asked.tokenising += ended - started
            asked.notes.step("tokenise", started, ended)

    async def call(
        self, name: Hashable, compute: Callable[[], T], tokens: int, asked: Asked, *, seconds: float = 0.0
    ) -> T:
        """Compute one thing in turn with the others, in a batch of its own.

        Args:
            name: Of the work.
            compute: Does it.
            tokens: About as much work as so many tokens of the model.
            asked: Names the model, and receives what it took.
            seconds: That it takes at least.
        """
        lane = Lane(
            (name, object()), lambda _inputs: [compute()], typical=False, weight=self._weights.get(asked.model, 1.0)
        )
        least = self.worker.rate * seconds / lane.weight
        (found,) = await self._computed(lane, [None], [max(tokens, math.ceil(least))], asked)
        return cast(T, found)

    def check(self, model: ServedModel, records: Sequence[Record]) -> None:
        """Look at the size of a request before any work is done.

        Raises:
            TooLargeError: It holds too many texts.
            DataError: There are none, or one is far too long.
        """
        self.check_lengths(model, [len(r.text) + len(r.pair or "") for r in records])

    def check_lengths(self, model: ServedModel, lengths: Sequence[int]) -> None:
        """Do the same for texts of which only the lengths are known, in characters; errors as there."""
        if not lengths:
            raise NothingAskedError("`inputs` cannot be empty")
        most = self.settings.most_items
        if len(lengths) > most:
            raise TooManyError(f"batch size {len(lengths)} > maximum allowed batch size {most}")
        letters = LETTERS_A_TOKEN * max(model.max_length, self.settings.max_batch_tokens)
        if max(lengths) > letters:
            raise TooLargeError(f"a text has {max(lengths)} characters, more than {letters}", hint="Split it.")

    async def _computed(self, lane: Lane, inputs: Sequence[Any], tokens: Sequence[int], asked: Asked) -> list[Any]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def note() -> None:
            if not done.done():
                done.set_result(None)

        def finish(_request: Request) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(note)

        work = [math.ceil(lane.weight * count) for count in tokens]
        seconds = sum(work) / self.worker.rate
        most = self.settings.request_timeout
        if lane.typical and seconds > most:
            raise TooLargeError(f"this is about {seconds:.0f} seconds of work, more than {most:g}", hint="Split it.")
        request = Request(lane, inputs, work, deadline=self.worker.clock() + asked.left, finished=finish)
        self.worker.put(request, promised=asked.promised)
        asked.promised = asked.promised and 0
        leaving = asyncio.ensure_future(asked.gone.wait())
        try:
            both: set[asyncio.Future[Any]] = {done, leaving}
            await asyncio.wait(both, timeout=max(asked.left, 0.0), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            request.gone = True
            raise
        finally:
            leaving.cancel()
            asked.queued, asked.computing = asked.queued + request.queued, asked.computing + request.computing
            _tell(request, self.worker.clock(), asked.notes)
        if not done.done():
            request.gone = asked.gone.is_set()
            raise ClientGoneError if request.gone else TooLateError("the deadline was over before there was an answer")
        if request.error is not None:
            raise request.error
        return request.answers


def _hands(models: Models) -> tuple[int, Callable[[int], AbstractContextManager[None]]]:
    """Return how many batches may be computed at once, and what gives each its part of the threads."""
    settings = [(model.pipeline.settings, model.pipeline.device.type) for model in models.values()]
    threads = max(s.threads or torch.get_num_threads() for s, _ in settings)
    ours = all(
        device == "cpu" and s.backend == "torch" and not (s.compile or s.deterministic) for s, device in settings
    )

    def sharing(hands: int) -> AbstractContextManager[None]:
        return nullcontext() if hands == 1 else at_most(max(threads // hands, 1))

    return HANDS if ours and threads >= HANDS else 1, sharing


def _tell(request: Request, ended: float, notes: Notes) -> None:
    """Note how long a request waited, and then how long it was computed, the time between its batches included."""
    begun = request.arrived + request.queued if request.queued else ended
    notes.step("wait", request.arrived, begun)
    if request.queued:
        figures = {"items": len(request.inputs), "work": sum(request.tokens), "seconds": request.computing}
        notes.step("compute", begun, ended, **figures)


def _key(options: Mapping[str, Any]) -> Hashable:
    return repr(sorted(options.items(), key=lambda item: item[0]))
