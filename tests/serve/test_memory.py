"""Memory goes back to the system."""

import gc
import http.client
import json
import subprocess
import sys

import pytest

pytest.importorskip("fastapi")

from tests.serve.live import Echo, live, wait_until

PROGRAM = """
import ctypes
from litebert.serve.memory import give_back

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc_trim  # none in other C libraries
before = resident()
places = [libc.malloc(60_000) for _ in range(2000)]
for place in places:
    ctypes.memset(place, 1, 60_000)
for place in places[:-1]:
    libc.free(ctypes.c_void_p(place))
kept = resident() - before
give_back(collect=False)
print(kept, resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of the GNU C library")
def test_what_stands_before_something_kept_is_given_back():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    if "malloc_trim" in done.stderr:
        pytest.skip("of the GNU C library")
    kept, left = map(int, done.stdout.split())
    assert kept > 100e6, "the last piece keeps all before it"
    assert left < 20e6


SETTLED = """
import gc
from litebert.serve.memory import uncollected

with uncollected():
    assert not gc.isenabled()
    kept = [[] for _ in range(100_000)]
assert gc.isenabled() and gc.get_freeze_count() > 100_000
gc.disable()
with uncollected():
    pass
assert not gc.isenabled(), "whoever runs without a collector goes on without one"
"""


def test_what_stays_for_good_is_not_gone_through_again():
    done = subprocess.run([sys.executable, "-c", SETTLED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_requests_leave_no_circles_behind():
    """Whatever becomes of them: thousands would wait for the collector, which holds everybody up while it goes through them."""
    with live(Echo(), api_keys=("k",), payload_limit=4096) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        key = {"content-type": "application/json", "x-api-key": "k"}

        def ask(times, status, body, path="/embed", headers=key):
            for _ in range(times):
                connection.request("POST", path, json.dumps(body).encode(), headers)
                answer = connection.getresponse()
                answer.read()
                assert answer.status == status

        def left(*asked, **how):
            ask(5, *asked, **how)
            gc.collect()
            gc.disable()
            gc.set_debug(gc.DEBUG_SAVEALL)
            try:
                ask(50, *asked, **how)
                gc.collect()
                return [type(found).__name__ for found in gc.garbage]
            finally:
                gc.set_debug(0)
                gc.garbage.clear()
                gc.enable()

        hello = {"inputs": "Hello"}
        assert len(left(200, hello)) < 50, "not one for each"
        assert len(left(200, {"inputs": ["a b", "c"]})) < 50
        assert len(left(422, {"inputs": 3})) < 50
        assert len(left(500, {"inputs": "boom"})) < 50
        assert len(left(401, hello, headers={"content-type": "application/json"})) < 50
        assert len(left(404, hello, path="/no/such/path")) < 50
        worker = server.engine.worker
        worker.expected_wait = lambda _tokens: 1e6
        assert len(left(429, hello)) < 50, "by the guard"
        worker.crowded = lambda: True
        assert len(left(429, hello)) < 50, "by the gate"
        connection.close()


RARELY = """
import gc
from types import SimpleNamespace
from litebert.serve import server
from litebert.serve.settings import ServeSettings

before = gc.get_threshold()
seen = []
worker = SimpleNamespace(broken=False)
server.make_app = lambda settings: SimpleNamespace(state=SimpleNamespace(engine=SimpleNamespace(worker=worker)))
server.uvicorn.Server = lambda config: SimpleNamespace(run=lambda sockets: seen.append(gc.get_threshold()))
server.run(ServeSettings(port=0), lambda address: None)
assert seen and seen[0][0] > 10 * before[0] and seen[0][2] > before[2] and gc.isenabled(), seen
"""


def test_a_process_that_serves_is_collected_rarely_and_one_that_has_a_server_in_it_as_ever():
    done = subprocess.run([sys.executable, "-c", RARELY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    before = gc.get_threshold()
    with live(Echo()):
        assert gc.get_threshold() == before


def test_the_collector_is_sent_when_nothing_waits_and_at_last_although_something_does(monkeypatch):
    sent, crowded = [], [True]
    monkeypatch.setattr("litebert.serve.app.EVERY", 0.001)
    monkeypatch.setattr("litebert.serve.app.give_back", lambda *, collect: sent.append(collect))
    with live(Echo()) as server:
        server.engine.worker.crowded = lambda: crowded[0]
        start = len(sent)
        wait_until(lambda: len(sent) > start + 25)
        busy = sent[start + 2 : start + 22]
        assert sum(busy) == 2, "every tenth time"
        crowded[0] = False
        start = len(sent)
        wait_until(lambda: len(sent) > start + 10)
        assert all(sent[start + 2 :])
