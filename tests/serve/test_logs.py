"""What clients send is in no line of the log, whatever route they ask and whatever goes wrong, unless that was asked for."""

import json
import logging
import re

import pytest

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from litebert.serve.app import make_app
from litebert.serve.logs import Lines
from litebert.serve.models import Models
from litebert.serve.settings import ServeSettings
from tests.serve.live import PATIENT, Echo
from tests.serve.test_paths import routes

SECRET = "xylophonequartz"
TEXT = f"My {SECRET} is [MASK] here. It is gone. {SECRET} again."

FIELDS = {
    "inputs": TEXT, "input": TEXT, "text": TEXT, "texts": [TEXT, "a"], "query": SECRET, "documents": [TEXT, "b"], "prompt": TEXT,
    "queries": TEXT, "question": TEXT, "context": TEXT, "options": [TEXT, "c"], "sentences": [TEXT, SECRET], "truncate": False,
    "ids": [5, 6], "turns": [{"role": "user", "text": TEXT}], "parameters": {"candidate_labels": [SECRET, "d"]},
}  # fmt: skip
"""What some route reads as a text, under every name that one has for it."""

BODIES = [
    {"inputs": TEXT}, {"inputs": [TEXT, SECRET]}, {"inputs": [[TEXT, SECRET]]}, {"inputs": {"question": SECRET, "context": TEXT}},
    {"inputs": {"source_sentence": TEXT, "sentences": [SECRET]}}, {"inputs": TEXT, "parameters": {SECRET: SECRET}},
    {"query": SECRET, "texts": [TEXT]}, {"query": SECRET, "documents": [TEXT], "model": "ranker", "rank_fields": [SECRET]},
    {"input": TEXT}, {"input": [TEXT], "model": SECRET}, {"texts": [TEXT], "embedding_types": [SECRET]}, {"prompt": TEXT},
    {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": [TEXT]}]},
    {"inputs": [{"name": SECRET, "datatype": SECRET, "shape": [2], "data": [TEXT]}]},
    {"inputs": [TEXT], "task": SECRET}, {"inputs": [TEXT], "options": {SECRET: TEXT}},
    {"text": TEXT, "mode": "order"}, {"question": SECRET, "options": [TEXT, SECRET]}, {"input": {"question": SECRET, "context": TEXT}},
    {"query": TEXT, "filter": SECRET}, {"turns": [{"role": "user", "text": TEXT}]}, FIELDS, [TEXT], TEXT,
]  # fmt: skip


def posted():
    """Return the paths that something can be posted to, with the names filled in."""
    names = {"name": "litebert-small-en", "task": "fill-mask"}
    paths = {path for path, method in routes() if method == "POST"}
    return sorted(re.sub(r"\{(\w+)[^}]*\}", lambda match: names.get(match[1], "1"), path) for path in paths)


@pytest.fixture(scope="module")
def asked(served):
    """A server that logs everything, around models that are loaded already; with its paths."""
    app = make_app(ServeSettings(**{**PATIENT, "log": "json"}), Models(served.state.engine.models.values()))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client, posted()


def everything(caplog, capfd):
    captured = capfd.readouterr()
    return "\n".join([captured.out, captured.err, caplog.text, *(str(r.__dict__) for r in caplog.records)])


def test_no_route_logs_what_it_was_sent(asked, caplog, capfd):
    client, paths = asked
    assert len(paths) > 40
    statuses = set()
    with caplog.at_level(logging.DEBUG):
        for number, path in enumerate(paths):
            bodies = [BODIES[(number + step) % len(BODIES)] for step in (0, 7, 13)]
            sent = [*(json.dumps(body).encode() for body in (FIELDS, *bodies)), f'{{"inputs": "{SECRET}'.encode()]
            for body in sent:
                headers = {"content-type": "application/json", "authorization": f"Bearer {SECRET}"}
                statuses.add(client.post(path, content=body, headers=headers).status_code)
    assert {200, 400, 422} <= statuses and max(statuses) < 500
    lines = [r for r in caplog.records if r.name == "litebert.serve.access"]
    assert len(lines) == 5 * len(paths) and {json.loads(r.getMessage())["path"] for r in lines} == set(paths)
    assert SECRET not in everything(caplog, capfd)


class Quoting(Echo):
    """Fails as libraries do: with what they choked on in the message."""

    def answer(self, task, records, options):
        raise KeyError(records[0].text)


def failing(where, monkeypatch):
    """Make a server fail at a place with a message that quotes the text."""
    if where == "the model":
        return Quoting()
    if where == "the tokenizer":
        monkeypatch.setattr(Echo, "tokens_of", lambda self, records: [{}[r.text] for r in records])
    else:
        monkeypatch.setattr("litebert.serve.routes.tei.window_cut", lambda *_: {}[SECRET])
    return Echo()


@pytest.mark.parametrize("where", ["the model", "the tokenizer", "the route"])
def test_a_failure_is_logged_with_its_place_and_not_with_its_message(where, monkeypatch, caplog, capfd):
    app = make_app(ServeSettings(log="text"), Models([failing(where, monkeypatch)]))
    with caplog.at_level(logging.DEBUG), TestClient(app) as client:
        answer = client.post("/embed", json={"inputs": SECRET})
        text = client.get("/metrics").text
    assert answer.status_code == 500 and SECRET not in answer.text and answer.headers["x-request-id"]
    found = everything(caplog, capfd)
    assert "KeyError" in found and ".py" in found and SECRET not in found
    assert 'code="500"' in text and 'code="0"' not in text


def test_texts_are_logged_where_that_was_asked_for(caplog):
    app = make_app(ServeSettings(log="json", log_inputs=True), Models([Echo()]))
    with caplog.at_level(logging.INFO), TestClient(app) as client:
        client.post("/embed", json={"inputs": SECRET})
    (line,) = [json.loads(r.getMessage()) for r in caplog.records if r.name == "litebert.serve.access"]
    assert json.loads(line["body"]) == {"inputs": SECRET}


def test_every_line_is_json_where_lines_are_json():
    formatter = Lines(as_json=True)
    access = logging.LogRecord("litebert.serve.access", logging.INFO, "", 0, "%s", ('{"status": 200}',), None)
    assert json.loads(formatter.format(access)) == {"status": 200}
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        failed = logging.LogRecord(
            "uvicorn.error", logging.ERROR, "", 0, "failed", (), (ValueError, error, error.__traceback__)
        )
    line = json.loads(formatter.format(failed))
    assert line["level"] == "error" and line["logger"] == "uvicorn.error" and "ValueError" in line["message"]
    assert "test_logs.py" in line["message"] and SECRET not in line["message"]
    assert Lines(as_json=False).format(access) == '{"status": 200}'
