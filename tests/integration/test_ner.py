"""Entity recognition through the commands: trained, scored, asked, in transformers, exported."""

import json
import random

import pytest

import litebert

NAMES = {"person": ["peter", "mary", "john"], "place": ["paris", "london", "rome"]}
MORE = {"person": ["smith", "brown"], "place": ["city", "county"]}
FILL = ["walked", "through", "the", "old", "streets", "and", "saw", "nothing", "but", "rain"]


def sentence(draw):
    rows = []
    for _ in range(draw.randint(4, 30)):
        kind = draw.choice(["person", "place", None, None, None])
        if kind is None:
            rows.append((draw.choice(FILL), "O"))
        else:
            words = [draw.choice(NAMES[kind]), *draw.choices(MORE[kind], k=draw.randint(0, 2))]
            rows += [(word, ("I-" if i else "B-") + kind) for i, word in enumerate(words)]
            rows.append((draw.choice(FILL), "O"))
    return rows


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ner")
    for name, count, seed in (("train", 200, 0), ("dev", 40, 1)):
        draw = random.Random(seed)
        blocks = ["".join(f"{word}\t{tag}\n" for word, tag in sentence(draw)) for _ in range(count)]
        (folder / f"{name}.conll").write_text("\n".join(blocks))
    return folder


@pytest.fixture(scope="module")
def trained(files, data, tmp_path_factory):
    from litebert.cli.main import run

    out = tmp_path_factory.mktemp("models") / "ner"
    code = run([
        "finetune", "ner", "--model", f"random:{data / 'tiny.json'}", "--train", str(files / "train.conll"),
        "--dev", str(files / "dev.conll"), "--out", str(out), "--max-length", "24", "--set", "text.stride=8",
        "--set", "training.steps=150", "--learning-rate", "1e-2", "--batch-size", "32",
        "--set", "config.hidden_dropout_prob=0", "--set", "config.attention_probs_dropout_prob=0",
    ])  # fmt: skip
    assert code == 0
    return out


def test_it_learns_names_and_what_begins(trained):
    info = json.loads((trained / "litebert.json").read_text())
    assert info["provenance"]["metrics"]["f1"] > 0.9
    assert info["task"] == {
        "name": "ner", "labels": ["O", "B-person", "I-person", "B-place", "I-place"],
    }  # fmt: skip
    assert "pipeline_tag: token-classification" in (trained / "README.md").read_text()


def test_evaluate_and_predict(trained, files, call):
    known = json.loads((trained / "litebert.json").read_text())["provenance"]["metrics"]
    outcome = call("evaluate", trained, "--data", files / "dev.conll", "--json")
    assert outcome.envelope["data"]["dev.conll"]["metrics"] == pytest.approx(known)
    lines = call("predict", trained, files / "dev.conll").lines
    assert len(lines) == 40 and {e["entity_group"] for line in lines for e in line["entities"]} == {"person", "place"}


def test_offsets_are_of_the_text_as_it_was(trained):
    text = "  Yesterday,\tPETER walked to Paris and (mary) saw   rain. " + "the old streets " * 20 + "London!"
    found = litebert.load(trained, precision="fp32")(text).to_dict()["entities"]
    assert all(text[e["start"] : e["end"]] == e["word"] for e in found)
    assert {"PETER", "Paris", "mary", "London"} <= {e["word"] for e in found}


def test_plain_lines_and_other_precisions(trained, tmp_path, call):
    lines = tmp_path / "texts.txt"
    lines.write_text("peter saw rome\nnothing but rain\n")
    for flags in ([], ["--precision", "bf16"], ["--backend", "onnxruntime", "--precision", "fp32"]):
        one, two = call("predict", trained, lines, *flags).lines
        assert [e["word"] for e in one["entities"]] == ["peter", "rome"] and two["entities"] == []


def test_the_folder_answers_in_transformers_and_back(trained, tmp_path):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    model = transformers.AlbertForTokenClassification.from_pretrained(trained).eval()
    own = litebert.AlbertForTokenClassification.from_pretrained(trained).eval()
    ids = torch.arange(5, 25)[None]
    with torch.inference_mode():
        assert torch.allclose(model(ids).logits, own(ids).logits, atol=1e-5)
    model.save_pretrained(tmp_path / "theirs")
    for name in ("spiece.model", "tokenizer.json", "tokenizer_config.json"):
        if (trained / name).exists():
            (tmp_path / "theirs" / name).write_bytes((trained / name).read_bytes())
    text = "peter walked through rome"
    theirs = litebert.load(tmp_path / "theirs", task="ner", precision="fp32")(text)
    assert theirs == litebert.load(trained, precision="fp32")(text)


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        (["finetune", "ner", "--train", "SINGLE"], 3, "without entities"),
        (["finetune", "conll2003", "--data", "FILES"], 3, "eng.train"),
        (["finetune", "ner", "--train", "TRAIN", "--kind", "multi"], 2, "ner has no option 'kind'"),
        (["evaluate", "NER", "--data", "FILES", "--benchmark", "wnut17"], 2, "wnut17 has the labels"),
        (["predict", "NER", "TRAIN", "--patience", "1"], 2, "cannot stop early"),
    ],
)
def test_wrong_calls(line, code, says, files, trained, data, tmp_path, call):
    places = {"FILES": files, "TRAIN": files / "train.conll", "SINGLE": data / "single.csv", "NER": trained}
    more = ["--model", f"random:{data / 'tiny.json'}", "--out", tmp_path / "out"] if line[0] == "finetune" else []
    outcome = call(*(places.get(word, word) for word in line), *more)
    assert (outcome.code, says in outcome.err) == (code, True), outcome.err


def test_a_broken_file_of_words_is_not_read_as_lines(trained, tmp_path, call):
    broken = tmp_path / "broken.conll"
    broken.write_text("peter\tB-person\nsaw\n")
    outcome = call("predict", trained, broken)
    assert outcome.code == 3 and "line 2 has 1 column where the first has 2" in outcome.err and not outcome.out


def test_the_words_of_a_file_are_answered_and_unknown_types_told(trained, tmp_path, call):
    path = tmp_path / "a.conll"
    path.write_text("peter\tB-person\nsaw\tO\nthe\tO\nU.S.\tB-country\n.\tO\n")
    (line,) = call("predict", trained, path, "--set", "grouped=false").lines
    assert [e["word"] for e in line["entities"]] == ["peter", "saw", "the", "U.S.", "."]
    (told,) = call("evaluate", trained, "--data", path, "--json").envelope["warnings"]
    assert told.startswith("a.conll: ") and "'country' (1)" in told
