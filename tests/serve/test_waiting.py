"""What waits: nothing lost, nothing twice, budgets kept, turns taken."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litebert.serve.waiting import Lane, OverloadError, Request, WaitingLine, bucket


def lane(name="a", *, padded=False):
    return Lane(name, list, padded=padded)


def request(tokens, of=None, **more):
    return Request(of or lane(), [object() for _ in tokens], tokens, **more)


def drained(line, now=0.0):
    batches = []
    while True:
        batch, _ = line.take(now)
        if batch is None:
            return batches
        batches.append(batch)


SIZES = st.lists(st.lists(st.integers(1, 700), min_size=1, max_size=12), min_size=1, max_size=10)


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(1, 900), st.booleans(), st.data())
def test_every_item_is_in_exactly_one_batch_and_budgets_hold(sizes, budget, padded, data):
    lanes = [lane("a", padded=padded), lane("b", padded=padded)]
    line = WaitingLine(budget)
    requests = [request(tokens, data.draw(st.sampled_from(lanes))) for tokens in sizes]
    for one in requests:
        line.put(one)
    assert line.items == sum(map(len, sizes)) and line.tokens == sum(map(sum, sizes))
    batches = drained(line)
    seen = [(id(r), i) for batch in batches for r, i in batch.items]
    assert sorted(seen) == sorted((id(r), i) for r in requests for i in range(len(r.inputs)))
    for batch in batches:
        lengths = [r.tokens[i] for r, i in batch.items]
        cost = max(lengths) * len(lengths) if padded else sum(lengths)
        assert cost <= budget or len(lengths) == 1, "what is longer than the budget is alone"
        assert {r.lane.key for r, _ in batch.items} == {batch.lane.key}
    assert (line.items, line.tokens, len(line)) == (0, 0, 0)


def test_a_request_of_one_does_not_wait_for_one_of_a_thousand():
    line = WaitingLine(100)
    large, small = request([10] * 1000), request([10])
    line.put(large)
    first, _ = line.take(0.0)
    line.put(small)
    second, _ = line.take(0.0)
    assert small not in {r for r, _ in first.items} and small in {r for r, _ in second.items}


def test_requests_of_different_lanes_take_turns():
    line = WaitingLine(20)
    one, other = request([10] * 6, lane("a")), request([10] * 6, lane("b"))
    line.put(one)
    line.put(other)
    assert [batch.lane.key for batch in drained(line)] == ["a", "b", "a", "b", "a", "b"]


def test_texts_of_similar_length_share_a_batch_and_room_is_used():
    line = WaitingLine(150)
    line.put(request([50, 9, 52], lane(padded=True)))
    line.put(request([10, 42], lane(padded=True)))
    first, second = drained(line)
    assert sorted(r.tokens[i] for r, i in first.items) == [50, 52]
    assert sorted(r.tokens[i] for r, i in second.items) == [9, 10, 42]
    assert bucket(50) == bucket(52) != bucket(42)


def test_without_padding_who_came_first_is_next():
    """Else what is long is passed over for what came later and still fits: it waited twice the bound."""
    line = WaitingLine(100)
    came = [request([tokens]) for tokens in (40, 45, 90, 5, 5, 90)]
    for one in came:
        line.put(one)
    assert [[r.tokens[i] for r, i in batch.items] for batch in drained(line)] == [[40, 45], [90, 5, 5], [90]]


def test_what_is_no_larger_than_a_turn_is_not_divided():
    """The second half of a pair would wait as long again."""
    line = WaitingLine(160)
    pairs = [request([10, 10]) for _ in range(20)]
    for one in pairs:
        line.put(one)
    for batch in drained(line):
        assert all(sum(r is one for r, _ in batch.items) in (0, 2) for one in pairs)


def test_whom_a_full_batch_cuts_short_keeps_his_place():
    line = WaitingLine(400, turns=4)
    cut, others = request([60, 350]), [request([90]) for _ in range(8)]
    for one in (cut, *others):
        line.put(one)
    first, second, *_ = drained(line)
    assert first.items[0] == (cut, 0) and len(first.items) == 4
    assert second.items[0] == (cut, 1), "before those that came later: its turn was not over"
    both, others = request([150, 350]), [request([90]) for _ in range(2)]
    for one in (both, *others):
        line.put(one)
    first, second = drained(line)
    assert len(first.items) == 3 and second.items == ((both, 1),), "a turn that is over is over"


def test_a_large_request_leaves_room_in_every_batch():
    line = WaitingLine(80)
    large, small = request([1] * 1000), [request([10]) for _ in range(4)]
    for one in (large, *small):
        line.put(one)
    first, _ = line.take(0.0)
    assert {id(r) for r, _ in first.items} == {id(r) for r in (large, *small)}


def test_a_long_text_has_its_turn_among_many_short_ones():
    line = WaitingLine(64)
    for _ in range(50):
        line.put(request([8]))
    long = request([600])
    line.put(long)
    for _ in range(50):
        line.put(request([8]))
    places = [n for n, batch in enumerate(drained(line)) if long in {r for r, _ in batch.items}]
    assert len(places) == 1 and places[0] < 10


def test_the_bound_of_items_holds_all_or_nothing():
    line = WaitingLine(100, most_items=5)
    line.put(request([1] * 9))  # alone it may be larger
    with pytest.raises(OverloadError):
        line.put(request([1]))
    assert line.items == 9
    drained(line)
    line.put(request([1]))
    line.put(request([1] * 4))
    with pytest.raises(OverloadError):
        line.put(request([1]))


def test_what_nobody_waits_for_is_given_up():
    line = WaitingLine(100)
    late, gone, kept = request([10] * 3, deadline=5.0), request([10] * 2), request([10])
    for one in (late, gone, kept):
        line.put(one)
    gone.gone = True
    batch, given_up = line.take(6.0)
    assert given_up == [late, gone] and [r for r, _ in batch.items] == [kept]
    assert (line.items, line.tokens) == (0, 0)


def test_what_is_ahead_of_a_request_is_its_fair_share():
    """A large request does not make the server look busy for a small one; many small ones do."""
    line = WaitingLine(100)
    line.put(request([10] * 1000))
    assert line.ahead_of(10) == 100 and line.ahead_of(10**6) == 10_000
    for _ in range(30):
        line.put(request([10]))
    assert line.ahead_of(10) == 400
    line.take(0.0)
    assert line.ahead_of(10) == sum(min(100, r.waiting_tokens) for r in line.requests())


def test_short_and_long_requests_are_told_the_same():
    """Else, while there is too much to do, those that are told less are let in for ever, and the others never."""
    line = WaitingLine(1000)
    for _ in range(5):
        line.put(request([40, 40]))
        line.put(request([500]))
    assert line.ahead_of(5) == line.ahead_of(512) == 5 * 580


def test_a_long_text_ahead_counts_whole_for_a_short_one():
    """Else short requests are let in for ever behind long ones that they wait for: accepted ones waited seven times the bound."""
    line = WaitingLine(100)
    for _ in range(5):
        line.put(request([400]))
    line.put(request([400, 50, 50]))
    assert line.ahead_of(10) == 5 * 400 + 400 and line.ahead_of(450) == 5 * 400 + 450


def test_a_request_ends_once():
    ends = []
    one = request([1, 1], finished=ends.append)
    one.answer(0, "x")
    assert not ends
    one.answer(1, "y")
    one.fail(ValueError())
    assert ends == [one] and one.answers == ["x", "y"] and one.error is None
