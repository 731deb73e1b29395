"""Question answering through the commands: trained, scored, asked, exported."""

import json
import random
import re
import subprocess
import sys

import numpy as np
import pytest

import litebert

WORDS = [
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
    "that",
    "people",
    "of",
    "village",
]
COLOURS = ["green", "purple", "yellow", "orange"]


def made(count, seed, *, impossible=0.0):
    """Passages in which one colour word is the answer, or none is there."""
    draw, paragraphs = random.Random(seed), []
    for number in range(count):
        words = draw.choices(WORDS, k=draw.randint(6, 40))
        nothing = draw.random() < impossible
        colour, at = draw.choice(COLOURS), draw.randrange(len(words))
        if not nothing:
            words.insert(at, colour)
        context = " ".join(words)
        start = len(" ".join(words[:at])) + (at > 0)
        answers = [] if nothing else [{"text": colour, "answer_start": start}]
        question = {"id": f"{seed}-{number}", "question": "What colour is it?", "answers": answers}
        paragraphs.append({"context": context, "qas": [{**question, "is_impossible": nothing}]})
    return {"version": "v2.0", "data": [{"title": "t", "paragraphs": paragraphs}]}


@pytest.fixture(scope="module")
def squad(tmp_path_factory):
    folder = tmp_path_factory.mktemp("squad")
    (folder / "train-v2.0.json").write_text(json.dumps(made(400, 0, impossible=0.3)))
    (folder / "dev-v2.0.json").write_text(json.dumps(made(60, 1, impossible=0.3)))
    (folder / "train-v1.1.json").write_text(json.dumps(made(40, 2)))
    return folder


@pytest.fixture(scope="module")
def trained(squad, data, tmp_path_factory):
    from litebert.cli.main import run

    out = tmp_path_factory.mktemp("models") / "qa"
    code = run([
        "finetune", "squad/v2", "--model", f"random:{data / 'tiny.json'}", "--data", str(squad), "--out", str(out),
        "--max-length", "48", "--set", "text.stride=8", "--set", "training.steps=220", "--learning-rate", "5e-3", "--batch-size", "32",
        "--set", "config.hidden_dropout_prob=0", "--set", "config.attention_probs_dropout_prob=0",
    ])  # fmt: skip
    assert code == 0
    return out


def test_it_learns_what_can_be_learnt(trained):
    """Which word is the answer, across windows, and whether there is one; with a threshold of its own."""
    info = json.loads((trained / "litebert.json").read_text())
    metrics = info["provenance"]["metrics"]
    assert metrics["f1"] > 0.9 and metrics["f1_no_answer"] > 0.8 and metrics["f1_has_answer"] > 0.8
    assert info["task"]["name"] == "qa" and info["task"]["unanswerable"] and info["task"]["threshold"] != 0
    page = (trained / "report.html").read_text()
    assert "What colour is it?" in page or metrics["f1"] == 1.0


def test_evaluate_gives_the_figures_of_training(trained, squad, call):
    known = json.loads((trained / "litebert.json").read_text())["provenance"]["metrics"]
    for arguments in (["--data", squad, "--benchmark", "squad/v2"], ["--data", squad / "dev-v2.0.json"]):
        outcome = call("evaluate", trained, *arguments, "--json")
        (found,) = outcome.envelope["data"].values()
        assert found["records"] == 60 and found["metrics"] == pytest.approx(known)


def test_python_and_predict_answer_alike(trained, squad, call):
    asked = [
        q
        for p in json.loads((squad / "dev-v2.0.json").read_text())["data"][0]["paragraphs"]
        for q in [(p, p["qas"][0])]
    ]
    lines = call("predict", trained, squad / "dev-v2.0.json").lines
    pipe = litebert.load(trained, precision="fp32")
    answers = pipe([{"question": q["question"], "context": p["context"]} for p, q in asked])
    assert len(lines) == len(asked) == len(answers)
    for (paragraph, question), line, answer in zip(asked, lines, answers, strict=True):
        assert line["id"] == question["id"] and "scores" not in line
        assert paragraph["context"][line["start"] : line["end"]] == line["answer"]
        assert (line["answer"], line["start"]) == (answer.answer, answer.start)
        assert line["score"] == pytest.approx(answer.score, abs=1e-4)
    one = pipe(("What colour is it?", "an old green house"))
    assert one.to_dict().keys() == {"answer", "start", "end", "score", "scores"}


def test_the_folder_answers_in_transformers(trained):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    model = transformers.AlbertForQuestionAnswering.from_pretrained(trained).eval()
    own = litebert.AlbertForQuestionAnswering.from_pretrained(trained).eval()
    ids = torch.arange(5, 35)[None]
    with torch.inference_mode():
        theirs, ours = model(ids), own(ids)
    assert torch.allclose(theirs.start_logits, ours.start_logits, atol=1e-5)
    assert torch.allclose(theirs.end_logits, ours.end_logits, atol=1e-5)


def test_precisions_and_depths(trained):
    question = ("What colour is it?", "the old house near river had purple door")
    exact = litebert.load(trained, precision="fp32")(question)
    assert litebert.load(trained, precision="bf16")(question).answer == exact.answer
    assert litebert.load(trained, precision="fp32", depth=1)(question).score != exact.score


def test_export(trained, tmp_path, call):
    pytest.importorskip("onnxruntime")
    outcome = call("export", trained, "--format", "onnx", "--out", tmp_path / "onnx", "--json")
    assert outcome.code == 0, outcome.err
    import onnxruntime

    session = onnxruntime.InferenceSession(str(next((tmp_path / "onnx").glob("*.onnx"))))
    ids = np.arange(5, 35)[None]
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    start, end = session.run(["start_logits", "end_logits"], inputs)
    assert start.shape == end.shape == (1, 30)


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        (["finetune", "squad/v3", "--data", "SQUAD"], 2, "squad/v2"),
        (["finetune", "squad/v1", "--data", "EMPTY"], 3, "train-v1.1.json"),
        (["finetune", "qa", "--train", "SINGLE"], 3, "no column recognised as the context"),
        (["finetune", "qa", "--train", "SQUAD/train-v2.0.json", "--kind", "single"], 2, "qa has no option 'kind'"),
        (["predict", "QA", "LINES"], 3, "context"),
        (["evaluate", "QA", "--data", "SINGLE"], 3, "no column recognised as the context"),
        (["evaluate", "CLASSIFIER", "--data", "SQUAD", "--benchmark", "squad/v2"], 2, "the model answers classify"),
        (["predict", "QA", "SQUAD/dev-v2.0.json", "--patience", "1"], 2, "cannot stop early"),
    ],
)
def test_wrong_calls(line, code, says, squad, trained, model, data, tmp_path, call):
    (tmp_path / "empty").mkdir()
    (tmp_path / "lines.txt").write_text("only a question\n")
    places = {"SQUAD": squad, "EMPTY": tmp_path / "empty", "SINGLE": data / "single.csv", "QA": trained}
    places |= {"LINES": tmp_path / "lines.txt", "CLASSIFIER": model}
    given = [re.sub(r"^[A-Z]+", lambda m: str(places.get(m.group(), m.group())), str(a)) for a in line]
    more = ["--model", f"random:{data / 'tiny.json'}", "--out", tmp_path / "out"] if line[0] == "finetune" else []
    outcome = call(*given, *more)
    assert (outcome.code, says in outcome.err) == (code, True), outcome.err


def test_an_answer_that_is_not_there_is_told_and_left_out(trained, tmp_path, call):
    questions = made(10, 7)
    questions["data"][0]["paragraphs"][0]["qas"][0]["answers"] = [{"text": "nowhere to be seen", "answer_start": 3}]
    path = tmp_path / "questions.json"
    path.write_text(json.dumps(questions))
    outcome = call("evaluate", trained, "--data", path, "--json")
    assert outcome.code == 0 and any("not in" in warning for warning in outcome.envelope["warnings"])
    del questions["data"][0]["paragraphs"][0]
    path.write_text(json.dumps(questions))
    without = call("evaluate", trained, "--data", path, "--json").envelope["data"]["questions.json"]
    assert outcome.envelope["data"]["questions.json"]["metrics"] == pytest.approx(without["metrics"])


def test_predict_answers_whatever_answers_the_file_has(trained, tmp_path, call):
    """Such as written ones, none of which is in its passage."""
    questions = made(10, 7)
    for paragraph in questions["data"][0]["paragraphs"]:
        for question in paragraph["qas"]:
            question["answers"] = [{"text": "nowhere to be seen", "answer_start": 3}]
    path = tmp_path / "questions.json"
    path.write_text(json.dumps(questions))
    assert call("evaluate", trained, "--data", path).code == 3
    outcome = call("predict", trained, path)
    assert (outcome.code, len(outcome.lines)) == (0, 10) and "not in" not in outcome.err


def test_alberts_own_head_learns_it_too(squad, data, call, tmp_path):
    outcome = call(
        "finetune", "squad/v2", "--model", f"random:{data / 'tiny.json'}", "--data", squad,
        "--out", tmp_path / "own", "--max-length", "48", "--set", "text.stride=8",
        "--set", "training.steps=220", "--learning-rate", "5e-3", "--batch-size", "32",
        "--set", "options.head=conditional", "--set", "config.hidden_dropout_prob=0",
        "--set", "config.attention_probs_dropout_prob=0", "--json",
    )  # fmt: skip
    metrics = outcome.envelope["data"]["metrics"]
    assert metrics["f1"] > 0.9 and metrics["f1_no_answer"] > 0.8
    again = call("evaluate", tmp_path / "own", "--data", squad, "--benchmark", "squad/v2", "--json").envelope["data"][
        "dev"
    ]
    assert again["metrics"] == pytest.approx(metrics)
    assert (
        call(
            "export",
            tmp_path / "own",
            "--format",
            "onnx",
            "--out",
            tmp_path / "onnx",
            "--data",
            squad / "dev-v2.0.json",
        ).code
        == 0
    )
    done = runpy_lines(
        tmp_path / "onnx",
        "What colour is it?",
        "the old house had seven small green windows",
        "What colour is it?",
        "the old",
    )
    assert done == ["What colour is it? -> green", "What colour is it? -> (no answer)"]


def test_an_example_asks_for_pairs(trained, call, tmp_path):
    assert call("export", trained, "--format", "onnx", "--out", tmp_path / "onnx").code == 0
    alone = [sys.executable, str(tmp_path / "onnx" / "example.py"), "What colour is it?"]
    done = subprocess.run(alone, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "example.py" in done.stderr and not done.stdout


def runpy_lines(folder, *texts):
    done = subprocess.run(
        [sys.executable, str(folder / "example.py"), *texts], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_a_question_that_is_not_read_whole_is_told(trained, tmp_path, call, caplog):
    short, long = "What colour is it?", "What colour is it, " + "and of what village " * 20 + "?"
    rows = [
        {
            "id": str(i),
            "question": question,
            "context": "the red door",
            "answers": {"text": ["red"], "answer_start": [4]},
        }
        for i, question in enumerate((short, long, long))
    ]
    asked = tmp_path / "asked.jsonl"
    asked.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert call("predict", trained, asked).code == 0
    assert caplog.text.count("2 of 3 records hold more than is read at once") == 1
    scored = call("evaluate", trained, "--data", asked, "--json").envelope
    assert any("2 of 3 records hold more" in warning for warning in scored["warnings"])
    caplog.clear()
    asked.write_text(json.dumps(rows[0]) + "\n")
    assert call("predict", trained, asked).code == 0 and "records hold" not in caplog.text
