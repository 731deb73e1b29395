"""A server in a process of its own, for what only a process shows: signals, sockets, the end."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from urllib.error import URLError
from urllib.request import Request, urlopen


def get(address, path, body=None, timeout=20, headers=None):
    """Return status and text."""
    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(
            Request(address + path, data, {"content-type": "application/json", **(headers or {})}), timeout=timeout
        ) as answer:
            return answer.status, answer.read().decode()
    except URLError as error:
        if hasattr(error, "code"):
            return error.code, error.read().decode()
        raise


@contextmanager
def serving(*arguments, environment=None, terminal=False):
    """Start ``litebert serve`` on a free port, with ``terminal`` in a session of its own; yields the process and its address."""
    command = [sys.executable, "-m", "litebert", "serve", *arguments, "--port", "0", "--json"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})},
        start_new_session=terminal,
    )  # fmt: skip
    try:
        line = process.stdout.readline()
        if not line:
            raise AssertionError(process.stderr.read())
        address = json.loads(line)["data"]["address"]
        while get(address, "/readyz", timeout=600)[0] != 200:
            time.sleep(0.05)
        yield process, address
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
