"""The server as a process: started, asked, refused, ended."""

import signal
import socket
import threading
import time
from contextlib import suppress

import pytest

from litebert.cli.main import run
from tests.serve.processes import get, serving

EMBED = "litebert-small-en-embed"


@pytest.fixture(scope="module")
def server():
    with serving(EMBED, "--set", "read_timeout=0.5", "--log", "off") as found:
        yield found


def test_it_answers_and_tells_how_it_is(server):
    _, address = server
    status, text = get(address, "/embed", {"inputs": "Hello", "dimensions": 3})
    assert status == 200 and text.startswith("[[") and text.count(",") == 2
    assert get(address, "/livez")[0] == get(address, "/health")[0] == 200


def connected(address):
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=5)


@pytest.mark.parametrize(
    "sent",
    [b"", b"POST /embed HTTP/1.1\r\nhost: x\r\n", b"POST /embed HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{"],
)
def test_who_sends_nothing_more_is_let_go(server, sent):
    _, address = server
    with connected(address) as sock:
        sock.sendall(sent)
        started, got = time.monotonic(), b""
        while piece := sock.recv(4096):
            got += piece
        assert 0.3 < time.monotonic() - started < 4
    assert not got or b"408" in got.split(b"\r\n")[0]
    assert get(address, "/livez")[0] == 200


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


def test_sigterm_finishes_what_was_taken_and_says_so_before():
    patient = ("--set", "drain_delay=0.6", "--set", "max_queue_ms=60000")
    with serving(EMBED, *patient, "--log", "off") as (process, address):
        texts = [f"sentence number {i} of a long list that takes its time" for i in range(2000)]
        answers = []
        asking = [
            threading.Thread(target=lambda: answers.append(get(address, "/embed", {"inputs": texts})[0]))
            for _ in range(2)
        ]
        for thread in asking:
            thread.start()
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert get(address, "/readyz")[0] == 503 and get(address, "/livez")[0] == 200
        assert get(address, "/embed", {"inputs": "still here"})[0] == 200
        for thread in asking:
            thread.join(30)
        assert answers == [200, 200]
        assert process.wait(20) == 0
        with pytest.raises(OSError, match="refused"):
            get(address, "/livez")


def test_ctrl_c_ends_it_at_once_and_well():
    with serving(EMBED, "--log", "off") as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert "Traceback" not in process.stderr.read()


def test_several_processes_add_up_their_figures():
    with serving(EMBED, "--workers", "2", "--log", "off") as (process, address):
        for _ in range(12):
            assert get(address, "/embed", {"inputs": "Hello", "dimensions": 2})[0] == 200
        text = get(address, "/metrics")[1]
        counted = [
            line for line in text.splitlines() if line.startswith("litebert_requests_total{") and '"/embed"' in line
        ]
        assert sum(float(line.split()[-1]) for line in counted) == 12
        process.send_signal(signal.SIGTERM)
        process.wait(20)


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
