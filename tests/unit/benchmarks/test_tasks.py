"""The table of all tasks: what the baselines compute, how rows are gathered and shown."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from litebert.errors import DataError
from litebert.tasks.choice.task import ChoiceTask
from litebert.tasks.classify.task import ClassifyTask
from litebert.tasks.embed.task import EmbedTask
from litebert.tasks.ner.data import Span, Tagged
from litebert.tasks.ner.task import NerTask
from litebert.tasks.qa.data import Gold
from litebert.tasks.qa.task import QaTask
from litebert.tasks.reading.records import Record
from litebert.tasks.rerank.task import RerankTask

PROGRAMS = Path(__file__).parents[3] / "benchmarks"
NAMES = ("tasks", "task_rows", "baselines", "tables", "command_line", "results_folder")
ENVIRONMENT = {"processor": "P", "cores": 2, "packages": {"torch": "2"}}


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """The programs, imported as they are when they run, with their figures in a folder of the test."""
    results = tmp_path / "results"
    results.mkdir()
    monkeypatch.setenv("LITEBERT_RESULTS", str(results))
    monkeypatch.syspath_prepend(str(PROGRAMS))
    for name in NAMES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module("tasks"), importlib.import_module("baselines"), results
    for name in NAMES:
        sys.modules.pop(name, None)


# --- Baselines ------------------------------------------------------------------------------------------------------------


def test_bags_of_words_and_the_most_frequent_label(programs):
    task = ClassifyTask.from_records([], {"labels": ["bad", "good", "never"]})
    train = [Record("a great film", label="good")] * 6 + [Record("an awful film", label="bad")] * 4
    test = [Record("awful", label="bad"), Record("great", label="good"), Record("awful again", label="bad")]
    found = programs[1].baselines(task, train, test)
    assert found.words.figures["accuracy"] == 1.0
    assert found.trivial.name == "most frequent label" and found.trivial.figures["accuracy"] == pytest.approx(1 / 3)


def test_f1_has_to_beat_always_saying_the_positive_label(programs):
    task = ClassifyTask.from_records([], {"labels": ["ham", "spam"], "metric": "f1"})
    records = [Record("a prize", label="spam"), *[Record("see you at home", label="ham")] * 3]
    found = programs[1].baselines(task, records, records)
    assert found.trivial.name == "positive label" and found.trivial.figures["f1"] == pytest.approx(0.4)


def test_a_pair_s_words_are_compared(programs):
    """The label is whether both texts share their word, which neither text tells by itself."""
    words = ["river", "stone", "apple", "candle"]
    pairs = [Record(a, b, str(int(a == b))) for a in words for b in words]
    train = [r for r in pairs for _ in range(9 if r.label == "1" else 3)]
    task = ClassifyTask.from_records([], {"labels": ["0", "1"]})
    assert programs[1].bag_of_words(task, train, pairs)["accuracy"] == 1.0
    value = ClassifyTask.from_records([], {"kind": "regression"})
    scored = [Record(r.text, r.pair, 5.0 * float(r.label)) for r in train]
    assert programs[1].bag_of_words(value, scored, scored)["spearman"] > 0.8


def test_the_words_of_several_labels(programs):
    said = [
        ("bad ugly word", ("rude",)),
        ("good word", ()),
        ("bad ugly spam", ("rude", "spam")),
        ("spam offer", ("spam",)),
    ]
    records = [Record(text, label=labels) for text, labels in said * 9]
    task = ClassifyTask.from_records(records, {"kind": "multi", "labels": ["rude", "spam"]})
    found = programs[1].baselines(task, records, records)
    assert found.words.figures["macro_f1"] == 1.0 and found.trivial.figures["macro_f1"] == 0.0


def test_each_word_s_most_frequent_tag(programs):
    def tagged(text, *entities):
        spans = tuple(Span(text.index(e), text.index(e) + len(e), kind) for e, kind in entities)
        return Record(text, label=Tagged(spans))

    train = [
        tagged("Paris is in France", ("Paris", "LOC"), ("France", "LOC")),
        tagged("Ann Paris left", ("Ann Paris", "PER")),
    ]
    train.append(tagged("Paris again", ("Paris", "LOC")))
    test = [
        tagged("Ann saw Paris", ("Ann", "PER"), ("Paris", "LOC")),
        tagged("Bob in France", ("Bob", "PER"), ("France", "LOC")),
    ]
    found = programs[1].baselines(NerTask.from_records(train, {}), train, test)
    assert found.words.figures == pytest.approx({"f1": 2 * 3 / (3 + 4), "precision": 1.0, "recall": 0.75})
    assert found.trivial.figures["f1"] == 0


def test_sentences_as_answers(programs):
    text = "Rain fell. The Normans came from Denmark. It was cold."
    test = [
        Record("Where did the Normans come from?", text, Gold(("The Normans came from Denmark",), (11,))),
        Record("What fell?", text, Gold(("Rain",), (0,))), Record("Who?", text, Gold()), Record("Lost?", text, None),
    ]  # fmt: skip
    found = programs[1].baselines(QaTask(unanswerable=True), [], test)
    assert found.trivial.name == "no answer" and found.trivial.figures["f1"] == pytest.approx(1 / 3)
    assert found.words.figures["exact_match"] == pytest.approx(1 / 3)
    answerable = programs[1].baselines(QaTask(), [], test[:2])
    assert answerable.trivial.figures == pytest.approx({"f1": (0 + 2 / 3) / 2, "exact_match": 0})


def test_options_nearest_to_a_sentence(programs):
    def asked(right, text):
        return Record("What is it?", text, str(right), extra={"options": ("a red apple", "a grey stone")})

    test = [
        asked(0, "We saw an apple. It was red."),
        asked(1, "Nothing. A grey stone lay there."),
        asked(1, "A stone."),
    ]
    found = programs[1].baselines(ChoiceTask(), [asked(1, ""), asked(1, ""), asked(0, "")], test)
    assert found.words.figures["accuracy"] == 1.0 and found.trivial.figures["accuracy"] == pytest.approx(2 / 3)


def test_cosines_of_pairs(programs):
    records = [
        Record("red apple", "a red apple", 1.0),
        Record("red apple", "grey stone", 0.0),
        Record("cold", "rain", 0.0),
    ]
    found = programs[1].baselines(RerankTask(), [], list(reversed(records)))
    assert found.words.figures["map"] == 1.0 and found.trivial.figures["map"] == 0.5
    near = [Record(r.text, r.pair, value) for r, value in zip(records, (5.0, 1.0, 1.0), strict=True)]
    assert programs[1].baselines(EmbedTask("similarity"), [], near).words.figures["spearman"] == pytest.approx(1.0)
    assert programs[1].baselines(type("T", (), {"name": "summarize"})(), [], []) is None


# --- Rows -----------------------------------------------------------------------------------------------------------------


def outcome(value, **more):
    return {"metrics": {"map": value, "mrr": value + 0.1, "loss": 3.0}, "baseline": {"order given": 0.5}, **more}


def test_figures_of_seeds(programs):
    tasks, baselines, _ = programs
    beside = baselines.Baselines(
        baselines.Baseline("order", {"map": 0.5}), baselines.Baseline("words", {"accuracy": 1.0})
    )
    row = tasks.summary([outcome(0.4), outcome(0.6), outcome(0.7)], beside)
    assert (row["metric"], row["median"], row["scores"]) == ("map", 0.6, [0.4, 0.6, 0.7])
    assert row["deviation"] == pytest.approx(np.std([0.4, 0.6, 0.7], ddof=1)) and row["others"] == {
        "mrr": pytest.approx(0.7)
    }
    assert row["trivial"] == {"name": "order", "value": 0.5} and row["words"] is None
    assert tasks.summary([outcome(0.4)], None)["deviation"] is None
    own = tasks.own_baselines({"metrics": {"rouge1": 0.5}, "baseline": {"lead": 0.4, "textrank": 0.3}})
    assert (own.trivial.figures, own.words.figures) == ({"rouge1": 0.4}, {"rouge1": 0.3})
    assert tasks.own_baselines(outcome(0.4)) is None


def test_the_table_marks_what_does_not_beat_its_baseline(programs):
    tasks = programs[0]
    row = {
        "task": "rerank", "metric": "map", "split": "test", "median": 0.5, "deviation": 0.0123, "scores": [0.5, 0.51, 0.49],
        "others": {"mrr": 0.61}, "trivial": {"name": "order given", "value": 0.6}, "words": {"name": "cosine", "value": 0.4},
        "records": {"train": 20360, "test": 6165}, "recipe": "rerank-small", "minutes_a_seed": 3.0, "note": "busy",
    }  # fmt: skip
    alone = {
        **row,
        "deviation": None,
        "scores": [0.7],
        "median": 0.7,
        "trivial": None,
        "note": "",
        "minutes_a_seed": None,
    }
    alone |= {"records": {"train": None, "test": 10}, "others": {}}
    data = {"command": "C", "model": "M", "environment": ENVIRONMENT, "rows": {"wikiqa": row, "sick": alone}}
    lines = tasks.tasks_table(data | {"skipped": {"race": "there is no folder race in the data", "sick": "stale"}})
    assert lines[3] == (
        "| wikiqa | rerank | map | test | 0.500 (0.012, 3 seeds) | 0.600 (order given) | 0.400 (cosine) | 20,360 | 6,165 | "
        "rerank-small | 3.0 | **not above: order given**; mrr 0.610; busy |"
    )
    assert (
        lines[4] == "| sick | rerank | map | test | 0.700 (1 run) | - | 0.400 (cosine) | - | 10 | rerank-small | - |  |"
    )
    assert lines[5:] == ["\nLeft out:\n", "- race: there is no folder race in the data."]
    assert all(line.count("|") == lines[1].count("|") for line in lines[1:5])


@pytest.fixture
def wikiqa(tmp_path):
    folder = tmp_path / "data" / "wikiqa"
    folder.mkdir(parents=True)
    for split in ("train", "dev", "test"):
        (folder / f"{split}.txt").write_text("red apple\tgrey stone\t0\nred apple\ta red apple\t1\n" * 2)
    return folder.parent


def test_what_the_checkpoint_does_by_itself_is_taken_from_its_evaluations(programs, wikiqa):
    tasks, _, results = programs
    answer = {
        "data": {"heldout": {"metrics": {"mlm_accuracy": 0.25, "sop_accuracy": 0.75}, "positions": 90, "pairs": 8}}
    }
    (results / "small-pretraining.json").write_text(json.dumps(answer))
    tasks.main(["--data", str(wikiqa), "--only", "fill-mask,coherence,blimp", "--model", "models/small"])
    found = json.loads((results / "tasks.json").read_text())
    masks, order = found["rows"]["fill-mask"], found["rows"]["coherence"]
    assert (masks["median"], masks["records"]["test"], masks["trivial"]) == (0.25, 90, None)
    assert (order["median"], order["records"]["test"], order["trivial"]["value"]) == (0.75, 8, 0.5)
    assert "small-blimp.json" in found["skipped"]["blimp"]


def test_rows_are_gathered_one_by_one(programs, wikiqa, monkeypatch, capsys):
    tasks, _, results = programs
    calls = []

    def answered(arguments, **_):
        calls.append(arguments)
        if arguments[0] == "finetune" and "quora" in arguments:
            raise tasks.CommandFailed("litebert finetune quora\nerror[data]: broken")
        return {"data": {"test": outcome(0.9)} if arguments[0] == "evaluate" else {**outcome(0.2), "seeds": []}}

    monkeypatch.setattr(tasks, "answered", answered)
    monkeypatch.setattr(tasks, "CHECKPOINT", "no-checkpoint.json")
    tasks.main(
        [
            "--data",
            str(wikiqa),
            "--only",
            "wikiqa,race,sst2",
            "--seeds",
            "2",
            "--limit",
            "wikiqa=3,race=9",
            "--minutes",
            "1",
        ]
    )
    data = json.loads((results / "tasks.json").read_text())
    row = data["rows"]["wikiqa"]
    assert (row["median"], row["scores"], row["split"], row["records"]) == (
        0.9,
        [0.9, 0.9],
        "test",
        {"train": 3, "test": 4},
    )
    assert (
        row["trivial"] == {"name": "order given", "value": pytest.approx((1 / 2 + 2 / 4) / 2)}
        and row["words"]["value"] == 1.0
    )
    assert (
        row["recipe"] == "rerank-small --model litebert-small-en-embed --learning-rate 2e-4 --set limit=3 --minutes 1"
        and "DIR/wikiqa" in row["command"]
    )
    train, judge, *_ = calls
    assert train[train.index("--seed") + 1] == "0" and "limit=3" in train and judge[-2:] == ["--split", "test"]
    assert [c[c.index("--seed") + 1] for c in calls if c[0] == "finetune"] == ["0", "1"]
    assert data["skipped"]["race"] == "there is no folder race in the data" and "checkpoint" in data["skipped"]["sst2"]
    assert "| wikiqa | rerank | map | test | 0.900 (0.000, 2 seeds)" in (results / "tasks.md").read_text()

    mine = {"metric": "accuracy", "median": 0.8, "deviation": 0.01, "scores": [0.8, 0.8], "minutes": 9}
    words = {"metric": "accuracy", "median": 0.79, "records": 872}
    rows = {"sst2": {"pretrained": {**mine, "baseline": {"accuracy": 0.51}}, "bag of words": words}}
    monkeypatch.setattr(tasks, "CHECKPOINT", "checkpoint.json")
    (results / "checkpoint.json").write_text(json.dumps({"tasks": rows}))
    quora = tasks.Row("quora", "quora", "wikiqa", "rerank-small")
    monkeypatch.setattr(tasks, "FINETUNED", (*tasks.FINETUNED, quora))
    monkeypatch.setattr(tasks, "NAMES", (*tasks.NAMES, "quora"))
    with pytest.raises(SystemExit, match="failed: quora"):
        tasks.main(["--data", str(wikiqa), "--only", "quora,sst2"])
    later = json.loads((results / "tasks.json").read_text())
    assert (
        later["rows"]["wikiqa"] == row and list(later["rows"]) == ["sst2", "wikiqa"] and "sst2" not in later["skipped"]
    )
    sst2 = later["rows"]["sst2"]
    assert (sst2["median"], sst2["words"]["value"], sst2["trivial"]["value"], sst2["minutes_a_seed"]) == (
        0.8,
        0.79,
        0.51,
        4.5,
    )
    assert "error[data]: broken" in capsys.readouterr().err


def test_a_missing_embedder_is_a_word(programs, tmp_path, monkeypatch):
    tasks, _, results = programs
    (tmp_path / "sick").mkdir()
    (tmp_path / "sick" / "SICK.txt").write_text(
        "pair_ID\tsentence_A\tsentence_B\trelatedness_score\n1\ta red apple\tan apple\t4.5\n2\ta\tb\t1\n"
    )

    def answered(arguments, **_):
        raise tasks.CommandFailed("error[usage]: no model at 'litebert-small-en-embed'")

    monkeypatch.setattr(tasks, "answered", answered)
    tasks.main(["--data", str(tmp_path), "--only", "sick-r-vectors"])
    assert "is not there yet" in json.loads((results / "tasks.json").read_text())["skipped"]["sick-r-vectors"]
    monkeypatch.setattr(
        tasks, "answered", lambda *_a, **_k: {"data": {"test": {"metrics": {"spearman": 0.7}, "baseline": {}}}}
    )
    tasks.main(["--data", str(tmp_path), "--only", "sick-r-vectors"])
    row = json.loads((results / "tasks.json").read_text())["rows"]["sick-r-vectors"]
    assert row["words"]["value"] == pytest.approx(1.0) and row["records"] == {"train": None, "test": 2}


def test_every_row_names_what_exists(programs):
    """Recipes and benchmarks; a row of a benchmark that is not built would be left out for ever."""
    from litebert.settings import read_recipe
    from litebert.tasks.official.table import OFFICIAL

    tasks = programs[0]
    for row in tasks.FINETUNED:
        assert read_recipe(row.recipe) and row.benchmark in OFFICIAL
    assert read_recipe(tasks.FEW_SHOT.recipe)
    assert all(row.benchmark in OFFICIAL for row in (tasks.FEW_SHOT, tasks.ZERO_SHOT, *tasks.EMBEDDED))


def test_few_examples_and_none(programs, tmp_path, monkeypatch):
    """Other examples for each seed, so many a label; the words are given the same; no example at all is scored by the labels' names."""
    tasks, _, results = programs
    folder = tmp_path / "banking77"
    folder.mkdir()
    labels = ("card_lost", "top_up", "exchange_rate")
    lines = [f"{label.replace('_', ' ')} number {n},{label}" for label in labels for n in range(12)]
    (folder / "train.csv").write_text("text,category\n" + "\n".join(lines) + "\n")
    (folder / "test.csv").write_text("text,category\n" + "\n".join(lines[::3]) + "\n")
    seen = []

    def answered(arguments, **_):
        if arguments[0] == "finetune":
            seen.append(Path(arguments[arguments.index("--train") + 1]).read_text().splitlines()[1:])
        return {"data": {"test": {"metrics": {"accuracy": 0.9}, "baseline": {}}}}

    monkeypatch.setattr(tasks, "answered", answered)
    tasks.main(["--data", str(tmp_path), "--only", "few-shot,zero-shot", "--seeds", "2"])
    rows = json.loads((results / "tasks.json").read_text())["rows"]
    assert [len(lines) for lines in seen] == [24, 24] and seen[0] != seen[1]
    assert {label: sum(line.endswith(label) for line in seen[0]) for label in labels} == dict.fromkeys(labels, 8)
    assert rows["few-shot"]["words"]["value"] == 1.0 and rows["few-shot"]["records"] == {"train": 24, "test": 12}
    assert rows["few-shot"]["model"] == rows["zero-shot"]["model"] == "litebert-small-en-embed"
    assert rows["zero-shot"]["median"] > 0.6 and rows["zero-shot"]["trivial"]["value"] == pytest.approx(1 / 3)


def test_wrong_calls(programs, tmp_path, capsys, monkeypatch):
    tasks = programs[0]
    monkeypatch.delenv("LITEBERT_DATA", raising=False)
    for line, says in (
        (["--only", "race"], "--data DIR"),
        (["--data", str(tmp_path / "no")], "there is no folder"),
        (["--data", str(tmp_path), "--only", "raze"], "no row 'raze'"),
        (["--data", str(tmp_path), "--limit", "raze=3"], "no row 'raze'"),
        (["--data", str(tmp_path), "--limit", "many"], "invalid"),
        (["--data", str(tmp_path), "--seeds", "0"], "at least 1"),
    ):
        with pytest.raises(SystemExit):
            tasks.main(line)
        assert says in capsys.readouterr().err
    with pytest.raises(DataError):
        tasks.OFFICIAL["wikiqa"].files(tmp_path, "test")
