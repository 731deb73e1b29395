"""Our own routes: what is sent is what the OpenAPI document says; the rest is checked against the library itself."""

import pytest

pytest.importorskip("lancedb")

from litebert.cli.main import run
from litebert.errors import DataError, UsageError
from litebert.serve.app import make_app
from litebert.serve.routes import native_answers as wire
from litebert.serve.settings import ServeSettings
from tests.serve.conftest import GENERAL, VECTORS

V1 = "/litebert/v1/"
ADULT, CHILD, DOG = (
    "How much does a ticket for an adult cost?",
    "How much does a ticket for a child cost?",
    "Can I bring my dog?",
)
FAQ = [
    (ADULT, "12 francs.", "prices"), (CHILD, "6 francs.", "prices"), ("When does the museum open?", "At ten.", "visit"),
    ("Is the museum open on Mondays?", "No.", "visit"), (DOG, "Guide dogs only.", "rules"),
    ("May I take photographs?", "Without flash.", "rules"), ("Where can I park my car?", "Below the square.", "visit"),
    ("How do I book a guided tour?", "Write to us.", "tours"), ("Is there a cloakroom?", "In the basement.", "visit"),
    ("Do you sell gift vouchers?", "At the desk.", "shop"), ("Which language are the labels in?", "English.", "visit"),
    ("Are there lockers for luggage?", "Small ones.", "visit"),
]  # fmt: skip
INPUTS = {
    "fill-mask": [["The [MASK] barked.", "A [MASK] and a [MASK]."], {"top_k": 2}],
    "coherence": [[["It rained.", "So we stayed in."], "It rained. So we stayed in."], {}],
    "embed": [["A dog."], {"size": 8}],
    "summarize": [[{"sentences": ["A dog barked.", "It rained.", "The dog barked again."]}], {"sentences": 1}],
    "zero-shot-classification": [["A goal in the last minute."], {"labels": ["sport", "weather"]}],
    "classify": [["A fine day.", ["One text", "and another"]], {}],
    "ner": [["Ada lived in London. 😀 Bob did not."], {}],
    "qa": [[{"question": "Where did Ada live?", "context": "Ada lived in 😀 London."}, ["Who?", "Ada did."]], {}],
    "choice": [[{"question": "What barks?", "context": "Dogs bark.", "options": ["Dogs", "Cats"]}], {}],
    "rerank": [[{"query": "dogs", "passage": "Dogs bark."}], {}],
}  # fmt: skip
"""Inputs and options of each task."""


# --- Models ---------------------------------------------------------------------------------------------------------------


def test_every_task_of_every_model_sends_what_is_documented(served, post, client):
    found = wire.OfferAnswer.model_validate(client.get(V1 + "models").json())
    asked = [(model.name, info) for model in found.models for info in model.tasks]
    assert {info.task for _, info in asked} >= set(INPUTS)
    for name, info in asked:
        inputs, options = INPUTS[info.task]
        options = {option: value for option, value in options.items() if option in info.options}
        answer = post(V1 + "ask", {"model": name, "task": info.task, "inputs": inputs, "options": options})
        sent = wire.AskAnswer.model_validate(answer)
        assert sent.model_dump(exclude_unset=True) == answer
        assert (sent.model, sent.task, len(sent.answers), sent.usage.inputs) == (
            name,
            info.task,
            len(inputs),
            len(inputs),
        )
        assert sent.usage.tokens > 0


def test_ask_without_a_task_is_the_models_own(post):
    assert post(V1 + "ask", {"model": "names", "inputs": ["Ada"]})["task"] == "ner"
    assert post(V1 + "ask", {"task": "qa", "inputs": [["Who?", "Ada."]]})["model"] == "squad"


def test_parts_by_name_are_those_by_place(post):
    first = post(V1 + "ask", {"model": "squad", "inputs": [["Who?", "Ada did it."]]})["answers"]
    assert (
        post(V1 + "ask", {"model": "squad", "inputs": [{"question": "Who?", "context": "Ada did it."}]})["answers"]
        == first
    )
    assert (
        post(V1 + "ask", {"model": "squad", "inputs": [{"text": "Who?", "text_pair": "Ada did it."}]})["answers"]
        == first
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"model": GENERAL, "inputs": ["A [MASK]."], "options": {"progress": 1}}, "takes no option 'progress'"),
        ({"model": GENERAL, "inputs": ["A [MASK]."], "options": {"topk": 1}}, "top_k"),
        ({"model": "names", "inputs": ["Ada"], "options": {"a": 1}}, "It takes none"),
        ({"model": "names", "task": "qa", "inputs": ["Ada"]}, "does not answer qa"),
        ({"model": "squad", "inputs": [{"context": "Ada"}]}, "has no text"),
        ({"model": "squad", "inputs": [{"text": "Who?", "question": "Who?", "context": "Ada"}]}, "both `text` and `question`"),
        ({"model": GENERAL, "task": "coherence", "inputs": [{"text": "A.", "sentences": ["A."]}]}, "not both"),
        ({"model": "names", "inputs": [["one"]]}, "inputs"),
        ({"model": "names", "inputs": ["Ada"], "tsk": "ner"}, "tsk"),
    ],
)  # fmt: skip
def test_ask_refuses_with_a_reason(post, body, said):
    assert said in post(V1 + "ask", body, status=422)["error"]


def test_too_many_labels_are_not_begun_with(post):
    body = {
        "model": VECTORS,
        "task": "zero-shot-classification",
        "inputs": ["A"],
        "options": {"labels": list(map(str, range(3000)))},
    }
    assert "`labels` has 3000 entries" in post(V1 + "ask", body, status=422)["error"]


def test_unknown_model(post):
    assert "there is no model 'nmes'" in post(V1 + "ask", {"model": "nmes", "inputs": ["A"]}, status=404)["error"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"text": "It rained.", "text_pair": "So we stayed in."}, wire.Labelled),
        ({"mode": "order", "sentences": ["So we stayed in.", "It rained.", "It was dull."]}, wire.Ordered),
        (
            {"mode": "drift", "text": "Dogs bark. Dogs bite. Rates rose. Rates fell.", "width": 1, "measure": "words"},
            wire.Drifted,
        ),
    ],
)
def test_coherence(post, body, kind):
    answer = post(V1 + "coherence", body)
    sent = wire.CoherenceAnswer.model_validate(answer)
    assert type(sent.answer) is kind
    assert sent.model_dump(exclude_unset=True) == answer
    if kind is wire.Ordered:
        assert sorted(sent.answer.order) == [0, 1, 2]
    if kind is wire.Drifted:
        assert len(sent.answer.boundaries) == 3


def test_choice_is_what_the_library_says(served, post):
    options = ["By ferry", "On foot", "By air"]
    answer = post(V1 + "choice", {"question": "How?", "options": options, "context": "They walked."})
    assert wire.ChoiceAnswer.model_validate(answer).model_dump() == answer
    pipeline = served.state.engine.models["multiple"].pipeline
    expected = pipeline({"question": "How?", "context": "They walked.", "options": options}).to_dict()
    assert answer["answer"]["label"] == expected["label"]
    assert [one["score"] for one in answer["answer"]["scores"]] == pytest.approx(
        [one["score"] for one in expected["scores"]], abs=1e-5
    )
    post(V1 + "choice", {"question": "How?", "options": ["one"]}, status=422)


@pytest.mark.parametrize(
    ("model", "given", "texts"),
    [
        ("mood", "A 😀 fine day", ["A 😀 fine day"]),
        ("mood", ["A fine", "day"], ["A fine", "day"]),
        ("names", "Ada lived in London.", ["Ada lived in London."]),
        ("squad", {"question": "Who?", "context": "Ada did 😀 it."}, ["Who?", "Ada did 😀 it."]),
    ],
)
def test_explain_tells_which_tokens(post, model, given, texts):
    answer = post(V1 + "explain", {"model": model, "input": given, "steps": 4})
    sent = wire.ExplainAnswer.model_validate(answer)
    assert sent.model_dump(exclude_unset=True) == answer
    found = sent.answer.entities if isinstance(sent.answer, wire.ExplainedEntities) else [sent.answer]
    for reason in found:
        assert reason.explanation
        for one in reason.explanation:
            assert texts[one.text or 0][one.start : one.end] == one.token


def test_explain_refuses_what_it_cannot(post):
    assert "does not answer" in post(V1 + "explain", {"model": GENERAL, "input": "A"}, status=422)["error"]
    assert "no label" in post(V1 + "explain", {"model": "mood", "input": "A", "label": "x"}, status=422)["error"]
    assert (
        "too long to be explained"
        in post(V1 + "explain", {"model": "mood", "input": "word " * 5000}, status=422)["error"]
    )


def test_a_short_search_does_not_make_the_server_look_slow(served, post):
    before = served.state.engine.worker.rate
    for _ in range(5):
        post(V1 + "explain", {"model": "mood", "input": "A", "steps": 64})
    assert served.state.engine.worker.rate == before


def test_the_document_tells_bodies_and_answers(client):
    document = client.get("/openapi.json").json()
    found = {path: item for path, item in document["paths"].items() if path.startswith(V1)}
    names = {"models", "ask", "coherence", "choice", "explain", "search", "faq", "chat"}
    assert {path.removeprefix(V1) for path in found} == names
    for path, item in found.items():
        ((method, told),) = item.items()
        name = path.removeprefix(V1).capitalize().replace("Models", "Offer")
        assert told["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith(f"/{name}Answer")
        assert ("requestBody" in told) == (method == "post")


# --- Indexes --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a FAQ, notes, and an index of the notes."""
    folder = tmp_path_factory.mktemp("known")
    (folder / "faq.csv").write_text("question,answer,page\n" + "".join(",".join(row) + "\n" for row in FAQ))
    notes = folder / "notes"
    notes.mkdir()
    rules = "Déjà vu. Parcels are delivered free of charge above fifty francs.\n\nInvoices are due after thirty days."
    (notes / "rules.txt").write_text(rules)
    (notes / "zoo.txt").write_text("The lion sleeps. The zoo opens at nine.")
    (folder / "rows.jsonl").write_text(
        '{"text": "The lion sleeps.", "year": 1990}\n{"text": "The lion eats.", "year": 2001}\n'
    )
    inputs = [str(notes), str(folder / "rows.jsonl")]
    assert run(["index", VECTORS, *inputs, "--out", str(folder / "notes.index"), "--chunk-tokens", "16"]) == 0
    return folder


@pytest.fixture(scope="module")
def known(folder, tiny_models):
    """A client of a server with a FAQ and an index."""
    from fastapi.testclient import TestClient

    settings = ServeSettings(
        models=(VECTORS, str(tiny_models["ranker"])), faq=f"museum={folder / 'faq.csv'}",
        indexes=(f"notes={folder / 'notes.index'}",), log="off",
    )  # fmt: skip
    with TestClient(make_app(settings), raise_server_exceptions=False) as client:
        yield client


def _post(client, path, body, status=200):
    answer = client.post(V1 + path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_indexes_are_told(known):
    found = wire.OfferAnswer.model_validate(known.get(V1 + "models").json())
    museum, notes = found.indexes
    assert (museum.name, museum.kind, museum.documents, museum.model, found.faq) == (
        "museum",
        "faq",
        len(FAQ),
        VECTORS,
        "museum",
    )
    assert (notes.name, notes.kind, notes.documents, notes.fields) == ("notes", "texts", 4, {"year": ["number"]})


@pytest.mark.parametrize("mode", ["meaning", "words", "both"])
def test_search_finds_the_passage_where_it_stands(known, folder, mode):
    answer = _post(known, "search", {"query": "delivered free of charge", "mode": mode, "top_k": 3})
    sent = wire.SearchAnswer.model_validate(answer)
    assert sent.model_dump() == answer
    best = sent.hits[0]
    assert (sent.index, best.id) == ("notes", "rules.txt")
    assert (folder / "notes" / "rules.txt").read_text()[best.start : best.end] == best.text
    assert set(best.scores) == {"meaning": {"dense"}, "words": {"bm25"}, "both": {"dense", "bm25"}}[mode]


def test_search_filters_and_reranks(known):
    assert [hit["metadata"] for hit in _post(known, "search", {"query": "lion", "filter": "year > 1995"})["hits"]] == [
        {"year": 2001}
    ]
    hits = _post(known, "search", {"query": "lion", "rerank": True})["hits"]
    assert [hit["score"] for hit in hits] == sorted((hit["scores"]["rerank"] for hit in hits), reverse=True)
    assert hits == _post(known, "search", {"query": "lion", "rerank": "ranker"})["hits"]
    assert "yeer" in _post(known, "search", {"query": "lion", "filter": "yeer > 1995"}, status=422)["error"]
    _post(known, "search", {"query": "lion", "rerank": "nobody"}, status=404)
    _post(known, "search", {"query": "lion", "rerank": VECTORS}, status=422)
    _post(known, "search", {"query": "lion", "top_k": 0}, status=422)
    assert "there is no index 'nots'" in _post(known, "search", {"query": "lion", "index": "nots"}, status=404)["error"]


def test_headers_tell_what_a_search_took(known):
    headers = known.post(V1 + "search", json={"query": "lion"}).headers
    assert int(headers["x-compute-tokens"]) > 0
    assert int(headers["x-total-time"]) >= int(headers["x-inference-time"]) >= 0


def test_faq_answers_and_says_when_it_does_not_know(known):
    answer = _post(known, "faq", {"question": "How much does an adult ticket cost?", "top_k": 2})
    sent = wire.FaqAnswer.model_validate(answer)
    assert sent.model_dump() == answer
    assert (sent.known, sent.answer, sent.answers[0].question) == (True, "12 francs.", ADULT)
    best = sent.answers[0]
    assert (best.metadata, best.question[best.start : best.end]) == ({"page": "prices"}, ADULT)
    assert best.source.endswith("faq.csv")
    assert [one.confidence for one in sent.answers] == sorted((one.confidence for one in sent.answers), reverse=True)
    unknown = _post(known, "faq", {"question": "Who won the world cup in 1998?"})
    assert (unknown["known"], unknown["answer"]) == (False, None)
    assert len(unknown["answers"]) == 3
    assert not any(one["known"] for one in unknown["answers"])


def test_faq_keeps_to_the_filter_and_to_indexes_of_answers(known):
    assert _post(known, "faq", {"question": ADULT, "filter": 'page == "rules"'})["answers"][0]["metadata"] == {
        "page": "rules"
    }
    assert "holds texts" in _post(known, "faq", {"question": "Open?", "index": "notes"}, status=422)["error"]


def test_a_server_without_indexes_says_so(post):
    assert "--faq" in post(V1 + "faq", {"question": "Open?"}, status=404)["error"]
    assert "--index" in post(V1 + "search", {"query": "Open?"}, status=404)["error"]


# --- Conversation ---------------------------------------------------------------------------------------------------------


def _talk(client, *texts, status=200, **more):
    roles = ("user", "assistant") if len(texts) > 1 else ("user",)
    turns = [{"role": roles[i % len(roles)], "text": text} for i, text in enumerate(texts)]
    return _post(client, "chat", {"turns": turns, **more}, status=status)


def test_a_follow_up_is_read_with_the_question_before_it(known):
    assert not _talk(known, "And for a child?")["known"]
    answer = _talk(known, ADULT, "12 francs.", "And for a child?")
    assert wire.ChatAnswer.model_validate(answer).model_dump() == answer
    assert (answer["answer"], answer["joined"], answer["asked"]) == ("6 francs.", 1, f"{ADULT} And for a child?")


def test_a_question_that_stands_alone_is_read_alone(known):
    answer = _talk(known, ADULT, "12 francs.", DOG)
    assert (answer["answer"], answer["joined"], answer["asked"]) == ("Guide dogs only.", 0, DOG)


@pytest.mark.parametrize("last", ["Hm.", "ok", "Who won the world cup in 1998?", "Thanks!"])
def test_what_adds_nothing_does_not_get_the_earlier_answer_again(known, last):
    answer = _talk(known, ADULT, "12 francs.", last)
    assert (answer["known"], answer["answer"], answer["joined"]) == (False, None, 0)


def test_two_questions_before_count_and_no_more(known):
    answer = _talk(known, ADULT, "12 francs.", "Hm.", "I don't know.", "And for a child?")
    assert (answer["answer"], answer["joined"]) == ("6 francs.", 2)
    assert not _talk(known, ADULT, "12 francs.", "Hm.", "?", "Hm.", "?", "And for a child?")["known"]


def test_a_conversation_ends_with_a_question(known):
    assert "the last turn" in _talk(known, ADULT, "12 francs.", status=422)["error"]
    assert "empty" in _talk(known, " ", status=422)["error"]
    _post(known, "chat", {"turns": []}, status=422)


# --- Opening --------------------------------------------------------------------------------------------------------------


def _settings(folder, *models, **more):
    return ServeSettings(models=models, log="off", **{"indexes": (str(folder / "notes.index"),), **more})


def test_an_index_of_another_model_is_refused_at_start(folder):
    with pytest.raises(UsageError, match="was made with"):
        make_app(_settings(folder, GENERAL))


def test_an_index_takes_the_model_it_was_made_with_among_several(folder):
    app = make_app(_settings(folder, GENERAL, VECTORS))
    assert app.state.knowledge.models == {"notes.index": VECTORS}


def test_an_index_brings_its_model_where_none_embeds(folder, tiny_models):
    app = make_app(_settings(folder, str(tiny_models["mood"])))
    assert list(app.state.engine.models) == ["mood", VECTORS]


def test_an_index_in_a_milvus_database(folder):
    pytest.importorskip("milvus_lite", reason="needs the extra litebert[milvus]")
    from fastapi.testclient import TestClient

    place = f"milvus:{folder / 'zoo.db'}"
    assert run(["index", VECTORS, str(folder / "notes"), "--out", place]) == 0
    with TestClient(make_app(_settings(folder, VECTORS, indexes=(place,)))) as client:
        (hit,) = _post(client, "search", {"query": "lion", "mode": "words"})["hits"]
    assert hit["id"] == "zoo.txt"


def test_indexes_that_cannot_be_opened(folder):
    place = str(folder / "notes.index")
    with pytest.raises(UsageError, match="two indexes are called 'a'"):
        make_app(_settings(folder, VECTORS, indexes=(f"a={place}", f"a={place}")))
    for models in ((VECTORS,), ()):
        with pytest.raises(DataError, match="there is no index"):
            make_app(_settings(folder, *models, indexes=(str(folder / "nothing"),)))
    with pytest.raises(DataError, match="there is no file and no index"):
        make_app(_settings(folder, VECTORS, indexes=(), faq=str(folder / "nothing.csv")))
    with pytest.raises(UsageError, match="holds texts"):
        make_app(_settings(folder, VECTORS, indexes=(), faq=place))
