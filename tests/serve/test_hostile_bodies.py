"""Bodies that nobody means well: each is answered, by an error of the protocol's shape if it is one, never by a 5xx, and in time."""

import gzip
import json
from importlib import import_module

import pytest

pytest.importorskip("fastapi")

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from litebert.serve.app import FAMILIES
from litebert.serve.wire_errors import is_openai

TEXTS = ["a dog", "rain"]
VALID = {
    "/": {"inputs": TEXTS, "truncate": True, "dimensions": 4, "model": "litebert-small-en-embed"},
    "/embed": {"inputs": TEXTS, "truncate": True, "truncation_direction": "left", "normalize": True, "dimensions": 4},
    "/embed_all": {"inputs": TEXTS, "truncate": True, "truncation_direction": "left", "model": "general"},
    "/embed_sparse": {"inputs": TEXTS},
    "/predict": {"inputs": [["a", "b"], ["c"]], "raw_scores": True, "truncate": False, "model": "mood"},
    "/rerank": {"query": "q", "texts": TEXTS, "return_text": True, "raw_scores": True, "top_n": 1, "truncate": True},
    "/similarity": {"inputs": {"source_sentence": "a", "sentences": TEXTS}, "parameters": {"truncate": True}},
    "/tokenize": {"inputs": TEXTS, "add_special_tokens": False},
    "/decode": {"ids": [[2, 45, 3]], "skip_special_tokens": False},
    "/v1/embeddings": {"input": TEXTS, "dimensions": 4, "encoding_format": "base64", "user": "u"},
    "/v1/rerank": {"query": "q", "documents": [{"text": "a", "n": 1}], "max_tokens_per_doc": 5, "rank_fields": ["text", "n"]},
    "/v2/rerank": {"query": "q", "documents": TEXTS, "top_n": 1, "max_tokens_per_doc": 5, "model": "ranker"},
    "/v2/embed": {
        "texts": TEXTS, "embedding_types": ["int8", "base64"], "output_dimension": 8, "max_tokens": 3, "truncate": "START",
    },
    "/classify": {"input": TEXTS, "model": "value"},
    "/score": {"queries": ["q"], "documents": TEXTS},
    "/pooling": {"input": TEXTS, "task": "token_embed", "encoding_format": "base64", "dimensions": 4},
    "/infinity/embeddings": {"input": TEXTS, "dimensions": 0, "encoding_format": "float", "modality": "text"},
    "/infinity/rerank": {"query": "q", "documents": TEXTS, "top_n": 1, "return_documents": True, "raw_scores": True},
    "/infinity/classify": {"input": TEXTS, "raw_scores": True, "model": "topics"},
    "/v2/models/general/infer": {
        "inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a [MASK]"]}], "outputs": [{"name": "score"}],
        "id": "1", "parameters": {"task": "fill-mask", "top_k": 2, "timeout": 10_000_000},
    },
    "/v2/models/multiple/versions/1/infer": {
        "inputs": [{"name": n, "shape": s, "datatype": "BYTES", "data": d} for n, s, d in (
            ("question", [1], ["q"]), ("options", [1, 2], ["a", "b"]), ("context", [1], ["c"]),
        )],
    },
    "/fill-mask": {"inputs": "a [MASK]", "parameters": {"top_k": 2, "targets": ["▁a"]}},
    "/text-classification": {"inputs": [{"text": "a", "text_pair": "b"}], "parameters": {"top_k": 2, "function_to_apply": "softmax"}},
    "/token-classification": {"inputs": TEXTS, "parameters": {"aggregation_strategy": "none", "ignore_labels": ["O"], "stride": 1}},
    "/question-answering": {
        "inputs": {"question": "q", "context": "a b c"},
        "parameters": {"top_k": 3, "handle_impossible_answer": False, "max_answer_len": 4, "align_to_words": True},
    },
    "/zero-shot-classification": {"inputs": TEXTS, "parameters": {"candidate_labels": ["x", "y"], "hypothesis_template": "{}!"}},
    "/summarization": {"inputs": "A b. C d. E f.", "parameters": {"generate_parameters": {"sentences": 2}}, "model": "general"},
    "/sentence-similarity": {"inputs": {"source_sentence": "a", "sentences": TEXTS}, "parameters": None},
    "/feature-extraction": {"inputs": TEXTS, "parameters": {"truncate": True, "dimensions": 4}, "normalize": True},
    "/models/mood": {"inputs": TEXTS, "parameters": {"top_k": 1}},
    "/models/names/pipeline/token-classification": {"inputs": TEXTS, "parameters": {}},
    "/pipeline/fill-mask": {"inputs": "a [MASK]", "parameters": {"top_k": 2}},
    "/litebert/v1/ask": {
        "task": "fill-mask", "inputs": ["a [MASK]"], "options": {"top_k": 2, "first_piece": False, "whole_words": False},
        "model": "general",
    },
    "/litebert/v1/coherence": {"mode": "drift", "sentences": ["A.", "B.", "C."], "width": 1, "measure": "words", "strictness": 0.5},
    "/litebert/v1/choice": {"question": "q", "options": TEXTS, "context": "c"},
    "/litebert/v1/explain": {"input": {"text": "a"}, "task": "classify", "label": "neg", "baseline": "pad", "steps": 2},
    "/litebert/v1/search": {
        "query": "when", "index": "faq", "top_k": 2, "mode": "both", "filter": "answer == 'x'", "rerank": False, "per_document": True,
        "dense_weight": 0.3,
    },
    "/litebert/v1/faq": {"question": "when", "index": "faq", "top_k": 2, "filter": None},
    "/litebert/v1/chat": {"turns": [{"role": "user", "text": "when"}], "index": "faq", "top_k": 2},
}  # fmt: skip
"""A body for each path, with every field that it knows."""

OPTIONS = {
    "embed": {"size": 4, "number_type": "int8"},
    "zero-shot-classification": {"labels": ["x", "y"], "template": "{}"},
    "coherence": {"mode": "order", "width": 1, "measure": "vectors", "strictness": 1.0},
    "summarize": {
        "sentences": 1,
        "method": "graph",
        "query": "q",
        "ratio": None,
        "words": None,
        "damping": 0.5,
        "diversity": 0.1,
    },
    "fill-mask": {"top_k": 2, "targets": ["▁a"], "whole_words": True},
}
CASES = [*VALID.items()] + [
    ("/litebert/v1/ask", {"task": task, "inputs": [["A b. C.", "d"]] if task == "embed" else ["A [MASK]. C. D."], "options": options})
    for task, options in OPTIONS.items()
]  # fmt: skip


def test_every_path_that_is_posted_to_has_a_body_here():
    routes = [r for family in FAMILIES for r in import_module(f"litebert.serve.routes.{family}").router.routes]
    posted = {r.path_format: r for r in routes if "POST" in r.methods}
    aliases = {"/invocations", "/embeddings", "/v1/score", "/openai/v1/embeddings", "/openai/v1/rerank"}
    left_out = [
        path for path, r in posted.items() if path not in aliases and not any(r.path_regex.match(p) for p in VALID)
    ]
    assert left_out == []


@pytest.mark.parametrize(("path", "body"), VALID.items())
def test_the_bodies_are_answered(small, path, body):
    """Else what follows would look at refusals alone."""
    answer = small.ask(path, json.dumps(body).encode())
    assert answer.status == (422 if path == "/embed_sparse" else 200), answer.body[:300]


def check(answer, path):
    """Look at what must hold of every answer."""
    assert 200 <= answer.status < 500, (path, answer.status, answer.body[:300])
    assert answer.headers["content-type"] == "application/json" and answer.headers["x-request-id"]
    assert b"Traceback" not in answer.body and b'.py"' not in answer.body
    said = answer.json()
    if answer.status >= 400:
        message = said["error"]["message"] if is_openai(path) else said["error"]
        assert 0 < len(message) < 1600 and (is_openai(path) or said["detail"] == message == said["message"])
    return answer


# --- Fields ---------------------------------------------------------------------------------------------------------------

DEPTHS = (5, 100, 250, 500, 880, 940, 100_000)
FRAGMENTS = st.one_of(
    st.sampled_from(["null", "true", "NaN", "-Infinity", "1e999", "-0.0", "0", "-1", "1.5", '""', "[]", "{}", "[[]]", '[""]']),
    st.integers(1, 4290).map(lambda digits: "9" * digits),
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(DEPTHS).flatmap(lambda n: st.sampled_from(["[" * n + "]" * n, '{"a":' * n + "1" + "}" * n, "[" * n])),
    st.sampled_from(['"\\ud800"', '"\\udfff\\ud800x"', '"\\u0000"', '["a\\ud800", "\\u0000"]', '{"\\ud800": 1}', '"\\u202e\\ufeff"']),
    st.text(st.characters(exclude_categories=()), max_size=40).map(json.dumps),
    st.sampled_from([("a", 60_000), ("[MASK]", 3000), ("a. ", 20_000), ("漢", 30_000), ("\u0301", 30_000), (" ", 100_000)]).map(
        lambda one: json.dumps(one[0] * one[1])
    ),
    st.sampled_from(['""', "1", "{}", "[]", "1.5", '["a", "b"]', "null"]).map(lambda one: f"[{','.join([one] * 2100)}]"),
    st.just("{" + ",".join(f'"f{i}": {i}' for i in range(300)) + "}"),
)  # fmt: skip


def places(body, before=()):
    """Yield where each value of a body stands, those of its objects and lists included."""
    inner = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for name, value in inner:
        yield (*before, name)
        yield from places(value, (*before, name))


PLACES = [(path, body, place) for path, body in CASES for place in places(body)]
MARK = "\x01here\x01"


def with_fragment(body, place, fragment):
    """Return JSON with something else at a place."""
    copy = json.loads(json.dumps(body))
    inner = copy
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = MARK
    return json.dumps(copy).replace(json.dumps(MARK), fragment).encode()


def hostile(examples):
    """Return how many bodies are tried."""
    return settings(
        max_examples=examples, derandomize=True, database=None, deadline=None, phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


def try_fields(small, examples):
    @hostile(examples)
    @given(st.sampled_from(PLACES), FRAGMENTS)
    def ask(one, fragment):
        path, body, place = one
        check(small.ask(path, with_fragment(body, place, fragment)), path)

    ask()


def test_anything_in_place_of_any_field(small):
    try_fields(small, 120)


@pytest.mark.slow
def test_anything_in_place_of_any_field_at_length(small):
    try_fields(small, 5_000)


@pytest.mark.parametrize(
    ("path", "body", "place", "fragment"),
    [
        ("/v2/models/general/infer", VALID["/v2/models/general/infer"], ("parameters", "timeout"), "9" * 400),
        ("/litebert/v1/ask", CASES[-4][1], ("options", "labels"), "5"),
        ("/v1/rerank", VALID["/v1/rerank"], ("documents", 0, "n"), "[" * 900 + "]" * 900),
        ("/question-answering", VALID["/question-answering"], ("parameters", "max_answer_len"), "9" * 30),
        ("/fill-mask", {"inputs": "a [MASK] " * 300, "parameters": {"top_k": 5}}, ("parameters", "top_k"), "30000"),
    ],
)
def test_fields_that_were_too_much_once(small, path, body, place, fragment):
    assert check(small.ask(path, with_fragment(body, place, fragment)), path).status in (200, 400, 422)


# --- Whole bodies ---------------------------------------------------------------------------------------------------------

WHOLE = {
    "nothing": b"", "blank": b" " * 10_000, "null": b"null", "a number": b"1", "a text": b'"a"', "a list": b"[]", "empty": b"{}",
    "broken": b'{"inputs": ', "deep": b"[" * 100_000, "deep objects": b'{"inputs":' * 50_000, "not UTF-8": b'{"inputs": "\xff\xfe"}',
    "UTF-16": '{"inputs": "a"}'.encode("utf-16"), "a mark": b'\xef\xbb\xbf{"inputs": "a"}', "NUL": b"\x00" * 100,
    "a large number": b'{"inputs": ' + b"1" * 5000 + b"}", "two of a name": b'{"inputs": "a", "inputs": 1, "input": "a", "input": []}',
    "many fields": b"{" + b",".join(b'"f%d": 1' % i for i in range(50_000)) + b"}",
}  # fmt: skip


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_bodies(small, kind):
    for path in VALID:
        check(small.ask(path, WHOLE[kind]), path)


@given(st.binary(max_size=200), st.sampled_from(sorted(VALID)))
@hostile(150)
@example(b"\x80", "/embed")
def test_any_bytes(small, content, path):
    check(small.ask(path, content), path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"{'inputs': 1}",
            "the body is not JSON: Expecting property name enclosed in double quotes at line 1, column 2",
        ),
        (b'{\n  "inputs": oh\n}', "the body is not JSON: Expecting value at line 2, column 13"),
        (b'{"inputs": "\xff"}', "the body is not UTF-8: byte 12 is 0xff"),
        (b"[" * 100_000, "the body is nested too deeply"),
        (b"", "a body is needed"),
    ],
)
def test_what_is_wrong_with_a_body_is_told(small, content, said):
    answer = check(small.ask("/embed", content), "/embed")
    assert answer.status == 422 and answer.json()["error"].startswith(said)
    assert check(small.ask("/v1/embeddings", content), "/v1/embeddings").status == 400


# --- More than is taken ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "before", "item", "after"),
    [
        ("/embed", '{"inputs": [', '""', "]}"), ("/embed", '{"inputs": [', "1.5", "]}"), ("/embed", '{"inputs": [', "{}", "]}"),
        ("/embed", '{"inputs": [', "99999", "]}"), ("/embed", '{"inputs": [', "[]", "]}"),
        ("/embed", '{"truncate": true, "inputs": [', '"a"', "]}"),
        ("/predict", '{"model": "mood", "inputs": [', '["a"]', "]}"), ("/predict", '{"inputs": [', "[1]", "]}"),
        ("/decode", '{"ids": [', "[]", "]}"), ("/decode", '{"ids": [', "99999", "]}"),
        ("/tokenize", '{"inputs": [', '""', "]}"),
        ("/rerank", '{"query": "q", "texts": [', '""', "]}"), ("/rerank", '{"query": "q", "documents": [', "[]", "]}"),
        ("/v2/rerank", '{"query": "q", "documents": [', '{"text":""}', "]}"),
        ("/v2/embed", '{"texts": ["a"], "embedding_types": [', '"base64"', "]}"),
        ("/v1/rerank", '{"query": "q", "documents": ["a"], "rank_fields": [', '"text"', "]}"),
        ("/v1/embeddings", '{"input": [', "null", "]}"), ("/score", '{"queries": "q", "documents": [', '""', "]}"),
        ("/infinity/classify", '{"model": "mood", "input": [', '""', "]}"),
        ("/v2/models/general/infer", '{"inputs": [', "{}", "]}"),
        ("/v2/models/general/infer", '{"inputs": [{"name": "text", "datatype": "BYTES", "data": ["a"], "shape": [', "9999999", "]}]}"),
        ("/fill-mask", '{"inputs": "a [MASK]", "parameters": {"targets": [', '"a"', "]}}"),
        ("/token-classification", '{"inputs": "a", "parameters": {"ignore_labels": [', '"O"', "]}}"),
        ("/text-classification", '{"inputs": [', "{}", "]}"), ("/question-answering", '{"inputs": [', "{}", "]}"),
        ("/litebert/v1/ask", '{"model": "mood", "inputs": [', '""', "]}"),
        ("/litebert/v1/ask", '{"model": "mood", "inputs": [', "{}", "]}"),
        ("/litebert/v1/chat", '{"turns": [', "{}", "]}"),
    ],
)  # fmt: skip
def test_long_lists_are_refused_in_a_few_words(small, path, before, item, after):
    """In place of one error for each of their entries, or of what a short list is asked for, a million times."""
    count = 250_000 // len(item)
    answer = check(small.ask(path, f"{before}{','.join([item] * count)}{after}".encode()), path)
    assert answer.status in (400, 422) and len(answer.body) < 6000


def test_an_output_named_twice_is_sent_once(small):
    body = VALID["/v2/models/general/infer"] | {"outputs": [{"name": "score"}] * 1000}
    assert len(small.ask("/v2/models/general/infer", json.dumps(body).encode()).json()["outputs"]) == 1


@pytest.mark.parametrize("path", ["/embed", "/v1/embeddings", "/v2/embed"])
def test_chunks_beyond_the_limit_are_refused(small, path):
    chunk = b" " * 2**20
    answer = check(small.ask(path, *[chunk] * 9), path)
    assert answer.status == 413 and answer.headers["connection"] == "close"
    assert check(small.ask(path, b'{"inputs": ', b'"a", "input": "a", "texts": ["a"]', b"}"), path).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "image/png"}, 422), ({"content-type": "multipart/form-data; boundary=x"}, 422),
        ({"content-type": "a" * 999}, 422),
        ({"content-type": "application/json; charset=utf-16"}, 200), ({"content-type": "application/vnd.api+json"}, 200), ({}, 200),
        ({"content-length": "9" * 5000}, 413), ({"content-length": "-1"}, 200), ({"x-request-timeout-ms": "9" * 5000}, 200),
        ({"x-request-id": "\r\n" * 9}, 200),
    ],
)  # fmt: skip
def test_headers(small, headers, status):
    headers = {"content-type": "application/json"} | headers if headers else {}
    answer = check(small.ask("/embed", b'{"inputs": "a"}', headers=headers), "/embed")
    assert answer.status == status
    if status == 422:
        assert answer.json()["error"].startswith(f"the body is {headers['content-type'][:20]}")


@pytest.mark.parametrize("how", ["gzip", "br", "deflate, gzip", "x" * 999])
def test_compressed_bodies_are_refused(small, how):
    content = gzip.compress(b'{"inputs": "a"}')
    answer = check(small.ask("/embed", content, headers={"content-encoding": how}), "/embed")
    assert (
        answer.status == 415
        and "compressed" in answer.json()["error"]
        and answer.headers["accept-encoding"] == "identity"
    )
    plain = {"content-encoding": "identity", "content-type": "application/json"}
    assert check(small.ask("/embed", b'{"inputs": "a"}', headers=plain), "/embed").status == 200


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "x", "3", "20"])
def test_the_length_of_the_json_before_tensors(small, length):
    headers = {"inference-header-content-length": length}
    path = "/v2/models/mood/infer"
    assert check(small.ask(path, b'{"inputs": []}\x00\x00', headers=headers), path).status == 400
