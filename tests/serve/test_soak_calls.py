"""What the soak asks gets the status that it says, and is counted where it says: else a soak of many minutes would tell nothing."""

import importlib
import sys
from collections import Counter
from pathlib import Path

import pytest

from litebert.text import AlbertTokenizer

PROGRAMS = Path(__file__).parents[2] / "benchmarks"
NAMES = ("http_client", "traffic", "servers", "soak", "soak_calls", "results_folder")


@pytest.fixture
def soak(monkeypatch):
    for folder in (PROGRAMS, PROGRAMS / "serve"):
        monkeypatch.syspath_prepend(str(folder))
    for name in NAMES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module("soak")
    for name in NAMES:
        sys.modules.pop(name, None)


def sent(client, call):
    """Send a request of bytes by the tests' client."""
    head, _, body = call.request.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    method, path, _ = first.split(" ")
    headers = dict(line.split(": ", 1) for line in lines)
    return client.request(method, path, content=body, headers=headers).status_code


def test_calls_get_the_status_they_say(soak, client):
    traffic = importlib.import_module("traffic")
    offered = client.get("/litebert/v1/models").json()
    tasks = {model["name"]: [one["task"] for one in model["tasks"]] for model in offered["models"]}
    asked = traffic.mix(AlbertTokenizer.bundled(), 40)
    found = soak.calls(tasks, asked, faq=False, each=1)
    before = soak.counters(client.get("/metrics").text)
    got = [(call, sent(client, call)) for call in found]
    assert [f"{call.route} {status} for {call.status}" for call, status in got if status != call.status] == []
    after = soak.counters(client.get("/metrics").text)
    counts = Counter((call.route, status) for call, status in got)
    assert soak.differences(before, after, counts, {}) == {}
    assert {status for _, status in got} == {200, 400, 404, 405, 413, 422} and len({call.route for call in found}) > 35
