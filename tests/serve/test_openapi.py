"""The OpenAPI document is valid, and kept to: what is sent has the status, type, headers and fields that it tells, whatever is asked.

Questions are made from the document itself by schemathesis, such as fit it and such as do not.
"""

import time
from importlib import import_module

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("schemathesis")

import openapi_spec_validator
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from litebert.serve.app import FAMILIES, make_app
from litebert.serve.models import Models
from litebert.serve.settings import ServeSettings
from tests.serve.live import Echo

FIT, UNFIT = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance, response_schema_conformance,
]  # fmt: skip
TASKS = ("fill-mask", "text-classification", "token-classification", "question-answering", "summarization", "nothing")


def operations():
    """Method and path of everything that is documented."""
    routes = [route for family in FAMILIES for route in import_module(f"litebert.serve.routes.{family}").router.routes]
    return sorted((m.lower(), r.path_format) for r in routes if r.include_in_schema for m in r.methods if m != "HEAD")


OPERATIONS = operations()
QUESTIONS = [(FIT, *one) for one in OPERATIONS] + [(UNFIT, *one) for one in OPERATIONS if one[0] == "post"]


@pytest.fixture(scope="module")
def document(small):
    return small.ask("/openapi.json", method="GET").json()


@pytest.fixture(scope="module")
def schema(document):
    return schemathesis.openapi.from_dict(document)


def test_the_document_is_openapi(document):
    openapi_spec_validator.validate(document)
    assert document["openapi"].startswith("3.1")
    assert sorted((method, path) for path, item in document["paths"].items() for method in item) == OPERATIONS


def test_every_answer_has_a_schema(document):
    """No answer of any status is documented as just anything."""
    empty = [
        (method, path, status)
        for path, item in document["paths"].items()
        for method, told in item.items()
        for status, response in told["responses"].items()
        for one in response["content"].values()
        if not one.get("schema")
    ]
    assert empty == []


@pytest.mark.parametrize(
    ("path", "statuses", "shape"),
    [
        ("/embed", {"400", "404", "408", "413", "415", "422", "429", "500", "501", "503", "504"}, "ProtocolError"),
        ("/v1/embeddings", {"400", "404", "408", "413", "415", "429", "500", "501", "503", "504"}, "OpenAIError"),
        ("/infinity/rerank", {"400", "404", "408", "413", "415", "429", "500", "501", "503", "504"}, "OpenAIError"),
        ("/v2/rerank", {"400", "404", "408", "413", "415", "429", "500", "501", "503", "504"}, "ProtocolError"),
    ],
)
def test_errors_are_told_as_each_protocol_has_them(document, path, statuses, shape):
    responses = dict(document["paths"][path]["post"]["responses"])
    assert responses.pop("200") and set(responses) == statuses
    shapes = {one["content"]["application/json"]["schema"]["$ref"] for one in responses.values()}
    assert shapes == {f"#/components/schemas/{shape}"}
    assert responses["429"]["headers"]["retry-after"]["required"]
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_keys_are_told_where_they_are_needed(document):
    assert "securitySchemes" not in document["components"]
    keyed = make_app(ServeSettings(log="off", api_keys=("secret",)), Models([Echo()])).openapi()
    assert keyed["paths"]["/embed"]["post"]["security"] and "401" in keyed["paths"]["/embed"]["post"]["responses"]
    assert "security" not in keyed["paths"]["/metrics"]["get"]
    assert set(keyed["components"]["securitySchemes"]) == {"bearer", "x-api-key", "api-key"}


@pytest.mark.parametrize(("kind", "method", "path"), QUESTIONS)
def test_what_is_sent_is_what_is_told(small, schema, kind, method, path):
    hold(small, schema[path][method], kind, examples=3)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "method", "path"), QUESTIONS)
def test_what_is_sent_is_what_is_told_at_length(small, schema, kind, method, path):
    hold(small, schema[path][method], kind, examples=300)


def hold(small, operation, kind, examples):
    """Hold answers of an operation against the document."""
    limits = settings(
        max_examples=examples, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip

    @limits
    @given(operation.as_strategy(generation_mode=kind), st.data())
    def ask(case, data):
        if kind is FIT:
            name_what_there_is(case, data, small.models)
        answer = send(small, case)
        case.validate_response(answer, checks=CHECKS)
        assert b"Traceback" not in answer.content

    ask()


def name_what_there_is(case, data, models):
    """Put names of models and tasks in place of any letters, so that more than names is looked at."""
    one = st.sampled_from(models)
    for place, names in (("name", one), ("task", st.sampled_from(TASKS)), ("version", st.sampled_from(["1", "2"]))):
        if place in (case.path_parameters or {}):
            case.path_parameters[place] = data.draw(names)
    for where in (case.query, case.body):
        if isinstance(where, dict) and "model" in where:
            where["model"] = data.draw(st.none() | one)
            if where["model"] is None:
                del where["model"]


def send(small, case):
    """Ask what a case asks; return the answer as schemathesis reads it."""
    parts = case.as_transport_kwargs(base_url="http://testserver")
    sent = requests.Request(**{key: parts[key] for key in parts if key in REQUEST}).prepare()
    body = sent.body.encode() if isinstance(sent.body, str) else sent.body or b""
    started = time.monotonic()
    found = small.ask(sent.path_url, body, method=sent.method, headers=sent.headers)
    headers = {name: [value] for name, value in found.headers.items()}
    return schemathesis.Response(found.status, headers, found.body, sent, time.monotonic() - started, False)


REQUEST = ("method", "url", "headers", "data", "json", "params", "files", "cookies")
