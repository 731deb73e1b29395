"""The server as a process: started, asked, refused, ended."""

import os
import platform
import signal
import socket
import subprocess
import sys
from contextlib import suppress

import pytest

from litebert.cli.main import run
from tests.serve.live import HANG, Later, figures_of, wait_until
from tests.serve.processes import get, serving

EMBED = "litebert-small-en-embed"


@pytest.fixture(scope="module")
def server():
    with serving(EMBED, "--log", "off") as found:
        yield found


def test_it_answers_and_tells_how_it_is(server):
    _, address = server
    status, text = get(address, "/embed", {"inputs": "Hello", "dimensions": 3})
    assert status == 200 and text.startswith("[[") and text.count(",") == 2
    assert get(address, "/livez")[0] == get(address, "/health")[0] == 200


def connected(address):
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=HANG)


def test_a_body_that_is_too_large_is_refused_before_it_is_read(server):
    _, address = server
    with connected(address) as sock:
        sock.sendall(b"POST /embed HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999\r\n\r\n")
        assert b" 413 " in sock.recv(4096).split(b"\r\n")[0]
    with connected(address) as sock:
        sock.sendall(b"POST /embed HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        with suppress(OSError):  # it hangs up while we still send
            for _ in range(12):
                sock.sendall(chunk)
        got = sock.recv(4096)
    assert b" 413 " in got.split(b"\r\n")[0]


def waiting(address):
    """Return how many texts wait."""
    found = figures_of(get(address, "/metrics")[1])
    return found["litebert_waiting_inputs"]


def test_sigterm_under_load_loses_no_request_that_was_taken():
    patient = ("--set", "drain_delay=0.5", "--set", "max_queue_ms=600000", "--set", f"request_timeout={HANG}")
    patient = (*patient, "--set", f"shutdown_timeout={HANG}", "--log", "off")
    with serving(EMBED, *patient) as (process, address):
        texts = [f"sentence number {i} of a long list that takes its time" for i in range(2000)]
        asking = [Later(lambda: get(address, "/embed", {"inputs": texts}, HANG)[0]) for _ in range(2)]
        wait_until(lambda: waiting(address) > 1000, "the load")
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: refused(address), "the end of taking more")
        assert [one.result() for one in asking] == [200, 200]
        assert process.wait(HANG) == 0


def refused(address):
    """Ask for something small; return whether it was refused, which it may be in one way only, or because nobody is there any more."""
    try:
        status, text = get(address, "/embed", {"inputs": "a"}, HANG)
    except OSError:
        return True
    assert status == 200 or (status == 503 and "shutting down" in text)
    return status == 503


def test_ctrl_c_ends_it_at_once_and_well():
    with serving(EMBED, "--log", "off") as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG) == 0
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "nothing to serve"),
        ([EMBED, "--host", "0.0.0.0"], 2, "there is no key"),
        (["no-such-model"], 2, "no-such-model"),
        ([EMBED, "--set", "max_queue=3"], 2, "max_queue_ms"),
        ([EMBED, "--api-key-file", "/no/such/file"], 3, "cannot read the keys"),
    ],
)
def test_wrong_calls(arguments, code, says, capsys):
    assert run(["serve", *arguments]) == code
    assert says in capsys.readouterr().err


def test_a_port_that_is_taken(capsys):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        assert run(["serve", EMBED, "--port", str(sock.getsockname()[1])]) == 1
    assert "cannot listen" in capsys.readouterr().err


_ARENAS = """
import ctypes, sys, threading
from litebert.serve.server import prepare_process
from litebert.serve.settings import ServeSettings

prepare_process(ServeSettings(log="off"))
library = ctypes.CDLL(None)
library.malloc.restype, library.fopen.restype = ctypes.c_void_p, ctypes.c_void_p
together = threading.Barrier(12)

def allocate():
    together.wait()
    library.malloc(ctypes.c_size_t(1000))
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(12)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
stream = ctypes.c_void_p(library.fopen(sys.argv[1].encode(), b"w"))
library.malloc_info(0, stream)
library.fclose(stream)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no arenas")
def test_threads_share_two_arenas(tmp_path):
    """Each keeps what it once had: a server would grow by 64 MB whenever some thread comes to a new one."""
    environment = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    counts = []
    for given in ({}, {"MALLOC_ARENA_MAX": "5"}):
        told = tmp_path / "told.xml"
        subprocess.run([sys.executable, "-c", _ARENAS, told], check=True, env={**environment, **given})
        counts.append(told.read_text().count("<heap nr="))
    assert counts[0] <= 2 < counts[1] <= 5, "who sets it is heeded"
