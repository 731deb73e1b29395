"""What goes wrong in a server: failing and hanging models, clients that leave or dawdle, deadlines, and the end."""

import asyncio
import socket
import threading
import time
from contextlib import suppress

import pytest

pytest.importorskip("fastapi")

from litebert.serve.app import leave
from tests.serve.live import HANG, Echo, Later, live, wait_until


@pytest.fixture
def echo():
    return Echo()


@pytest.fixture
def server(echo):
    with live(echo) as found:
        yield found


def blocked(server, *texts):
    """Let the server compute something that does not end until ``echo.open`` is set; returns what waits for its answer."""
    first = server.begin(*(texts or ("wait",)))
    wait_until(server.computing, "a batch")
    return first


# --- The model ------------------------------------------------------------------------------------------------------------


def test_a_poisoned_batch_harms_nobody_else(server, echo):
    first = blocked(server)
    asked = {text: server.begin(text) for text in ("fine", "boom", "good")}
    server.waits(3)
    echo.open.set()
    assert {text: one.result() for text, one in asked.items()} == {"fine": 200, "boom": 500, "good": 200}
    assert first.result() == 200
    together, *alone = echo.batches[1:]
    assert sorted(together) == ["boom", "fine", "good"] and sorted(map(tuple, alone)) == [
        ("boom",),
        ("fine",),
        ("good",),
    ]
    assert server.embed("next") == 200
    found = server.figures()
    assert found['litebert_requests_total{code="500",model="echo",route="/embed"}'] == 1
    assert found['te_request_failure{err="inference"}'] == 1


def test_one_bad_text_fails_its_own_request_whole(server):
    status, headers, text = server.ask({"inputs": ["fine", "boom"]})
    assert status == 500 and "boom" not in text and "Traceback" not in text
    assert headers["x-request-id"] and '"error_type":"Backend"' in text.replace(" ", "")


def test_a_hanging_model_is_given_up_and_another_thread_takes_over(server, echo):
    hanging, waiting = blocked(server), server.begin("behind")
    server.waits(1)
    server.engine.worker._hands[0].seen -= 10 * server.engine.settings.hang_timeout  # as if so much time had passed
    assert hanging.result() == 503
    assert waiting.result() == 200, "what waited is computed by the next thread"
    assert server.embed("next") == 200
    assert server.ask(None, "/livez", "GET")[0] == 200
    assert server.figures()["litebert_worker_restarts_total"] == 1
    echo.open.set()
    assert server.embed("after that") == 200


# --- Clients --------------------------------------------------------------------------------------------------------------


def gone(server):
    return server.figures().get('litebert_requests_total{code="499",model="echo",route="/embed"}', 0)


def test_who_leaves_while_waiting_is_not_computed_for(server, echo):
    first = blocked(server)
    leaving = server.abandon("left behind", "and this")
    server.waits(2)
    leaving.close()
    wait_until(lambda: gone(server) == 1, "the notice")
    echo.open.set()
    assert first.result() == 200 and server.embed("next") == 200
    assert "left behind" not in echo.computed
    found = server.figures()
    assert found['litebert_dropped_total{reason="gone"}'] == 2 and found['te_request_failure{err="dropped"}'] == 1
    assert server.engine.line.items == server.engine.line.tokens == 0


def test_who_leaves_while_it_is_computed_harms_nobody(server, echo):
    leaving = server.abandon("wait")
    wait_until(server.computing, "a batch")
    leaving.close()
    wait_until(lambda: gone(server) == 1, "the notice")
    echo.open.set()
    assert server.embed("next") == 200
    assert 'litebert_dropped_total{reason="gone"}' not in server.figures()


HEAD = b"POST /embed HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n"


@pytest.mark.parametrize("sent", [b"", HEAD, HEAD + b"\r\n{"], ids=["nothing", "half its headers", "half its body"])
@pytest.mark.parametrize("dripping", [b"", b"x"], ids=["silent", "dripping"])
def test_who_dawdles_is_let_go(echo, sent, dripping):
    """A byte now and then does not help: the time counts from the beginning."""
    with live(echo, read_timeout=0.4) as server:
        with server.connect(sent) as sock:
            sock.settimeout(0.05)
            got, ends = b"", time.monotonic() + HANG
            while time.monotonic() < ends:
                with suppress(OSError):  # it may have hung up
                    sock.sendall(dripping)
                try:
                    piece = sock.recv(4096)
                except TimeoutError:
                    continue
                except OSError:
                    break
                if not piece:
                    break
                got += piece
            assert time.monotonic() < ends, "it was never let go"
        wait_until(lambda: not server.server.server_state.connections, "the end of the connection")
        assert not got or got.split(b"\r\n")[0].split()[1] in (b"408", b"400")
        assert (sent.endswith(b"{")) == (b" 408 " in got)
        assert server.embed("next") == 200


def test_headers_without_end_are_refused_and_long_ones_are_not(echo):
    with live(echo) as server:
        with server.connect(HEAD.replace(b"5000", b"2") + b"x-long: " + b"x" * 50_000 + b"\r\n\r\n{}") as sock:
            assert sock.recv(4096).split()[1] == b"422", "they are read, and the body is looked at"
        with server.connect(HEAD + b"x-long: ") as sock:
            got = b""
            with suppress(OSError):
                for _ in range(1000):
                    sock.sendall(b"x" * 4096)
            with suppress(OSError):
                got = sock.recv(4096)
            assert not got or got.split()[1] == b"431"
        wait_until(lambda: not server.server.server_state.connections, "the end of the connection")
        assert server.embed("next") == 200


def test_who_does_not_read_its_answer_is_let_go(echo):
    with live(echo, read_timeout=0.4) as server:
        sock = server.abandon("huge", "huge")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wait_until(lambda: len(echo.batches) == 1, "the answer")
        wait_until(lambda: not server.server.server_state.connections, "the end of the connection")
        sock.close()
        assert server.embed("next") == 200


# --- The line -------------------------------------------------------------------------------------------------------------


def test_what_is_too_late_is_answered_as_such_and_not_computed(server, echo):
    first = blocked(server)
    assert server.embed("hurry", "up", x_request_timeout_ms="50") == 504
    echo.open.set()
    assert first.result() == 200 and server.embed("next") == 200
    assert "hurry" not in echo.computed
    found = server.figures()
    assert found['litebert_dropped_total{reason="deadline"}'] == 2
    assert 'litebert_dropped_total{reason="gone"}' not in found


def test_too_late_while_it_is_computed(server, echo):
    assert server.embed("wait", x_request_timeout_ms="50") == 504
    echo.open.set()
    assert server.embed("next") == 200


def test_what_is_longer_than_a_batch_is_computed_alone(echo):
    with live(echo, max_batch_tokens=20) as server:
        first = blocked(server)
        texts = ["a b", " ".join("abcdefghijklmnopqrstuvwxyz"), "c d", "e f"]
        asked = server.begin(*texts)
        server.waits(4)
        echo.open.set()
        assert first.result() == asked.result() == 200
    assert [texts[1]] in echo.batches and ["a b", "c d", "e f"] in echo.batches


def test_an_answer_is_sent_at_once(server):
    """Head and body are sent apart; with Nagle's algorithm the body waits for the head to be acknowledged, 40 milliseconds."""
    sock = server.connect(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
    assert sock.recv(15) == b"HTTP/1.1 200 OK"
    for connection in server.server.server_state.connections:
        ours = connection.transport.get_extra_info("socket")
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    sock.close()


def test_one_text_does_not_wait_for_a_thousand(echo):
    with live(echo, max_batch_tokens=300) as server:
        first = blocked(server)
        many = server.begin(*(f"text {number}" for number in range(1000)))
        server.waits(1000)
        one = server.begin("a single one")
        server.waits(1001)
        echo.open.set()
        assert first.result() == one.result() == many.result() == 200
    place = next(number for number, batch in enumerate(echo.batches) if "a single one" in batch)
    assert place in (1, 2) and len(echo.batches) > 10


def test_a_slow_model_counts_for_more():
    """What waits is measured in time, whichever model it waits for."""
    quick, slow = Echo("quick", 1e6), Echo("slow", 1e5)
    with live(quick, slow) as server:
        engine = server.engine
        first = Later(lambda: server.ask({"inputs": "wait", "model": "quick"})[0])
        wait_until(server.computing, "a batch")
        asked = Later(lambda: server.ask({"inputs": "one two", "model": "slow"})[0])
        server.waits(1)
        assert engine.line.tokens == 40, "four tokens, each as dear as ten of the other's"
        quick.open.set()
        assert first.result() == asked.result() == 200
        assert server.figures()["litebert_batch_tokens_sum"] == 3 + 4, "the figures count tokens as they are"


# --- The end --------------------------------------------------------------------------------------------------------------


def end(server):
    """Begin to end; returns what is set when nothing is left to do."""
    ended = threading.Event()
    asyncio.run_coroutine_threadsafe(leave(server.app, 0.0, ended.set), server.loop)
    return ended


def test_the_end_loses_nothing_that_was_taken_and_refuses_the_rest(server, echo):
    taken = [blocked(server), server.begin("second"), server.begin("third", "fourth")]
    server.waits(3)
    ended = end(server)
    wait_until(lambda: server.app.state.door.closed, "the door")
    status, headers, text = server.ask({"inputs": "too late"})
    assert (
        status == 503 and headers["connection"] == "close" and headers["retry-after"] == "1" and "shutting down" in text
    )
    assert server.ask(None, "/readyz", "GET")[0] == 503 and server.ask(None, "/livez", "GET")[0] == 200
    assert not ended.is_set(), "three are still to be answered"
    echo.open.set()
    assert [one.result() for one in taken] == [200, 200, 200]
    assert ended.wait(HANG)
    assert "too late" not in echo.computed


def test_the_end_says_so_before_it_refuses(server):
    asyncio.run_coroutine_threadsafe(leave(server.app, HANG, lambda: None), server.loop)
    wait_until(lambda: server.app.state.door.leaving, "the announcement")
    status, headers, _ = server.ask({"inputs": "still taken"})
    assert status == 200 and headers["connection"] == "close", (
        "the next request comes by another connection, to another server"
    )
    assert server.ask(None, "/readyz", "GET")[0] == 503
    assert server.figures()["litebert_draining"] == 1


def test_the_end_does_not_wait_for_ever(echo):
    with live(echo, shutdown_timeout=0.2) as server:
        taken = [blocked(server), server.begin("second")]
        server.waits(1)
        ended = end(server)
        assert [one.result() for one in taken] == [503, 503]
        assert ended.wait(HANG)
