"""Servers as processes of their own on free ports, started until they answer and ended again."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from traffic import RESOURCES

OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "INFINITY_ANONYMOUS_USAGE_STATS": "0",
}
PATIENCE = 300.0
"""Seconds that a server has until it answers."""


@dataclass(frozen=True)
class Server:
    """A server that answers.

    Attributes:
        name: In the results.
        port: On this machine.
        process: Its process.
    """

    name: str
    port: int
    process: subprocess.Popen[bytes]


@contextmanager
def running(
    name: str, command: Sequence[str], port: int, ready: str, body: Mapping[str, Any] | None = None
) -> Iterator[Server]:
    """Start a server, wait until it answers, and end it afterwards.

    Args:
        name: In the results and in what is said if it does not start.
        command: That starts it.
        port: That it listens on.
        ready: Path that is asked until the answer is 200.
        body: Posted there; None: GET.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **OFFLINE})
        try:
            _wait(name, process, log, port, ready, body)
            yield Server(name, port, process)
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(
    name: str, process: subprocess.Popen[bytes], log: Any, port: int, ready: str, body: Mapping[str, Any] | None
) -> None:
    end = time.monotonic() + PATIENCE
    while status(port, ready, body) != 200:
        if process.poll() is not None or time.monotonic() > end:
            log.seek(0)
            said = log.read().decode("utf-8", "replace")[-3000:]
            raise SystemExit(f"{name} has not started (exit status {process.poll()}):\n{said}")
        time.sleep(0.1)


def status(port: int, path: str, body: Mapping[str, Any] | None = None) -> int:
    """Return the status of an answer; 0 where nobody answers."""
    return asked(port, path, body)[0]


def asked(port: int, path: str, body: Mapping[str, Any] | None = None, timeout: float = 60.0) -> tuple[int, bytes]:
    """Return status and body of an answer; status 0 where nobody answers."""
    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(
            Request(f"http://127.0.0.1:{port}{path}", data, {"content-type": "application/json"}), timeout=timeout
        ) as answer:
            return int(answer.status), answer.read()
    except URLError as error:
        return int(getattr(error, "code", 0)), b""
    except OSError:
        return 0, b""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def litebert_command(
    models: Sequence[str], port: int, settings: Sequence[str] = (), options: Sequence[str] = ()
) -> list[str]:
    """Return the command that serves models with settings ``NAME=VALUE`` and further options."""
    given = [part for setting in ("drain_delay=0", *settings) for part in ("--set", setting)]
    return [sys.executable, "-m", "litebert", "serve", *models, "--port", str(port), "--log", "off", *given, *options]


def folder_of(model: str) -> Path:
    """Return the folder of a bundled model, or the one named."""
    bundled = RESOURCES / "models" / model
    found = bundled if bundled.is_dir() else Path(model)
    if not (found / "config.json").is_file():
        raise SystemExit(f"there is no model at {model}: name a bundled one or a folder")
    return found


def with_window(model: Path, place: Path, length: int) -> Path:
    """Return a copy of an embedder that reads so many tokens at once, in the files of every library that loads it."""
    out = Path(shutil.copytree(model, place / model.name))
    for name, where in (("litebert.json", ("text", "max_length")), ("sentence_bert_config.json", ("max_seq_length",))):
        file = out / name
        data = json.loads(file.read_text())
        *path, last = where
        part = data
        for step in path:
            part = part[step]
        part[last] = length
        file.write_text(json.dumps(data, indent=2) + "\n")
    return out
