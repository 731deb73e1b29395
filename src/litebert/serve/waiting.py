"""What waits to be computed: fair between requests, bounded, cut into batches by tokens.

A request is a list of items; its items may be computed in different batches, beside those of others. Requests take turns, so that one
of a thousand texts does not hold up one of a single text. A batch begins with an item of the request whose turn it is; what the others
may have in their turns follows, where batches are padded items of similar length first, until the budget of tokens is used. What is
longer than the budget is a batch of its own. Nothing here waits, locks or computes: the worker does (``worker.py``).
"""

from __future__ import annotations

import math
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

TURNS = 8
"""A batch's budget holds so many turns: a request that is no larger than one is computed whole, and does not wait a second time."""


@dataclass(frozen=True)
class Lane:
    """Work that can share a batch: the same model, task and options.

    Attributes:
        key: Tells lanes apart.
        compute: Answers inputs, in order; an exception means that none of them is answered.
        padded: Whether every input of a batch costs as much as the longest.
        typical: Whether the time it takes tells how many tokens a second are computed; a search takes its time otherwise.
        weight: How many tokens of the fastest model one of this one is as much work as; ``Request.tokens`` counts such.
    """

    key: Hashable
    compute: Callable[[Sequence[Any]], Sequence[Any]]
    padded: bool = False
    typical: bool = True
    weight: float = 1.0


class OverloadError(Exception):
    """There is more work than can be done in time.

    Attributes:
        retry_after: Seconds after which it is worth asking again.
    """

    def __init__(self, retry_after: float) -> None:
        super().__init__("overloaded")
        self.retry_after = retry_after


@dataclass(eq=False)
class Request:
    """Inputs of one client that are answered together.

    Attributes:
        lane: What computes them.
        inputs: Any number.
        tokens: Length of each.
        deadline: Time after which nobody waits any more.
        finished: Called once, when all are answered, or one has failed, or the deadline is over.
        answers: Of each input, as they come.
        error: Why there are none.
        gone: Whether the client has left.
        waiting: Its items that are in no batch yet, by length.
        waiting_tokens: Their tokens.
        next_tokens: Length of the item whose turn is next.
        left: Items without an answer.
        ended: Whether it has been answered or has failed.
        queued: Seconds between its arrival and its first batch.
        computing: Seconds of the batches that it was part of.
    """

    lane: Lane
    inputs: Sequence[Any]
    tokens: Sequence[int]
    deadline: float = math.inf
    finished: Callable[[Request], None] = lambda _request: None
    arrived: float = 0.0
    answers: list[Any] = field(default_factory=list)
    error: BaseException | None = None
    gone: bool = False
    queued: float = 0.0
    computing: float = 0.0
    waiting: dict[int, deque[int]] = field(default_factory=dict)
    waiting_tokens: int = 0
    next_tokens: int = 0
    left: int = 0
    ended: bool = False

    def __post_init__(self) -> None:
        self.waiting_tokens = sum(self.tokens)
        self.answers = [None] * len(self.inputs)
        self.left = len(self.inputs)
        for index, tokens in enumerate(self.tokens):
            self.waiting.setdefault(bucket(tokens), deque()).append(index)
        self.next_tokens = self.tokens[0] if self.tokens else 0

    @property
    def waits(self) -> bool:
        """Whether any of its items is in no batch yet."""
        return bool(self.waiting)

    @property
    def waiting_items(self) -> int:
        """Number of its items that are in no batch yet."""
        return sum(map(len, self.waiting.values()))

    def given_up(self, now: float) -> bool:
        """Return whether nobody waits for it any more."""
        return self.gone or self.ended or now >= self.deadline

    def turn_of(self, tokens: int) -> int:
        """Return how many tokens are computed when its turn has come, if it is given so many: an item at least."""
        return min(self.waiting_tokens, max(tokens, self.next_tokens))

    def first(self) -> int:
        """Return the waiting item that came first."""
        return min(places[0] for places in self.waiting.values())

    def pop(self, index: int) -> None:
        """Take the foremost item of its bucket out of the waiting ones."""
        size = bucket(self.tokens[index])
        found = self.waiting[size].popleft()
        assert found == index
        self.waiting_tokens -= self.tokens[index]
        if not self.waiting[size]:
            del self.waiting[size]
        self.next_tokens = self.tokens[self.first()] if self.waiting else 0

    def answer(self, index: int, answer: Any) -> None:
        """Note an answer; the last one ends the request."""
        if self.ended:
            return
        self.answers[index] = answer
        self.left -= 1
        if not self.left:
            self._end()

    def fail(self, error: BaseException) -> None:
        """End without answers."""
        if not self.ended:
            self.error = error
            self._end()

    def _end(self) -> None:
        self.ended = True
        self.finished(self)


@dataclass(frozen=True)
class Batch:
    """Items of one lane that are computed together.

    Attributes:
        lane: Theirs.
        items: Requests and which of their inputs.
    """

    lane: Lane
    items: tuple[tuple[Request, int], ...]

    @property
    def inputs(self) -> list[Any]:
        """What is computed."""
        return [request.inputs[index] for request, index in self.items]

    @property
    def requests(self) -> list[Request]:
        """Whose items they are, each once."""
        return list(dict.fromkeys(request for request, _ in self.items))

    @property
    def tokens(self) -> int:
        """Tokens of all items, without padding."""
        return sum(request.tokens[index] for request, index in self.items)


def bucket(tokens: int) -> int:
    """Return a number that texts of similar length share: four for each doubling."""
    return round(4 * math.log2(max(tokens, 1)))


class WaitingLine:
    """Requests that take turns.

    Args:
        budget: Tokens of a batch.
        most_items: Items that may wait at once; one request may exceed it when nothing else waits.
        most_items_in_batch: Items of a batch.
        turns: That a batch's budget holds.
    """

    def __init__(
        self, budget: int, *, most_items: int = 32_768, most_items_in_batch: int = 1024, turns: int = TURNS
    ) -> None:
        self.budget, self.turns = budget, turns
        self.most_items, self.most_items_in_batch = most_items, most_items_in_batch
        self.items, self.tokens = 0, 0
        self._a_turn_each: int | None = 0
        self._turns: OrderedDict[int, Request] = OrderedDict()

    def __len__(self) -> int:
        return len(self._turns)

    def next_lane(self, now: float) -> Lane | None:
        """Return the lane of the request whose turn it is; arguments as in ``take``."""
        return next((r.lane for r in self._turns.values() if not r.given_up(now)), None)

    @property
    def _turn(self) -> int:
        """Tokens after which a turn is over."""
        return self.budget // self.turns

    def requests(self) -> Iterator[Request]:
        """Yield those that wait, in the order of their turns."""
        yield from list(self._turns.values())

    def ahead_of(self, tokens: int) -> int:
        """Return the tokens that will be computed before or beside those of a new request.

        Of each other request a turn: as many as its own, at most, but a batch at least. So all requests that are no larger than a batch
        are told the same: while there is too much to do, those that were told less would be let in for ever, and the others never.
        """
        if tokens > self.budget:
            return sum(r.turn_of(tokens) for r in self._turns.values())
        if self._a_turn_each is None:
            self._a_turn_each = sum(r.turn_of(self.budget) for r in self._turns.values())
        return self._a_turn_each

    def put(self, request: Request) -> None:
        """Let a request wait.

        Raises:
            OverloadError: Too many items wait; none of this one does then.
        """
        if self.items and self.items + len(request.inputs) > self.most_items:
            raise OverloadError(1.0)
        self._turns[id(request)] = request
        self.items += len(request.inputs)
        self.tokens += request.waiting_tokens
        if self._a_turn_each is not None:
            self._a_turn_each += request.turn_of(self.budget)

    def take(self, now: float, *, short: bool = False) -> tuple[Batch | None, list[Request]]:
        """Return the next batch, and the requests that are given up: nobody waits for them any more.

        Args:
            now: On the clock of the deadlines.
            short: Pass over what is longer than the budget, and what is no batch of texts.
        """
        self._a_turn_each = None
        given_up = [r for r in self._turns.values() if r.given_up(now)]
        for request in given_up:
            self._forget(request)
        fitting = (r for r in self._turns.values() if not short or (r.lane.typical and r.next_tokens <= self.budget))
        head = next(fitting, None)
        if head is None:
            return None, given_up
        chosen = self._choose(head)
        taken: dict[Request, int] = defaultdict(int)
        for request, index in chosen:
            taken[request] += request.tokens[index]
        for request, tokens in taken.items():
            if not request.waits:
                del self._turns[id(request)]
            elif tokens >= self._turn:
                self._turns.move_to_end(id(request))  # whom a full batch cut short keeps his place
        self.items -= len(chosen)
        self.tokens -= sum(taken.values())
        return Batch(head.lane, tuple(chosen)), given_up

    def _choose(self, head: Request) -> list[tuple[Request, int]]:
        size, lane = bucket(head.next_tokens), head.lane
        batch = _Filling(self.budget, self.most_items_in_batch, padded=lane.padded)
        batch.take(head, head.first())
        sharing = [request for request in self._turns.values() if request.lane.key == lane.key]
        if lane.padded:
            batch.take_turns(sharing, self._turn, lambda s: s == size)
            batch.take_turns(sharing, self._turn, lambda s: s != size)
        else:
            batch.take_turns(sharing, self._turn, lambda _s: True)
        return batch.items

    def _forget(self, request: Request) -> None:
        if self._turns.pop(id(request), None) is not None:
            self.items -= request.waiting_items
            self.tokens -= request.waiting_tokens
            request.waiting.clear()


class _Filling:
    """A batch that is being filled.

    With padding, neighbours of similar length are worth looking for. Without, none is better than another, and who came first is next:
    once a batch is three quarters full, nobody is passed over because of his length.

    Attributes:
        items: So far.
        closed: Nothing more is taken.
    """

    def __init__(self, budget: int, most: int, *, padded: bool) -> None:
        self.items: list[tuple[Request, int]] = []
        self.closed = False
        self._budget, self._most, self._padded = budget, most, padded
        self._sum, self._longest = 0, 0

    def take(self, request: Request, index: int) -> int:
        """Take an item; returns its tokens."""
        tokens = request.tokens[index]
        request.pop(index)
        self.items.append((request, index))
        self._sum, self._longest = self._sum + tokens, max(self._longest, tokens)
        self.closed = self._sum >= self._budget or len(self.items) >= self._most
        return tokens

    def take_turns(self, requests: Sequence[Request], turn: int, sizes: Callable[[int], bool]) -> None:
        """Take what fits, request after request, round after round.

        Args:
            requests: In turn.
            turn: Tokens after which a turn is over; an item is always whole.
            sizes: Whether items of a bucket are wanted.
        """
        while sum([self._take_turn(request, turn, sizes) for request in requests]):
            pass

    def _take_turn(self, request: Request, turn: int, sizes: Callable[[int], bool]) -> bool:
        taken = 0
        while request.waits and not self.closed and taken < max(turn, 1):
            index = self._foremost(request, sizes)
            if index is None:
                self.closed = not self._padded and 4 * self._sum >= 3 * self._budget
                break
            taken += self.take(request, index)
        return taken > 0

    def _foremost(self, request: Request, sizes: Callable[[int], bool]) -> int | None:
        """Return the first waiting item of a request in buckets of such sizes that still fits."""
        found = (
            places[0] for size, places in request.waiting.items() if sizes(size) and self._fits(request.tokens[places[0]])
        )  # fmt: skip
        return min(found, default=None)

    def _fits(self, tokens: int) -> bool:
        if self._padded:
            return (len(self.items) + 1) * max(self._longest, tokens) <= self._budget
        return self._sum + tokens <= self._budget
