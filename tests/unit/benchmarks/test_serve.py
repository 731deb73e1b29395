"""The programs that load the server: what they send, what they count, what they make of it."""

import asyncio
import importlib
import json
import socket
import statistics
import sys
import time
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("httptools")

from litebert.text import AlbertTokenizer

PROGRAMS = Path(__file__).parents[3] / "benchmarks"
NAMES = (
    "http_client",
    "open_loop",
    "traffic",
    "servers",
    "load",
    "peers",
    "soak",
    "soak_calls",
    "first_answer",
    "tables",
    "results_folder",
)
ENVIRONMENT = {"processor": "P", "cores": 2, "packages": {"torch": "2"}}
SPECIALS = 2


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Import a program as it is when it runs."""
    monkeypatch.setenv("LITEBERT_RESULTS", str(tmp_path))
    for folder in (PROGRAMS, PROGRAMS / "serve"):
        monkeypatch.syspath_prepend(str(folder))
    for name in NAMES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module
    for name in NAMES:
        sys.modules.pop(name, None)


@asynccontextmanager
async def answering(answer):
    """A server on a free port: ``answer(path, number)`` gives status and headers, or None to break the connection; yields its notes."""
    notes = {"connections": 0, "requests": 0, "heads": []}

    async def serve(reader, writer):
        notes["connections"] += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(
                    (int(v.split(":")[1]) for v in head.lower().split("\r\n") if v.startswith("content-length")), 0
                )
                await reader.readexactly(length)
                notes["requests"] += 1
                notes["heads"].append(head)
                found = answer(head.split()[1], notes["requests"])
                found = await found if asyncio.iscoroutine(found) else found
                if found is None:
                    break
                status, headers = found
                writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 2\r\n{headers}\r\n[]".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    notes["port"] = server.sockets[0].getsockname()[1]
    try:
        yield notes
    finally:
        server.close()


# --- The client -----------------------------------------------------------------------------------------------------------


def test_every_end_of_a_request_is_told(program):
    http = program("http_client")
    ways = {
        "/ok": (200, ""),
        "/busy": (429, "retry-after: 1\r\n"),
        "/close": (200, "connection: close\r\n"),
        "/gone": None,
    }

    async def ask():
        async def slow():
            await asyncio.sleep(5)

        async with answering(lambda path, _n: slow() if path == "/slow" else ways[path]) as notes:
            client = http.Client(notes["port"], patience=0.5, keep=True)
            paths = ("/ok", "/busy", "/close", "/ok", "/gone", "/slow", "/ok")
            found = [await client.ask(http.encoded(path, b"{}"), n) for n, path in enumerate(paths)]
            client.close()
            nobody = await http.Client(1).ask(http.encoded("/ok", b"{}"))
            return found, notes, nobody

    found, notes, nobody = asyncio.run(ask())
    assert [(o.number, o.status) for o in found] == list(enumerate((200, 429, 200, 200, 0, 0, 200)))
    assert found[0].body == b"[]" and nobody.status == 0
    # kept for /busy and /close; /gone asks a kept one, then a new one; then one each for /slow and /ok
    assert (notes["connections"], notes["requests"]) == (5, 8)


def test_a_connection_closed_while_idle_is_no_failure(program):
    http = program("http_client")

    async def ask():
        async with answering(lambda _p, number: (200, "") if number != 2 else None) as notes:
            client = http.Client(notes["port"])
            return [(await client.ask(http.encoded("/", b"{}"))).status for _ in range(3)], notes["connections"]

    assert asyncio.run(ask()) == ([200, 200, 200], 2)


def test_arrivals_are_a_poisson_process(program):
    arrivals = program("open_loop").arrivals
    moments = arrivals(100, 100, 3)
    gaps = [b - a for a, b in pairwise(moments)]
    assert len(moments) == pytest.approx(10_000, rel=0.05) and moments == sorted(moments) == arrivals(100, 100, 3)
    assert statistics.mean(gaps) == pytest.approx(statistics.stdev(gaps), rel=0.05) and moments != arrivals(100, 100, 4)


def test_time_counts_from_when_a_request_was_due(program):
    """A server that does one after the other falls behind; whoever waited with sending would not see it."""
    http, opened = program("http_client"), program("open_loop")

    async def ask():
        one = asyncio.Lock()

        async def slow():
            async with one:
                await asyncio.sleep(0.02)
            return 200, ""

        async with answering(lambda _p, _n: slow()) as notes:
            client = http.Client(notes["port"])
            late = await client.ask(http.encoded("/", b"{}"), due=time.perf_counter() - 1)
            return late, await opened.open_loop(client, [http.encoded("/", b"{}")] * 3, rate=200, seconds=0.3)

    late, run = asyncio.run(ask())
    assert late.seconds >= 1 and late.sent - late.due >= 1
    assert len(run.outcomes) == len(opened.arrivals(200, 0.3, 0)) and {o.number for o in run.outcomes} == {0, 1, 2}
    assert max(o.seconds for o in run.outcomes) >= 0.02 * len(run.outcomes) - 0.3


def test_every_end_of_a_request_at_its_moment_is_told(program):
    """Answers of a server that breaks off, closes, keeps still or is not there; connections are kept where they can be."""
    http, opened = program("http_client"), program("open_loop")

    def run(answer, **options):
        async def all_of_it():
            async with answering(answer) as notes:
                client = http.Client(notes["port"], patience=0.3)
                found = await opened.open_loop(
                    client, [http.encoded("/", b"{}")], **{"rate": 100, "seconds": 0.3} | options
                )
                return found, notes

        return asyncio.run(all_of_it())

    expected = len(opened.arrivals(100, 0.3, 0))
    found, notes = run(lambda _p, _n: (200, ""))
    assert [o.status for o in found.outcomes] == [200] * expected and notes["requests"] == expected
    assert notes["connections"] < expected / 2 and all(o.due <= o.sent < o.ended for o in found.outcomes)
    assert 0 < found.client_share < 1 and found.seconds == 0.3

    found, notes = run(lambda _p, _n: (429, "connection: close\r\n"))
    assert [o.status for o in found.outcomes] == [429] * expected and notes["connections"] == expected

    found, _ = run(lambda _p, _n: None)
    assert [o.status for o in found.outcomes] == [http.NO_ANSWER] * expected

    # a connection that was kept is closed instead of an answer: asked once more, on a new one
    found, notes = run(lambda _p, n: None if n == 2 else (200, ""))
    assert [o.status for o in found.outcomes] == [200] * expected and notes["requests"] == expected + 1

    async def never():
        await asyncio.sleep(5)

    found, _ = run(lambda _p, n: never() if n == 3 else (200, ""))
    silent = [o for o in found.outcomes if o.status == http.NO_ANSWER]
    assert len(silent) == 1 and 0.3 <= silent[0].seconds < 1 and len(found.outcomes) == expected

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        client = http.Client(taken.getsockname()[1])
        nobody = asyncio.run(opened.open_loop(client, [http.encoded("/", b"{}")], rate=50, seconds=0.1))
    assert nobody.outcomes and {o.status for o in nobody.outcomes} == {http.NO_ANSWER}


def test_a_request_larger_than_what_the_system_takes_is_sent_in_parts(program):
    http, opened = program("http_client"), program("open_loop")
    body = b"x" * 20_000_000

    async def all_of_it():
        async with answering(lambda _p, _n: (200, "")) as notes:
            return await opened.open_loop(http.Client(notes["port"]), [http.encoded("/", body)], rate=10, seconds=0.2)

    assert {o.status for o in asyncio.run(all_of_it()).outcomes} == {200}


def test_texts_have_the_lengths_that_are_said(program):
    traffic, tokenizer = program("traffic"), AlbertTokenizer.bundled()
    asked = traffic.mix(tokenizer, 400)
    for one in asked[:100]:
        lengths = [len(tokenizer.encode(text).ids) for text in one.texts]
        assert sum(lengths) == one.tokens and all(n <= 512 for n in lengths)
    kinds = [one.kind for one in asked]
    assert {kind: kinds.count(kind) for kind in traffic.KINDS} == {"sentence": 200, "pair": 100, "passage": 100}
    assert max(one.tokens for one in asked) > 400 and 5 <= min(one.tokens for one in asked) < 10
    assert asked == traffic.mix(tokenizer, 400) and len({one.texts for one in asked}) > 390


def outcome(http, status, due, ended, number=0, late=0.0):
    return http.Outcome(number, status, due, due + late, ended)


def test_what_is_counted_of_outcomes(program):
    http, traffic = program("http_client"), program("traffic")
    asked = [traffic.Asked("sentence", ("a",), 10), traffic.Asked("passage", ("b",), 100)]
    outcomes = [outcome(http, 200, 0.1 * n, 0.1 * n + 0.05, n % 2) for n in range(10)]
    outcomes += [outcome(http, 429, 0.5, 0.51), outcome(http, 503, 0.5, 0.6), outcome(http, 0, 0.5, 0.9, late=0.03)]
    outcomes.append(outcome(http, 200, 0.95, 3.0, 1))  # answered when nobody sends any more
    found = traffic.summary([http.Run(outcomes, 0.0, 1.0, 0.25)], asked, settle=0.2)
    assert (found["requests"], found["answered"], found["refused"], found["errors"]) == (
        14,
        11,
        1,
        {"503": 1, "no answer": 1},
    )
    assert found["goodput_per_second"] == 10.0 and found["goodput_tokens_per_second"] == round(4 * 110 / 0.8)
    assert (found["p50_ms"], found["p99_ms"], found["refused_p99_ms"]) == (50.0, 2050.0, 10.0)
    assert found["answered_share"] == {"sentence": round(5 / 8, 3), "passage": 1.0}
    assert found["client"] == {"lag_p99_ms": 30.0, "lag_most_ms": 30.0, "share_of_a_core": 0.25}
    assert traffic.percentile([], 0.5) is None and traffic.percentile(range(1, 101), 0.99) == 99


# --- Load -----------------------------------------------------------------------------------------------------------------


def test_a_load_is_measured_judged_and_shown(program, tmp_path):
    """Against a server that answers every third with a refusal."""
    load, traffic = program("load"), program("traffic")
    asked = [traffic.Asked("sentence", ("a",), 10), traffic.Asked("pair", ("b", "c"), 20)]
    bodies = [json.loads(load.body_of(one)) for one in asked]
    assert bodies == [{"inputs": "a"}, {"inputs": ["b", "c"]}]

    async def all_of_it():
        async with answering(
            lambda path, n: (429 if n % 3 == 0 else 200, "") if path == "/embed" else (404, "")
        ) as notes:
            return await load.measured(notes["port"], asked, rates=(0.5, 2), seconds=0.3, clients=2, rounds=2)

    found = asyncio.run(all_of_it())
    assert list(found["rates"]) == ["0.5", "2"] and all(
        row["refused"] and row["answered"] and len(row["each_per_second"]) == 2 for row in found["rates"].values()
    )
    bars = load.judged(found, 2000.0)
    assert bars["errors"]["kept"] and bars["accepted p99 ms"]["at_most"] > 2000
    (tmp_path / "serve_load.json").write_text("")
    data = {
        "command": "C", "model": "m", "precision": "float32", "tokens": {"least": 5, "mean": 70.2, "most": 512},
        "seconds": 20.0, "rounds": 2, **found, "bars": bars, "environment": ENVIRONMENT,
    }  # fmt: skip
    tables = program("tables")
    tables.read = {"serve_load": data}.get
    page = "\n".join(tables.serve_load())
    assert "| closed loop |" in page and "| 2 x |" in page and "errors 0 (at most 0)" in page


def row(goodput, p99=100.0, refused=None, errors=None):
    return {
        "goodput_per_second": goodput,
        "goodput_tokens_per_second": 10 * goodput,
        "p99_ms": p99,
        "refused_p99_ms": refused,
        "errors": errors or {},
    }


def test_the_bars_of_a_load(program):
    judged = program("load").judged
    good = judged({"capacity": row(100), "rates": {"0.5": row(50, 80), "3": row(95, 2079, 20)}}, 2000)
    assert all(bar["kept"] for bar in good.values()) and good["accepted p99 ms"]["at_most"] == 2080
    bad = judged({"capacity": row(100), "rates": {"0.5": row(50, 80), "3": row(89, 2081, 51, {"500": 1})}}, 2000)
    assert not any(bar["kept"] for bar in bad.values())
    never = judged({"capacity": row(100), "rates": {"0.5": row(50, 80), "3": row(0, None)}}, 2000)
    assert [name for name, bar in never.items() if not bar["kept"]] == list(never)[:2]


# --- Peers ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guess", [3, 80, 1500])
def test_the_highest_rate_is_found(program, guess):
    search = program("peers").Search(float(guess))
    for _ in range(40):
        if search.rate is None:
            break
        search.note(search.rate, 100.0 if search.rate <= 100 else None, 500.0)
    assert search.rate is None and 96 <= search.held <= 100 < search.lost


def test_a_rate_lost_by_chance_is_not_the_end(program):
    search = program("peers").Search(50.0)
    search.note(50.0, 900.0, 500.0)
    search.note(30.0, 100.0, 500.0)
    search.note(50.0, 100.0, 500.0)
    assert search.held == 50.0 and search.lost is None and search.rate > 50
    nothing = program("peers").Search(1.0)
    while nothing.rate is not None:
        nothing.note(nothing.rate, None, 500.0)
    assert nothing.held is None


def test_a_refusal_is_never_answered(program):
    http, peers = program("http_client"), program("peers")
    good = [outcome(http, 200, 0.0, 0.1) for _ in range(99)]
    assert peers.held_ms([*good, outcome(http, 429, 0.0, 0.01)]) == 100.0
    assert peers.held_ms([*good, *[outcome(http, 429, 0.0, 0.01)] * 2]) is None


def test_rates_are_compared_and_shown(program):
    peers, tables = program("peers"), program("tables")
    closed = {"closed_loop": {"goodput_per_second": 90.0}}
    found = {
        "litebert": {**closed, "held_per_second": 90.0, "p50_ms": 20.0, "p99_ms": 450.0},
        "litebert fp32": {**closed, "held_per_second": 60.0}, "plain": {**closed, "held_per_second": 20.0},
        "infinity": {**closed, "held_per_second": None},
    }  # fmt: skip
    times = peers.ratios(found)
    assert times == {"litebert": {"plain": 4.5, "infinity": None}, "litebert fp32": {"plain": 3.0, "infinity": None}}
    data = {
        "command": "C", "model": "m", "window": 512, "mean_tokens": 70.2, "limit_ms": 500.0, "versions": {"plain": {"torch": "2"}},
        "precision": {"litebert": "float32"}, "servers": found, "times_the_peers": times, "least_cosine": dict.fromkeys(found, 0.99999),
        "environment": ENVIRONMENT,
    }  # fmt: skip
    tables.read = {"serve_peers": data}.get
    page = "\n".join(tables.serve_peers())
    assert (
        "| litebert (float32) | 90.0 | 20.0 | 450.0 | 90.0 | 0.99999 |" in page
        and "4.5 times plain, - times infinity" in page
    )
    assert peers._without_places(["--infinity-python", "/a/b", "--seconds", "3"]) == [
        "--infinity-python", "VENV/bin/python", "--seconds", "3",
    ]  # fmt: skip


def test_a_server_s_rate_is_searched_in_turn(program):
    """Two servers, one of which holds more: the slower is slower in the end, and both were asked in every round."""
    http, traffic, peers = program("http_client"), program("traffic"), program("peers")
    asked = [traffic.Asked("sentence", ("a",), 10)]

    async def all_of_it():
        async with (
            answering(lambda _p, _n: (200, "")) as quick,
            answering(lambda _p, n: (503 if n % 2 else 200, "")) as broken,
        ):
            servers = [peers.Server("litebert", quick["port"], None), peers.Server("plain", broken["port"], None)]
            work = peers.Work(asked, [http.encoded("/embeddings", b"{}")], 0.1, 500.0)
            return await peers.searched(servers, work, clients=2, trials=2, rounds=1)

    found = asyncio.run(all_of_it())
    assert (
        found["litebert"]["closed_loop"]["answered"]
        and len(found["litebert"]["trials"]) == len(found["plain"]["trials"]) == 2
    )
    assert found["plain"]["held_per_second"] is None and not any(t["held"] for t in found["plain"]["trials"])


def test_a_window_is_set_for_every_library(program, tmp_path):
    servers = program("servers")
    folder = servers.with_window(servers.folder_of("litebert-small-en-embed"), tmp_path, 512)
    assert json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"] == 512
    assert json.loads((folder / "litebert.json").read_text())["text"]["max_length"] == 512
    with pytest.raises(SystemExit, match="no model at"):
        servers.folder_of(str(tmp_path / "none"))


def test_a_server_that_does_not_start_says_why(program):
    servers = program("servers")
    command = [sys.executable, "-c", "raise SystemExit('the port is taken')"]
    with (
        pytest.raises(SystemExit, match="the port is taken"),
        servers.running("broken", command, servers.free_port(), "/"),
    ):
        pass


# --- Soak -----------------------------------------------------------------------------------------------------------------


def samples(rss, files=lambda _m: 30):
    return [{"minute": m / 10, "rss_mb": rss(m / 10), "files": files(m / 10), "threads": 9} for m in range(201)]


def test_flat_is_told_from_growing(program):
    flatness = program("soak").flatness
    idle = {"rss_mb": 400.0, "files": 20, "threads": 9}
    found = flatness(samples(lambda m: 400 + min(m, 3) * 30), (idle, {**idle, "files": 22}))  # grows while it gets warm
    assert (
        all(found[name]["flat"] for name in ("rss_mb", "files", "threads")) and found["rss_mb"]["slope_per_minute"] == 0
    )
    found = flatness(samples(lambda m: 400 + m), (idle, {**idle, "files": 23, "threads": 12}))
    assert not any(found[name]["flat"] for name in ("rss_mb", "files", "threads"))
    assert found["rss_mb"]["slope_per_minute"] == pytest.approx(1.0) and found["rss_mb"][
        "growth_share"
    ] == pytest.approx(16 / 412, abs=1e-3)


def test_counters_are_held_against_the_clients(program):
    soak = program("soak")
    text = (
        '# HELP litebert_requests_total Requests.\nlitebert_requests_total{code="200",model="a\\"b",route="/embed"} 5.0\n'
        'litebert_requests_total{code="200",model="b",route="/embed"} 2.0\n'
        'litebert_requests_total{code="499",model="",route="other"} 1.0\n'
        f'litebert_requests_total{{code="200",model="b",route="{soak.LEAVERS_ROUTE}"}} 1.0\n'
        f'litebert_requests_total{{code="499",model="b",route="{soak.LEAVERS_ROUTE}"}} 3.0\n'
        'litebert_requests_total{code="200",model="",route="/metrics"} 7.0\nlitebert_inputs_total{model="b"} 9.0\n'
    )
    after = soak.counters(text)
    assert after["/embed", 200] == 7 and ("/metrics", 200) in after
    before, left = {("/embed", 200): 3}, {soak.LEAVERS_ROUTE: 4, "other": 1}
    assert soak.differences(before, after, {("/embed", 200): 4}, left) == {}
    assert soak.differences(before, after, {("/embed", 200): 5}, {**left, "other": 2}) == {
        "/embed 200": [4, 5],
        "other 499": [1, 2],
    }
    refused = {("other", 499): 1, ("other", 429): 2}  # one of them heard it
    assert soak.differences({}, refused, {("other", 429): 1}, {"other": 2}) == {}
    assert soak.differences({}, refused, {("other", 429): 1}, {"other": 3}) == {"other 499": [2, 3]}


def test_traffic_is_counted_as_it_ends(program):
    """Right answers, wrong ones, and clients that leave: every arrival is one of them, and the server saw the whole ones."""
    soak, calls = program("soak"), program("soak_calls")
    found = [calls.post("/good", {}), calls.post("/bad", {}, 404, share=0.5), calls.get("/busy")]

    async def all_of_it():
        async with answering(lambda path, _n: (429 if path == "/busy" else 200, "")) as notes:
            traffic = soak.Soak(notes["port"], found)
            await traffic.run(400, 0.5)
            for _ in range(100):  # who left may not have been read yet
                if notes["requests"] >= sum(traffic.seen.counts.values()) + traffic.seen.left[calls.LEAVERS_ROUTE]:
                    break
                await asyncio.sleep(0.05)
            return traffic.seen, notes

    seen, notes = asyncio.run(all_of_it())
    assert set(seen.counts) == {("/good", 200), ("/bad", 200), ("/busy", 429)}
    assert seen.unexpected == {"/bad: 200 in place of 404": seen.counts["/bad", 200]}
    assert sum(map(len, seen.seconds)) == seen.counts["/good", 200] + seen.counts["/bad", 200] and all(seen.seconds)
    assert set(seen.left) == {calls.LEAVERS_ROUTE, calls.HALVES_ROUTE}
    assert notes["requests"] == sum(seen.counts.values()) + seen.left[calls.LEAVERS_ROUTE] and len(seen.lag) == sum(
        seen.counts.values()
    )
    assert 100 < len(seen.lag) + sum(seen.left.values()) < 300


def test_the_first_of_the_first_answers_is_thrown_away(program, tmp_path, monkeypatch):
    first = program("first_answer")
    times = iter([9.0, 1.0, 2.0, 4.5, 3.0, 4.0])
    monkeypatch.setattr(
        first, "one", lambda _model, _compiled: {"listens": 0.5, "answers": next(times), "peak_mb": 300}
    )
    first.main(["--times", "5"])
    data = json.loads((tmp_path / "serve_first_answer.json").read_text())
    assert (data["seconds"], data["kept"], data["thrown_away"]["answers"], len(data["runs"])) == (3.0, False, 9.0, 5)


def test_this_process_is_looked_at(program, tmp_path):
    look, own = program("soak").look, __import__("os").getpid()
    before = look(own)
    with (tmp_path / "a").open("w"):
        assert look(own)["files"] == before["files"] + 1
    assert before["rss_mb"] > 10 and before["threads"] >= 1


def test_a_soak_is_shown(program):
    soak, tables = program("soak"), program("tables")
    idle = {"rss_mb": 400.0, "files": 20, "threads": 9}
    found = {
        "flatness": soak.flatness(samples(lambda _m: 400), (idle, {**idle, "files": 40})),
        "counters_that_differ": {},
        "unexpected": {"x": 2},
    }
    assert soak.kept(found) == {
        "flat rss_mb": True, "flat files": False, "flat threads": True, "counters equal": True, "every status as it should be": False,
    }  # fmt: skip
    data = {
        "command": "C", "minutes": 20.0, "requests": 1234, "routes": 40, "load": 0.6, "statuses": {"200": 1200}, "left": {"other": 34},
        "ms_by_quarter": [{"p50": 3.0, "p99": 50.0}] * 4, "environment": ENVIRONMENT, **found,
    }  # fmt: skip
    first = {"command": "C", "seconds": 2.5, "model": "m", "runs": [{"peak_mb": 400}], "environment": ENVIRONMENT}
    tables.read = {"serve_soak": data, "serve_first_answer": first}.get
    page = "\n".join([*tables.serve_soak(), *tables.serve_first_answer()])
    assert (
        "| file handles | 30.0 | +0.000 | 0.0 | 20 | 40 | **no** |" in page
        and "than was due: 2;" in page
        and "2.50 seconds" in page
    )
