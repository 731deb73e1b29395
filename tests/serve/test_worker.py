"""The thread that computes: poison, memory, hangs, deadlines, the end; and when it refuses."""

import threading
import time
from contextlib import nullcontext

import pytest

from litebert.errors import DataError
from litebert.serve import worker as module
from litebert.serve.waiting import Lane, OverloadError, Request, WaitingLine
from litebert.serve.worker import LEAST_BATCH, TooLateError, Worker, WorkerLostError
from litebert.tasks.parts import look_up


class Listener:
    def __init__(self):
        self.batches, self.restarts, self.drops = [], 0, []

    def batch(self, items, tokens, padded, seconds):
        self.batches.append((items, tokens))

    def restarted(self):
        self.restarts += 1

    def dropped(self, items, reason):
        self.drops.append((items, reason))


@pytest.fixture
def made():
    workers = []

    def make(*, start=True, budget=100, **options):
        found = Worker(WaitingLine(budget), Listener(), **{"rate": 5000.0, "most_wait": 1000.0, **options})
        workers.append(found)
        if start:
            found.start()
        return found

    yield make
    for one in workers:
        one.close()


def asked(worker, compute, inputs, tokens=None, lane=None, **more):
    """Put a request; returns it with an event that is set when it has ended."""
    done = threading.Event()
    lane = lane or Lane("lane", compute)
    request = Request(lane, inputs, tokens or [10] * len(inputs), finished=lambda _: done.set(), **more)
    worker.put(request)
    return request, done


def upper(inputs):
    if "bad" in inputs:
        raise DataError("bad is not good")
    return [text.upper() for text in inputs]


def test_answers_come_in_order_from_several_batches(made):
    request, done = asked(made(budget=30), upper, list("abcdefgh"))
    assert done.wait(60) and request.answers == list("ABCDEFGH")


def test_one_bad_item_harms_nobody_else(made):
    worker = made(start=False)
    first, one = asked(worker, upper, ["a", "b"])
    second, two = asked(worker, upper, ["bad"])
    third, three = asked(worker, upper, ["c"])
    worker.start()
    assert one.wait(60) and two.wait(60) and three.wait(60)
    assert first.answers == ["A", "B"] and third.answers == ["C"]
    assert isinstance(second.error, DataError) and first.error is None
    assert worker.alive() and worker.listener.restarts == 0


def test_too_large_a_batch_is_halved_and_so_are_those_after_it(made):
    sizes = []

    def small_memory(inputs):
        sizes.append(len(inputs))
        if len(inputs) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return list(inputs)

    worker = made(budget=80)
    request, done = asked(worker, small_memory, list(range(8)))
    assert done.wait(60) and request.answers == list(range(8))
    sizes.clear()
    request, done = asked(worker, small_memory, list(range(8)))
    assert done.wait(60) and max(sizes) < 8


class Clock:
    """Time that passes when a test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def test_a_hanging_batch_fails_and_another_thread_takes_over(made):
    release, begun, left, clock = threading.Event(), threading.Event(), threading.Event(), Clock()
    worker = made(hang=5.0, clock=clock)

    def hang(inputs):
        begun.set()
        release.wait(60)
        left.set()
        return inputs

    request, done = asked(worker, hang, ["x"])
    assert begun.wait(60) and worker.alive()
    clock.now += 4.9
    assert worker.alive(), "not yet"
    clock.now += 0.2
    assert not worker.alive()
    worker.supervise()
    assert done.wait(60) and isinstance(request.error, WorkerLostError)
    assert worker.alive() and worker.listener.restarts == 1
    again, answered = asked(worker, upper, ["a"])
    assert answered.wait(60) and again.answers == ["A"]
    release.set()  # what the old thread comes back with is nobody's
    assert left.wait(60)
    last, answered = asked(worker, upper, ["b"])
    assert answered.wait(60) and last.answers == ["B"] and request.answers == [None]


def test_a_large_batch_may_take_longer(made):
    """Twenty times what its tokens were expected to take, if that is more than what counts as hanging."""
    clock, begun, release = Clock(), threading.Event(), threading.Event()
    worker = made(hang=1.0, rate=100.0, clock=clock, budget=1000)

    def slow(inputs):
        begun.set()
        release.wait(60)
        return inputs

    _, done = asked(worker, slow, ["x"], [500])
    assert begun.wait(60)
    clock.now += 99.0
    assert worker.alive()
    clock.now += 2.0
    assert not worker.alive()
    release.set()
    assert done.wait(60)


def test_the_end_can_be_at_once(made):
    release, begun = threading.Event(), threading.Event()
    worker = made()

    def hang(inputs):
        begun.set()
        release.wait(60)
        return inputs

    first, one = asked(worker, hang, ["x"])
    assert begun.wait(60)
    second, two = asked(worker, upper, ["a"])
    worker.abandon()
    assert one.wait(60) and two.wait(60), "nobody is left waiting"
    assert isinstance(first.error, WorkerLostError) and isinstance(second.error, WorkerLostError)
    with pytest.raises(WorkerLostError, match="shutting down"):
        asked(worker, upper, ["b"])
    release.set()
    assert worker.join(60) and worker.line.items == 0


def test_a_thread_that_dies_is_replaced_until_it_dies_too_often(made, monkeypatch):
    worker = made()
    before = worker._compute

    def dying(batch, now):
        if batch.inputs == ["die"]:
            raise SystemError("gone")
        before(batch, now)

    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    worker._compute = dying
    for round_ in range(module.RESTARTS + 1):
        assert not worker.broken
        request, done = asked(worker, upper, ["die"])
        worker._hands[0].thread.join(60)
        assert not worker.alive()
        worker.supervise()
        assert done.wait(60) and isinstance(request.error, WorkerLostError), round_
    assert worker.broken and not worker.alive()
    with pytest.raises(WorkerLostError):
        asked(worker, upper, ["a"])


def test_deadlines_and_clients_that_left(made):
    worker = made(start=False)
    late, one = asked(worker, upper, ["a", "b"], deadline=worker.clock() - 1)
    gone, two = asked(worker, upper, ["c"])
    gone.gone = True
    worker.start()
    assert one.wait(60) and two.wait(60)
    assert isinstance(late.error, TooLateError) and late.answers == [None, None]
    assert sorted(worker.listener.drops) == [(1, "gone"), (2, "deadline")] and not worker.listener.batches


def test_it_refuses_what_would_wait_too_long(made):
    worker = made(start=False, budget=10, most_wait=0.5, rate=100.0)
    asked(worker, upper, ["a"] * 4)
    asked(worker, upper, ["a"] * 4)  # forty tokens ahead: 0.4 seconds
    with pytest.raises(OverloadError) as caught:
        asked(worker, upper, ["a"] * 4)
    assert caught.value.retry_after == pytest.approx(0.3)
    asked(worker, upper, ["a"])  # a small one has to wait for a turn of the others only
    assert worker.line.items == 9


def test_what_would_only_just_begin_in_time_is_refused(made):
    """Waits are estimates; one that ends at the bound would be broken for half of the requests."""
    worker = made(start=False, most_wait=0.5, rate=100.0)
    asked(worker, upper, ["a"], [40])
    assert worker.promise(2) == 2, "0.4 seconds"
    with pytest.raises(OverloadError) as caught:
        worker.promise(1)
    assert worker.expected_wait(1) < 0.5 and caught.value.retry_after == 0.0


def test_a_promise_is_kept(made):
    """What was let in is not refused when it comes, though others were let in meanwhile, and they know of it."""
    worker = made(start=False, most_wait=0.5, rate=100.0)
    promised = [worker.promise(30), worker.promise(30)]
    assert worker.expected_wait(1) == pytest.approx(0.6)
    with pytest.raises(OverloadError):
        worker.promise(1)
    with pytest.raises(OverloadError):
        asked(worker, upper, ["a"])
    request = Request(Lane("upper", upper), ["a"], [30])
    worker.put(request, promised=promised[0])
    assert worker.expected_wait(1) == pytest.approx(0.6), "what waits is no longer coming"
    worker.release(promised[1])
    assert worker.expected_wait(1) == pytest.approx(0.3) and worker.coming == 0


def test_a_promise_is_redeemed_once_also_where_the_line_is_full(made):
    worker = made(start=False)
    worker.line.most_items = 1
    asked(worker, upper, ["a"])
    promised = worker.promise(30)
    with pytest.raises(OverloadError):
        worker.put(Request(Lane("upper", upper), ["a"], [30]), promised=promised)
    worker.release(promised)
    assert worker.coming == 0


def test_its_rate_is_what_it_measured(made):
    clock = Clock()
    worker = made(budget=10_000, rate=100_000.0, clock=clock)
    assert worker.line.budget == 10_000

    def slow(inputs):
        clock.now += 0.05
        return list(inputs)

    for _ in range(200):
        _, done = asked(worker, slow, ["a"], [500])
        assert done.wait(60)
    assert worker.rate == pytest.approx(10_000, rel=0.01)
    assert worker.line.budget == pytest.approx(2000, rel=0.01), "as many tokens as take 200 milliseconds"
    _, done = asked(worker, slow, ["a"], [5], lane=Lane("search", slow, typical=False))
    assert done.wait(60) and worker.rate == pytest.approx(10_000, rel=0.01), "a search tells nothing of the model"


def test_closing_finishes_what_waits_and_takes_no_more(made):
    worker = made(start=False)
    request, done = asked(worker, upper, ["a"])
    worker.close()
    with pytest.raises(WorkerLostError, match="shutting down"):
        asked(worker, upper, ["b"])
    worker.start()
    assert done.wait(60) and request.answers == ["A"]
    worker._hands[0].thread.join(60)
    assert not worker._hands[0].thread.is_alive()
    worker.supervise()
    assert worker.listener.restarts == 0


# --- Two threads ----------------------------------------------------------------------------------------------------------


class Held:
    """A computation that goes on when it is told to, and knows how many are at it."""

    def __init__(self):
        self.begun, self.release = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, inputs):
        self.begun.release()
        assert self.release.acquire(timeout=60)
        return [text.upper() for text in inputs]

    def begins(self, seconds=60.0):
        return self.begun.acquire(timeout=seconds)


def test_a_second_thread_helps_when_a_full_batch_waits_and_not_before(made):
    held, shared = Held(), []

    def sharing(hands):
        shared.append(hands)
        return nullcontext()

    worker = made(budget=100, hands=2, sharing=sharing)
    first, one = asked(worker, held, ["a"])
    assert held.begins()
    second, two = asked(worker, held, ["b"] * 9)
    assert not held.begins(0.3), "ninety tokens wait for the thread that has the whole processor"
    third, three = asked(worker, held, ["c"])
    assert held.begins(), "a hundred are taken by the other"
    assert shared == [1, 2] and worker.expected_wait(1) == pytest.approx(110 / worker.rate)
    for _ in range(2):
        held.release.release()
    assert one.wait(60) and two.wait(60) and three.wait(60)
    assert (first.answers, second.answers, third.answers) == (["A"], ["B"] * 9, ["C"])
    assert [items for items, _ in worker.listener.batches] in ([1, 10], [10, 1]) and worker.idle()


def test_one_request_is_computed_by_both(made):
    held = Held()
    worker = made(start=False, budget=40, hands=2)
    request, done = asked(worker, held, list("abcdefgh"))
    worker.start()
    assert held.begins() and held.begins()
    held.release.release(2)
    assert done.wait(60) and request.answers == list("ABCDEFGH")


def test_other_work_than_texts_is_computed_alone(made):
    held = Held()
    worker = made(start=False, budget=20, hands=2)
    requests = [asked(worker, held, ["a", "b"]) for _ in range(2)]
    search = asked(worker, held, ["search"], lane=Lane("search", held, typical=False))
    after = [asked(worker, held, ["c", "d"]) for _ in range(2)]
    worker.start()
    assert held.begins() and held.begins() and not held.begins(0.2), "both texts, and not the search beside them"
    held.release.release()
    assert not held.begins(0.2), "nor beside one of them"
    held.release.release()
    assert held.begins() and not held.begins(0.2), "and nothing beside the search"
    held.release.release()
    assert search[1].wait(60) and held.begins() and held.begins(), "then both again"
    held.release.release(2)
    assert all(done.wait(60) for _, done in [*requests, *after])


def test_it_is_alone_also_where_what_came_before_it_is_given_up(made):
    held, clock = Held(), Clock()
    worker = made(budget=20, hands=2, clock=clock)
    first = asked(worker, held, ["a", "b"])
    assert held.begins()
    late = asked(worker, held, ["c"], deadline=clock.now + 5)
    clock.now += 6
    search = asked(worker, held, ["search"], [20], lane=Lane("search", held, typical=False))
    assert not held.begins(0.3), "a full batch waits, but the first of it will not be computed, and the next is alone"
    held.release.release()
    assert first[1].wait(60) and held.begins()
    held.release.release()
    assert search[1].wait(60) and isinstance(late[0].error, TooLateError)


def test_batches_that_are_computed_at_once_share_their_time(made):
    clock, held = Clock(), Held()
    worker = made(start=False, budget=10_000, rate=10_000.0, hands=2, clock=clock)
    assert worker.line.budget == 1000, "together they take 200 milliseconds"
    done = [asked(worker, held, ["a"], [1000])[1] for _ in range(4)]
    worker.start()
    assert held.begins() and held.begins()
    for number in range(4):
        clock.now += 0.1
        held.release.release()
        assert until(lambda: sum(event.is_set() for event in done) == number + 1)  # noqa: B023 - it is called at once
    assert worker.rate == pytest.approx(10_000)


def test_one_that_hangs_does_not_take_the_other_with_it(made):
    clock, held = Clock(), Held()
    worker = made(start=False, budget=20, hands=2, hang=5.0, clock=clock)
    lost, one = asked(worker, held, ["a", "b"])
    worker.start()
    assert held.begins()
    clock.now += 4
    kept, two = asked(worker, held, ["c", "d"])
    assert held.begins()
    clock.now += 2
    assert not worker.alive()
    worker.supervise()
    assert one.wait(60) and isinstance(lost.error, WorkerLostError)
    assert worker.alive() and worker.listener.restarts == 1 and not two.is_set()
    held.release.release(2)
    assert two.wait(60) and kept.answers == ["C", "D"]
    after, three = asked(worker, upper, ["e"])
    assert three.wait(60) and after.answers == ["E"]


def test_closing_waits_for_both(made):
    held = Held()
    worker = made(budget=100, hands=2)
    request, done = asked(worker, held, ["a"])
    assert held.begins()
    worker.close()
    assert not worker.join(0.2), "one computes"
    assert until(lambda: sum(hand.running() for hand in worker._hands) == 1), "and the other has ended"
    assert worker.alive()
    worker.supervise()
    assert worker.listener.restarts == 0
    held.release.release()
    assert worker.join(60) and done.is_set() and request.answers == ["A"]


def until(found, seconds=60.0):
    ends = time.monotonic() + seconds
    while not found():
        if time.monotonic() > ends:
            return False
        time.sleep(0.005)
    return True


# --- What is longer than a batch -----------------------------------------------------------------------------------------


class InTenParts:
    """Computes in ten parts; each begins when it is let."""

    def __init__(self):
        self.parts, self.begun, self.release = 0, threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, inputs):
        for part in range(10):
            if part:
                look_up()
            self.parts += 1
            self.begun.release()
            assert self.release.acquire(timeout=60)
        return [text.upper() for text in inputs]


def test_others_are_computed_between_the_parts_of_a_long_one(made):
    worker, long = made(budget=40), InTenParts()
    first, one = asked(worker, long, ["a"], [1000], lane=Lane("long", long))
    assert long.begun.acquire(timeout=60)
    assert worker.expected_wait(1) == pytest.approx(2 * 40 / worker.rate), (
        "not for its thousand, but every second turn is its"
    )
    short, two = asked(worker, upper, list("bcdefg"))  # two batches
    another, three = asked(worker, upper, ["z"], [500])
    long.release.release()
    assert long.begun.acquire(timeout=60) and 0 < short.left < 6
    long.release.release()
    assert two.wait(60) and short.answers == list("BCDEFG") and not one.is_set()
    assert not three.is_set() and not another.queued, "another long one waits for the first"
    long.release.release(8)
    assert one.wait(60) and three.wait(60) and first.answers == ["A"] and another.answers == ["Z"]
    assert [tokens for _, tokens in worker.listener.batches][-2:] == [1000, 500] and worker.idle()
    assert first.computing > 0 and short.queued > 0


def test_the_rest_of_a_long_one_is_left_when_nobody_waits_for_it(made):
    worker, long = made(budget=40), InTenParts()
    request, done = asked(worker, long, ["a"], [1000], lane=Lane("long", long))
    assert long.begun.acquire(timeout=60)
    request.gone = True
    long.release.release()
    assert done.wait(60) and isinstance(request.error, TooLateError) and long.parts == 1
    assert worker.listener.drops == [(1, "gone")]
    short, two = asked(worker, upper, ["b"])
    assert two.wait(60) and short.answers == ["B"] and worker.listener.restarts == 0


def test_a_failure_between_two_parts_harms_neither_the_long_one_nor_the_others(made):
    worker, long = made(budget=40), InTenParts()
    first, one = asked(worker, long, ["a"], [1000], lane=Lane("long", long))
    assert long.begun.acquire(timeout=60)
    bad, two = asked(worker, upper, ["bad"])
    good, three = asked(worker, upper, ["b"])
    long.release.release(10)
    assert one.wait(60) and two.wait(60) and three.wait(60)
    assert first.answers == ["A"] and isinstance(bad.error, DataError) and good.answers == ["B"]


def test_what_is_computed_between_two_parts_is_lost_with_its_thread(made):
    clock = Clock()
    worker, long, held = made(budget=40, hang=5.0, clock=clock, rate=1e6), InTenParts(), Held()
    first, one = asked(worker, long, ["a"], [1000], lane=Lane("long", long))
    assert long.begun.acquire(timeout=60)
    short, two = asked(worker, held, ["b"], lane=Lane("held", held))
    clock.now += 4
    long.release.release()
    assert held.begins()
    clock.now += 4
    worker.supervise()
    assert worker.listener.restarts == 0, "it gave a sign of life four seconds ago"
    clock.now += 2
    worker.supervise()
    assert one.wait(60) and two.wait(60) and worker.listener.restarts == 1
    assert isinstance(first.error, WorkerLostError) and isinstance(short.error, WorkerLostError)
    held.release.release()
    after, three = asked(worker, upper, ["c"])
    assert three.wait(60) and after.answers == ["C"] and long.parts == 1


def test_what_waits_is_told_in_seconds_where_it_is_a_full_batch(made):
    worker = made(start=False, rate=1000.0, budget=100)
    asked(worker, upper, ["a"], [99])
    assert worker.backlog() == 0.0
    asked(worker, upper, ["b"], [101])
    assert worker.backlog() == pytest.approx(0.2)


def test_a_batch_is_larger_where_everybody_waits_longer(made):
    worker = made(start=False, rate=1000.0, budget=10_000, batch_seconds=0.2, hands=2)
    assert worker.line.budget == LEAST_BATCH
    worker = made(start=False, rate=10_000.0, budget=10_000, batch_seconds=0.2, hands=2)
    for waiting, budget in ((0, 1000), (4000, 1000), (12_000, 1500), (200_000, 2500)):
        if waiting > worker.line.tokens:
            asked(worker, upper, ["a"], [waiting - worker.line.tokens])
        worker._set_budget()
        assert worker.line.budget == pytest.approx(budget), (
            "a quarter of what waits, half a second at most, for two hands"
        )


def test_a_full_batch_is_not_taken_for_a_long_text_when_the_budget_shrinks(made):
    """The wait for what is behind a long text is twice as long, since only every second batch is theirs."""
    worker, held = made(rate=1500.0, budget=300), Held()
    asked(worker, held, ["a", "b"], [140, 150])
    assert held.begins()
    worker.line.budget = 256
    asked(worker, upper, ["c"], [100])
    assert worker.expected_wait(1) == pytest.approx((256 + 100) / worker.rate)
    held.release.release()
