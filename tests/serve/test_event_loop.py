"""The event loop: it pauses only while there is too much to do, and takes few connections at a time."""

import asyncio
import socket

import pytest

pytest.importorskip("fastapi")

from litebert.processors import usable_processors
from litebert.serve import event_loop
from litebert.serve.event_loop import AT_A_TIME, LONGEST, PAUSE, ServingLoop
from litebert.serve.server import shared_out, uvicorn_config
from litebert.serve.settings import ServeSettings


@pytest.fixture
def loop():
    found = ServingLoop()
    yield found
    found.close()


@pytest.fixture
def pauses(monkeypatch):
    found = []
    monkeypatch.setattr(event_loop.time, "sleep", found.append)
    return found


def test_it_pauses_while_it_is_crowded_and_has_nothing_at_hand(loop, pauses):
    waiting = [0.1]
    loop.while_crowded(lambda: waiting[0])
    loop._looks.select(0)
    assert pauses == [], "work at hand is not held up"
    loop._looks.select(0.001)
    loop._looks.select(PAUSE)
    assert pauses == [0.001, PAUSE], "no timer is late"
    waiting[0] = 0.0
    loop._looks.select(0.001)
    assert len(pauses) == 2


@pytest.mark.parametrize(("waiting", "pause"), [(0.05, PAUSE), (1.5, 0.015), (60.0, LONGEST)])
def test_who_waits_longer_is_looked_at_later(loop, pauses, waiting, pause):
    loop.while_crowded(lambda: waiting)
    loop._looks.select(0.05)
    assert pauses == [pytest.approx(pause)]


def test_what_is_to_be_sent_is_sent_before_it_looks_and_is_no_work_at_hand(loop, pauses):
    done = []
    loop.while_crowded(lambda: 0.1)
    loop.before_looking(lambda: done.append("sent"))
    loop._looks.select(0.001)
    assert (done, pauses) == (["sent"], [0.001])
    loop.before_looking(lambda: loop.call_soon(done.append, "told"))
    loop._looks.select(60)
    assert len(pauses) == 1, "there is work at hand"
    loop.run_until_complete(asyncio.sleep(0))
    assert done == ["sent", "told"]


def test_what_comes_in_a_pause_is_handled_after_it(loop, pauses):
    """A call from another thread is a byte in a socket, and is seen although the loop did not look meanwhile."""
    loop.while_crowded(lambda: 0.1 if len(pauses) < 3 else 0.0)
    done = loop.create_future()

    def come(_seconds):
        pauses.append(_seconds)
        loop.call_soon_threadsafe(done.set_result, "done")

    event_loop.time.sleep = come
    assert loop.run_until_complete(asyncio.wait_for(done, 60)) == "done" and len(pauses) >= 1


def test_it_takes_few_connections_at_a_time(loop):
    listening = socket.create_server(("127.0.0.1", 0))
    clients = [socket.create_connection(listening.getsockname()) for _ in range(7)]
    looks, taken = [0], []
    before = loop._looks.select

    def select(timeout=None):
        looks[0] += 1
        return before(timeout)

    loop._looks.select = select

    class Connection(asyncio.Protocol):
        def connection_made(self, transport):
            taken.append(looks[0])
            transport.close()

    async def serve():
        server = await loop.create_server(Connection, sock=listening, backlog=50)
        while len(taken) < len(clients):
            await asyncio.sleep(0.001)
        server.close()

    loop.run_until_complete(asyncio.wait_for(serve(), 60))
    assert len(taken) == 7 and max(taken.count(look) for look in taken) <= AT_A_TIME
    for client in clients:
        client.close()


def test_the_server_runs_on_it_and_keeps_its_queue():
    config = uvicorn_config(ServeSettings(models=("a",)), None)
    made = config.get_loop_factory()()
    assert isinstance(made, ServingLoop) and config.backlog == 2048
    made.close()


def test_processes_share_the_processors(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    several = ServeSettings(models=("a",), workers=2)
    assert shared_out(several).engine.threads == max(usable_processors() // 2, 1)
    told = ServeSettings(models=("a",), workers=2, engine={"threads": 3})
    assert shared_out(told).engine.threads == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert shared_out(several).engine.threads is None
