"""Explanations of trained models through Python and the commands."""

import json
import random
from dataclasses import replace

import pytest
import torch

import litebert
from litebert.checkpoint.pretrained import read_source
from litebert.cli.main import run
from litebert.errors import UsageError
from litebert.tasks.examples import TextSettings
from litebert.tasks.model_folder import load_task_model, save_task_model
from litebert.tasks.qa.task import ConditionalQaTask
from litebert.text import AlbertTokenizer

FILL = [
    "the",
    "old",
    "house",
    "near",
    "river",
    "had",
    "seven",
    "small",
    "windows",
    "and",
    "red",
    "door",
    "people",
    "village",
]
NO_DROPOUT = ("--set", "config.hidden_dropout_prob=0", "--set", "config.attention_probs_dropout_prob=0")


def fit(data, out, task, *more):
    assert run([
        "finetune", task, "--model", f"random:{data / 'tiny.json'}", "--out", str(out), "--batch-size", "32", *NO_DROPOUT,
        *map(str, more),
    ]) == 0  # fmt: skip
    return out


@pytest.fixture(scope="module")
def marked(data, tmp_path_factory):
    """A classifier that can only go by one word: 'zebra' makes a text wild."""
    folder = tmp_path_factory.mktemp("marked")
    draw = random.Random(0)
    with (folder / "train.jsonl").open("w") as stream:
        for i in range(300):
            words = draw.choices(FILL, k=draw.randint(3, 10))
            if i % 2:
                words.insert(draw.randrange(len(words) + 1), "zebra")
            stream.write(json.dumps({"text": " ".join(words), "label": "wild" if i % 2 else "calm"}) + "\n")
    return fit(
        data, folder / "model", "classify", "--train", folder / "train.jsonl", "--set", "training.steps=150", "--learning-rate", "5e-3",
        "--max-length", "24", "--set", "text.stride=4",
    )  # fmt: skip


@pytest.fixture(scope="module")
def pipe(marked):
    return litebert.load(marked)


def covered(attributions, texts):
    """Tokens are parts of the text, letter by letter, in order, and leave no letter out."""
    for number, text in enumerate(texts):
        at = 0
        for a in (a for a in attributions if a.text == number):
            assert text[a.start : a.end] == a.token and a.start >= at
            assert not text[at : a.start].strip()
            at = a.end
        assert not text[at:].strip()


@pytest.mark.parametrize("options", [{}, {"baseline": "pad"}])
def test_the_word_it_goes_by_has_most_of_it(pipe, options):
    text = "The old house  near ZEBRA river\thad  seven small windows"
    found = pipe.explain(text, **options)
    assert found.answer.label == "wild" == found.reasons[0].explained
    covered(found.attributions, [text])
    sums = {}
    for a in found.attributions:
        word = next(w for w in text.split() if text.find(w) <= a.start < text.find(w) + len(w))
        sums[word] = sums.get(word, 0) + a.attribution
    best = max(sums, key=lambda word: abs(sums[word]))
    assert best == "ZEBRA" and sums[best] > 0
    (reason,) = found.reasons
    total = sum(a.attribution for a in reason.attributions)
    assert abs(total - (reason.score - reason.baseline)) == pytest.approx(reason.gap, abs=1e-9)
    assert reason.gap < 0.1 * abs(reason.score - reason.baseline)


def test_the_label_that_is_not_answered_can_be_explained(pipe):
    calm = pipe.explain("old zebra house", label="calm").reasons[0]
    wild = pipe.explain("old zebra house").reasons[0]
    (a,), (b,) = (
        [x for x in r.attributions if x.token == "zebra" or x.token.startswith("z")][:1] for r in (calm, wild)
    )
    assert calm.explained == "calm" and a.attribution < 0 < b.attribution


def test_long_texts_are_explained_by_all_windows(pipe):
    """Each window has a share of the mean, tokens of two windows have both; the answer is that of all windows together."""
    words = random.Random(1).choices(FILL, k=60)
    words[37] = "zebra"
    text = " ".join(words)
    found = pipe.explain(text)
    covered(found.attributions, [text])
    (reason,) = found.reasons
    assert found.answer.label == pipe(text).label and found.answer.score == pytest.approx(pipe(text).score, abs=1e-4)
    assert reason.gap < 0.05 * sum(abs(a.attribution) for a in reason.attributions)
    at = text.index("zebra")
    wild = pipe.explain(text, label="wild").attributions
    assert max(wild, key=lambda a: a.attribution).start in range(at, at + 5)


def test_pairs_say_which_text(pair_model):
    texts = ("a great film", "it was awful, Poor")
    found = litebert.load(pair_model).explain(texts)
    covered(found.attributions, texts)
    assert {t["text"] for t in found.to_dict()["explanation"]} == {0, 1}


def test_several_labels_and_values(multi_model, value_model):
    several = litebert.load(multi_model)
    text = " ".join(["a great film"] * 25)
    long = several.explain(text, label="pos").reasons[0]
    assert long.explained == "pos" and long.gap < 0.05 * sum(abs(a.attribution) for a in long.attributions) + 1e-4
    assert sum(a.attribution != 0 for a in long.attributions) < len(long.attributions)  # one window says it
    assert long.score == pytest.approx(max(_window_logits(several, text, "pos")), abs=1e-3)
    value = litebert.load(value_model).explain(("a film", "a film"))
    assert value.reasons[0].explained == "score" and value.reasons[0].score == pytest.approx(
        value.answer.score, abs=1e-4
    )


def _window_logits(pipe, text, label):
    import torch

    loaded = pipe.loaded
    stride = max(0, min(loaded.text.stride, (loaded.text.max_length - 3) // 2 - 1))
    windows = loaded.tokenizer.encode_windows(text, None, max_length=loaded.text.max_length, stride=stride)
    at = loaded.task.labels.index(label)
    with torch.inference_mode():
        return [
            float(loaded.model(torch.tensor([w.ids]), None, torch.tensor([w.type_ids])).logits[0, at]) for w in windows
        ]


def test_many_inputs_and_none(pipe):
    found = pipe.explain(["old zebra", "", "river"])
    assert [len(x.attributions) > 0 for x in found] == [True, False, True] and pipe.explain([]) == []
    assert found[1].reasons[0].gap == 0.0


@pytest.fixture(scope="module")
def reader(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reader")
    draw, colours = random.Random(0), ["green", "purple", "yellow", "orange"]
    with (folder / "train.jsonl").open("w") as stream:
        for _ in range(400):
            words = draw.choices(FILL, k=draw.randint(6, 30))
            at = draw.randrange(len(words))
            colour = draw.choice(colours)
            words.insert(at, colour)
            start = len(" ".join(words[:at])) + (at > 0)
            row = {
                "question": "What colour is it?",
                "context": " ".join(words),
                "answer": colour,
                "answer_start": start,
            }
            stream.write(json.dumps(row) + "\n")
    return fit(
        data, folder / "model", "qa", "--train", folder / "train.jsonl", "--set", "training.steps=200", "--learning-rate", "5e-3",
        "--max-length", "32", "--set", "text.stride=8",
    )  # fmt: skip


def test_answers_to_questions_are_explained(reader):
    words = random.Random(2).choices(FILL, k=50)
    words[30] = "purple"
    question, context = "What colour is it?", " ".join(words)
    found = litebert.load(reader).explain((question, context))
    covered(found.attributions, (question, context))
    (reason,) = found.reasons
    assert found.answer.answer == reason.explained == "purple"
    best = max((a for a in reason.attributions if a.text == 1), key=lambda a: a.attribution)
    assert found.answer.start <= best.start < found.answer.end
    assert reason.gap < 0.05 * sum(abs(a.attribution) for a in reason.attributions)


def test_ends_of_alberts_own_head_are_explained_given_the_start(tmp_path):
    torch.manual_seed(0)
    source, tokenizer = read_source("random:nano"), AlbertTokenizer.bundled()
    task = ConditionalQaTask(unanswerable=True, threshold=100.0)
    save_task_model(
        tmp_path / "m", task, task.model_class.from_source(source), tokenizer, TextSettings(), provenance={}
    )
    pipe, asked = litebert.load(tmp_path / "m"), ("Who was here?", "Ann was here in Rome.")
    model = load_task_model(tmp_path / "m").model.eval()
    encoded = tokenizer.encode_batch([asked[0]])[0].ids + tokenizer.encode_batch([asked[1]])[0].ids[1:]
    types = [0] * len(tokenizer.encode_batch([asked[0]])[0].ids)
    types += [1] * (len(encoded) - len(types))
    ids, mask, types = torch.tensor([encoded]), torch.ones(1, len(encoded), dtype=torch.long), torch.tensor([types])
    with torch.no_grad():
        by_start = [model(ids, mask, types, start_positions=torch.tensor([at])) for at in range(len(encoded))]
    found = pipe.explain(asked)
    sums = [float(out.start_logits[0, at] + end) for at, out in enumerate(by_start) for end in out.end_logits[0, 0]]
    assert found.answer.answer and min(abs(found.reasons[0].score - one) for one in sums) < 1e-4
    assert abs(found.reasons[0].score - float(by_start[0].start_logits.max())) > 1e-3, "the end has a share"
    save_task_model(tmp_path / "none", replace(task, threshold=-100.0), model, tokenizer, TextSettings(), provenance={})
    (reason,) = litebert.load(tmp_path / "none").explain(asked).reasons
    assert reason.explained == "(no answer)" and abs(reason.score - float(by_start[0].no_answer_logits[0])) < 1e-4


@pytest.fixture(scope="module")
def tagger(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tagger")
    draw = random.Random(0)
    blocks = []
    for _ in range(250):
        rows = []
        for _ in range(draw.randint(4, 20)):
            name = draw.random() < 0.2
            rows.append((draw.choice(["mary", "peter"]), "B-person") if name else (draw.choice(FILL), "O"))
        blocks.append("".join(f"{word}\t{tag}\n" for word, tag in rows))
    (folder / "train.conll").write_text("\n".join(blocks))
    return fit(
        data, folder / "model", "ner", "--train", folder / "train.conll", "--set", "training.steps=120", "--learning-rate", "1e-2",
        "--max-length", "24", "--set", "text.stride=8",
    )  # fmt: skip


def test_each_entity_has_a_reason_of_its_own(tagger):
    text = "The old house near Mary  " + "river " * 40 + "had Peter "
    found = litebert.load(tagger).explain(text)
    assert [e.word for e in found.answer.entities] == ["Mary", "Peter"]
    for entity, reason in zip(found.answer.entities, found.reasons, strict=True):
        covered(reason.attributions, [text])
        best = max(reason.attributions, key=lambda a: a.attribution)
        assert entity.start <= best.start < entity.end and reason.explained == f"person: {entity.word}"
        assert reason.gap < 0.05 * sum(abs(a.attribution) for a in reason.attributions)
    data = found.to_dict()
    assert "explanation" not in data and [e["explained"] for e in data["entities"]] == ["person: Mary", "person: Peter"]
    assert litebert.load(tagger).explain("river").to_dict() == {"entities": []}


def test_the_command(marked, call, tmp_path):
    texts = tmp_path / "in.jsonl"
    texts.write_text('{"id": 7, "text": "old zebra <b>"}\n{"id": 8, "text": "river"}\n')
    page = tmp_path / "why.html"
    lines = call("predict", marked, texts, "--explain", "--html", page).lines
    assert [line["id"] for line in lines] == [7, 8] and lines[0]["label"] == "wild" and "scores" not in lines[0]
    assert lines[0]["explanation"][0].keys() == {"token", "start", "end", "attribution"}
    assert lines[0].keys() >= {"explained", "explained_score", "baseline_score", "completeness_gap"}
    html = page.read_text()
    assert "1. wild" in html and "zebra <b>" not in html and "&lt;" in html and "rgba(" in html
    out = tmp_path / "out.jsonl"
    told = call(
        "predict",
        marked,
        texts,
        "--explain",
        "--label",
        "calm",
        "--output",
        out,
        "--json",
        "--depth",
        "1",
        "--set",
        "steps=4",
    )
    assert told.envelope["artifacts"] == [str(out)] and told.envelope["data"]["records"] == 2
    assert [json.loads(line)["explained"] for line in out.read_text().splitlines()] == ["calm", "calm"]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--explain", "--label", "wlid"], "'wild'"),
        (["--explain", "--precision", "int8"], "--precision"),
        (["--explain", "--benchmark", "glue/sst2"], "--benchmark"),
        (["--explain", "--depth", "9"], "depth=9"),
        (["--explain", "--set", "baseline=zero"], "'mask'"),
        (["--html", "x.html"], "--explain"),
        (["--label", "wild"], "--explain"),
        (["--explain", "--html", "."], "folder"),
    ],
)
def test_wrong_calls(marked, call, tmp_path, more, told):
    (tmp_path / "in.txt").write_text("river\n")
    outcome = call("predict", marked, tmp_path / "in.txt", *more)
    assert outcome.code == 2 and told in outcome.err and outcome.out == ""


def test_tasks_without_explanations(pipe):
    with pytest.raises(UsageError, match="fill-mask"):
        litebert.load("litebert-small-en", "fill-mask").explain("a [MASK]")
    for wrong in ({"label": "x"}, {"baseline": "zero"}, {"steps": 0}, {"labels": "wild"}):
        with pytest.raises(UsageError):
            pipe.explain("river", **wrong)
