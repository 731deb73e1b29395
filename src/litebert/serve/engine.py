"""What routes ask: answers for records, computed in turn with everybody else's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from litebert.errors import DataError, UsageError
from litebert.serve.amounts import check_amount
from litebert.serve.models import Models, ServedModel
from litebert.serve.settings import ServeSettings
from litebert.serve.waiting import Lane, Request, WaitingLine
from litebert.serve.worker import Listener, TooLateError, Worker
from litebert.tasks.base import Answer
from litebert.tasks.reading.records import Record

logger = logging.getLogger("litebert.serve")

LETTERS_A_TOKEN = 250
"""Letters that a text may have for each token of a batch: more cannot be meant seriously, and would take long to tokenise."""


LETTERS_OF_A_TOKEN = 5
"""About as many; for a first guess."""

T = TypeVar("T")


class TooLargeError(UsageError):
    """A request holds more than may be asked at once."""

    code = "too-large"


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


class Engine:
    """Models, and the worker that computes for all of them.

    Args:
        models: What is served.
        settings: Limits.
        listener: Told of batches.
    """

    def __init__(self, models: Models, settings: ServeSettings, listener: Listener) -> None:
        self.models, self.settings = models, settings
        self.line = WaitingLine(settings.max_batch_tokens, most_items=settings.max_queue_items)
        self.worker = Worker(
            self.line, listener, rate=min(model.measured_rate() for model in models.values()),
            most_wait=settings.max_queue_ms / 1000, hang=settings.hang_timeout, batch_seconds=settings.max_batch_ms / 1000,
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
        self.check(model, records)
        asked.model, asked.task, asked.items = model.name, task, asked.items + len(records)
        self.worker.admit(sum(len(r.text) for r in records) // LETTERS_OF_A_TOKEN + 1)  # refusing must cost nothing
        loop = asyncio.get_running_loop()
        started = loop.time()
        most = self.settings.max_request_tokens

        def looked_at() -> list[int]:
            check_amount(model, task, records, options, most)
            return model.tokens_of(records)

        tokens = await loop.run_in_executor(self._tokenisers, looked_at)
        asked.tokenising += loop.time() - started
        asked.tokens += sum(tokens)
        asked.characters += sum(len(r.text) + len(r.pair or "") for r in records)
        if sum(tokens) > most:
            raise TooLargeError(f"the request has {sum(tokens)} tokens, more than {most}", hint="Split it.")
        answers: dict[int, Answer] = {}
        for paired in (False, True):  # a batch is of texts or of pairs
            places = [i for i, record in enumerate(records) if (record.pair is not None) == paired]
            if places:
                lane = Lane(
                    (model.name, task, _key(options), paired), lambda inputs: model.answer(task, inputs, options),
                    padded=model.pipeline.settings.backend != "torch",
                )  # fmt: skip
                found = await self._computed(lane, [records[i] for i in places], [tokens[i] for i in places], asked)
                answers.update(zip(places, found, strict=True))
        return [answers[i] for i in range(len(records))]

    async def call(self, name: Hashable, compute: Callable[[], T], tokens: int, asked: Asked) -> T:
        """Compute one thing in turn with the others, in a batch of its own.

        Args:
            name: Of the work.
            compute: Does it.
            tokens: About as much work as so many tokens.
            asked: Receives what it took.
        """
        lane = Lane((name, object()), lambda _inputs: [compute()], typical=False)
        (found,) = await self._computed(lane, [None], [tokens], asked)
        return cast(T, found)

    def check(self, model: ServedModel, records: Sequence[Record]) -> None:
        """Look at the size of a request before any work is done.

        Raises:
            TooLargeError: It holds too many texts.
            DataError: There are none, or one is far too long.
        """
        if not records:
            raise NothingAskedError("`inputs` cannot be empty")
        most = self.settings.most_items
        if len(records) > most:
            raise TooLargeError(f"batch size {len(records)} > maximum allowed batch size {most}")
        letters = LETTERS_A_TOKEN * max(model.max_length, self.settings.max_batch_tokens)
        longest = max(len(r.text) + len(r.pair or "") for r in records)
        if longest > letters:
            raise TooLargeError(f"a text has {longest} characters, more than {letters}", hint="Split it.")

    async def _computed(self, lane: Lane, inputs: Sequence[Any], tokens: Sequence[int], asked: Asked) -> list[Any]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def note() -> None:
            if not done.done():
                done.set_result(None)

        def finish(_request: Request) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(note)

        request = Request(lane, inputs, tokens, deadline=self.worker.clock() + asked.timeout, finished=finish)
        self.worker.put(request)
        leaving = asyncio.ensure_future(asked.gone.wait())
        try:
            both: set[asyncio.Future[Any]] = {done, leaving}
            await asyncio.wait(both, timeout=asked.timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            request.gone = not done.done()
        asked.queued, asked.computing = asked.queued + request.queued, asked.computing + request.computing
        if not done.done():
            raise (
                ClientGoneError
                if asked.gone.is_set()
                else TooLateError("the deadline was over before there was an answer")
            )
        if request.error is not None:
            raise request.error
        return [answer for answer in request.answers if answer is not None]


def _key(options: Mapping[str, Any]) -> Hashable:
    return repr(sorted(options.items(), key=lambda item: item[0]))
