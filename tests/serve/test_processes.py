"""Several processes on one port: they add up, are replaced when they die, take new keys, answer alike, and end together."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("fastapi")

from litebert.serve import server
from litebert.serve.settings import ServeSettings
from tests.serve.live import HANG, figures_of, wait_until
from tests.serve.processes import get, serving

EMBED = "litebert-small-en-embed"
FAQ = "question,answer\nWhat does a ticket cost?,Five crowns.\nWhen do you open?,At nine.\nMay I bring my dog?,Yes.\n"


def ask(address, path, body, key="first"):
    return get(address, path, body, HANG, {"x-api-key": key})


def children(process):
    """Return the processes that serve."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            if parent == process.pid and serves(int(stat.parent.name)):
                found.add(int(stat.parent.name))
    return found


def serves(pid):
    """Return whether there is such a process, and it is one that serves."""
    try:
        return "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


def leave(address, texts):
    """Send a request and leave without an answer."""
    host, port = address.removeprefix("http://").split(":")
    body = json.dumps({"inputs": texts}).encode()
    head = f"POST /embed HTTP/1.1\r\nhost: x\r\nx-api-key: first\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=HANG) as sock:
        sock.sendall(head.encode() + body)


def check_figures(address):
    """They add up to what the clients counted."""
    counted, lock, items = Counter(), threading.Lock(), [0]

    def load(number):
        for turn in range(12):
            texts = [f"text {number} {turn} {place} of a few words" for place in range(1 + 7 * (turn % 3))]
            kind = (number + turn) % 6
            path = {3: "/no/path", 4: "/tokenize"}.get(kind, "/embed")
            body = {"inputs": [] if kind == 4 else texts}
            status = ask(address, path, body, "wrong" if kind == 5 else "first")[0]
            with lock:
                counted["other" if kind == 3 else path, str(status)] += 1
                items[0] += len(texts) if status == 200 else 0

    threads = [threading.Thread(target=load, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    left = 5
    for _ in range(left):
        leave(address, ["somebody", "left"])
    asked = sum(counted.values()) + left

    def settled():
        found = requests(address)
        return found if sum(found.values()) == asked else None

    found = wait_until(settled, "the count of the last request")
    gone = found["/embed", "499"]
    late = {key: found[key] - counted[key] for key in found if found[key] != counted[key] and key != ("/embed", "499")}
    assert set(late) <= {("/embed", "200"), ("/embed", "429")}, "some were answered quicker than they left"
    assert sum(late.values()) + gone == left
    assert counted["/embed", "200"]
    assert counted["/embed", "401"] == counted["other", "404"] == counted["/tokenize", "400"] == 12
    figures = figures_of(get(address, "/metrics")[1])
    answered = figures[f'litebert_inputs_total{{model="{EMBED}",task="embed"}}']
    assert answered == items[0] + 2 * late.get(("/embed", "200"), 0)
    assert sum(v for k, v in figures.items() if k.startswith("te_request_success{")) == found["/embed", "200"]
    assert figures["te_embed_success"] == found["/embed", "200"]


def requests(address):
    """Return how many requests there were by route and status, of all processes, those for the figures left out."""
    found = Counter()
    for name, value in figures_of(get(address, "/metrics")[1]).items():
        if name.startswith("litebert_requests_total{"):
            labels = dict(part.split("=") for part in name[name.index("{") + 1 : -1].replace('"', "").split(","))
            if labels["route"] not in ("/metrics", "/readyz"):
                found[labels["route"], labels["code"]] += int(value)
    return found


def check_questions(address):
    """Each answers from the same questions."""
    answers = {ask(address, "/litebert/v1/faq", {"question": "What does a ticket cost?"}) for _ in range(12)}
    (answer,) = {(status, text) for status, text in answers if status != 429}
    assert answer[0] == 200 and json.loads(answer[1])["answer"] == "Five crowns."


def inflight(address):
    """Return how many requests are being served; None if the one that was asked has just been killed."""
    try:
        return figures_of(get(address, "/metrics")[1])["litebert_inflight"]
    except OSError:
        return None


def check_replacement(process, address):
    """One that is killed is replaced, and what it was at is forgotten."""
    before, counted = children(process), sum(requests(address).values())
    assert len(before) == 2
    host, port = address.removeprefix("http://").split(":")
    held = [socket.create_connection((host, int(port)), timeout=HANG) for _ in range(16)]
    for sock in held:
        sock.sendall(b"POST /embed HTTP/1.1\r\nhost: x\r\nx-api-key: first\r\ncontent-length: 99\r\n\r\n{")
    wait_until(lambda: inflight(address) == 17, "the requests, of which some are at each process")
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    after = wait_until(
        lambda: (now := children(process)) and victim not in now and len(now) == 2 and now, "the new process"
    )
    assert len(after & before) == 1
    for sock in held:
        sock.close()
    wait_until(lambda: inflight(address) == 1, "the end of what the dead one was at")
    wait_until(lambda: ask(address, "/embed", {"inputs": "still there"})[0] == 200, "an answer")
    assert sum(requests(address).values()) > counted, "what it counted is not lost"


def check_keys(process, address, keys):
    """All take new keys without an end."""
    before = children(process)
    keys.write_text("second\n")
    process.send_signal(signal.SIGHUP)

    def all_know():
        statuses = {ask(address, "/info", None, key)[0] for key in ("second",) * 10}
        return statuses == {200} and {ask(address, "/info", None, "first")[0] for _ in range(10)} == {401}

    wait_until(all_know, "the new key")
    assert children(process) == before


def check_orphans(process, address):
    """They end even if their parent was killed: nobody is left behind to hold the port."""
    serving_ones = children(process)
    process.kill()
    process.wait()

    wait_until(lambda: not any(serves(pid) for pid in serving_ones), "the end of the others")
    with pytest.raises(OSError, match="refused"):
        get(address, "/livez")


class Child:
    """Stands for a process: it is there or has ended with a code, has started or not, answers or is silent."""

    def __init__(self, pid=1, started=True, silent=False):
        self.pid, self.started, self.silent, self.exitcode = pid, started, silent, None
        self.asked = 0
        self.parent_conn = self.process = self  # all that is asked of either

    def is_alive(self):
        return self.exitcode is None

    def send(self, _ping):
        self.asked += 1

    def poll(self):
        return self.asked and not self.silent

    def recv(self):
        self.asked -= 1
        return self.started

    def kill(self):
        self.exitcode = -9 if self.exitcode is None else self.exitcode

    def join(self):
        pass

    start = join


@pytest.fixture
def parent(monkeypatch, tmp_path):
    """A parent of two that looks after them when told to; with the time, the signals that it sent, and who it has forgotten."""
    clock, sent, forgotten, pids = [1000.0], [], [], iter(range(3, 100))
    monkeypatch.setattr(server, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(server, "os", SimpleNamespace(kill=lambda pid, number: sent.append((pid, number))))
    monkeypatch.setattr(server, "mark_process_dead", lambda pid, _folder: forgotten.append(pid))
    monkeypatch.setattr(server, "Process", lambda _config, _sockets: Child(next(pids)))

    def begin(self, config, sockets):
        self.config, self.sockets, self.should_exit = config, sockets, threading.Event()
        self.processes = [Child(1), Child(2)]

    monkeypatch.setattr(server.Multiprocess, "__init__", begin)
    found = server.Processes(ServeSettings(workers=2), None, str(tmp_path))
    found.clock, found.sent, found.forgotten = clock, sent, forgotten
    return found


def test_keys_are_read_again_by_all_that_can_hear_and_later_by_those_that_start(parent):
    """A signal that comes before anybody heeds it would end a process."""
    parent.processes[1].started = False
    for _ in range(4):
        parent.keep_subprocess_alive()
    parent.handle_hup()
    assert parent.sent == [(1, signal.SIGHUP)]
    parent.keep_subprocess_alive()
    assert len(parent.sent) == 1
    parent.processes[1].started = True
    for _ in range(4):
        parent.keep_subprocess_alive()
    assert parent.sent == [(1, signal.SIGHUP), (2, signal.SIGHUP)]


def test_one_that_is_silent_for_too_long_is_replaced(parent):
    parent.processes[0].silent = True
    for _ in range(3):
        parent.keep_subprocess_alive()
    parent.clock[0] += server.SILENCE - 1
    parent.keep_subprocess_alive()
    assert [child.pid for child in parent.processes] == [1, 2], "a busy machine is no reason"
    parent.clock[0] += 2
    parent.keep_subprocess_alive()
    assert [child.pid for child in parent.processes] == [3, 2] and parent.forgotten == [1]


def test_processes_that_end_again_and_again_are_not_replaced_for_ever(parent):
    for _ in range(20):  # one every half minute
        parent.processes[0].exitcode = 1
        parent.clock[0] += 30
        parent.keep_subprocess_alive()
    assert parent.problem is None and len(parent.forgotten) == 20
    ends = 0
    while parent.problem is None:
        parent.processes[1].exitcode = 1
        parent.keep_subprocess_alive()
        ends += 1
    assert 4 <= ends <= 7 and parent.should_exit.is_set()


def test_what_cannot_start_is_not_tried_again(parent):
    parent.processes[0].exitcode = server.STARTUP_FAILURE
    parent.keep_subprocess_alive()
    assert parent.problem == "a process could not start" and parent.should_exit.is_set()
    assert [child.pid for child in parent.processes] == [1, 2]


def test_two_processes_act_as_one_server(tmp_path):
    """In one go, since each process takes seconds to start; they hardly let anybody wait."""
    keys, faq = tmp_path / "keys", tmp_path / "faq.csv"
    keys.write_text("first\n")
    faq.write_text(FAQ)
    settings = (f"--set={one}" for one in ("max_queue_ms=1", "drain_delay=0.1", f"read_timeout={HANG}"))
    given = ("--faq", str(faq), "--api-key-file", str(keys), "--log", "off", *settings)
    with serving(EMBED, "--workers", "2", *given) as (process, address):
        check_figures(address)
        check_questions(address)
        check_replacement(process, address)
        check_keys(process, address, keys)
        check_orphans(process, address)


def test_ctrl_c_reaches_all_of_them_and_what_was_taken_is_answered(tmp_path, monkeypatch):
    """As from a terminal, which sends it to parent and children alike; whose body is still on its way is waited for."""
    faq, place = tmp_path / "faq.csv", tmp_path / "temporary"
    faq.write_text(FAQ)
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    given = (
        "--workers",
        "2",
        "--faq",
        str(faq),
        "--log",
        "off",
        "--set",
        f"read_timeout={HANG}",
        "--set",
        "drain_delay=3600",
        "--set",
        f"shutdown_timeout={HANG}",
    )
    with serving(EMBED, *given, terminal=True) as (process, address):
        (shared,) = place.glob("litebert-*")
        assert (shared / "faq").is_dir() and not list(place.glob("litebert-faq-*")), "one index for both"
        host, port = address.removeprefix("http://").split(":")
        body = json.dumps({"inputs": "a"}).encode()
        head = f"POST /embed HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {len(body)}\r\n\r\n"
        with socket.create_connection((host, int(port)), timeout=HANG) as sock, sock.makefile("rb") as answer:
            sock.sendall(head.encode())
            assert answer.readline().split()[1] == b"100", "it is taken: its body is asked for"
            answer.readline()
            os.killpg(process.pid, signal.SIGINT)
            wait_until(lambda: get(address, "/embed", {"inputs": "a"}, HANG)[0] == 503, "the end")
            sock.sendall(body)
            assert answer.readline().split()[1] == b"200"
        assert process.wait(HANG) == 0
        assert "Traceback" not in process.stderr.read() and not list(place.glob("litebert-*"))


def test_sigterm_ends_them_well_and_what_cannot_start_says_why(tmp_path, monkeypatch):
    command = [sys.executable, "-m", "litebert", "serve", "no-such-model", "--workers", "2", "--port", "0"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=10 * HANG, check=False)
    assert found.returncode == 1 and "no-such-model" in found.stderr and "could not start" in found.stderr
    assert "Traceback" not in found.stderr
    faq, place = tmp_path / "faq.csv", tmp_path / "temporary"
    faq.write_text(FAQ)
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    given = ("--workers", "2", "--faq", str(faq), "--log", "off", "--set", "drain_delay=0")
    with serving(EMBED, *given) as (process, address):
        assert get(address, "/embed", {"inputs": "a"}, HANG)[0] == 200
        assert list(place.glob("litebert-*")), "the index of the questions, and the figures of all processes"
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG) == 0
        assert "Traceback" not in process.stderr.read() and not list(place.glob("litebert-*"))
