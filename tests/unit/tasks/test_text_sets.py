"""The files of public data sets of texts, as published and damaged, and splits that nobody else made."""

import json
import os
from pathlib import Path

import pytest

from litebert.errors import DataError, UsageError
from litebert.tasks.classify.task import ClassifyTask
from litebert.tasks.datasets import read_splits
from litebert.tasks.official.table import official_data
from litebert.tasks.official.text_sets import TEXT_SETS, part_of

DATA = Path(os.environ.get("LITEBERT_DATA", "/nowhere"))
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="LITEBERT_DATA does not name a folder with the public data sets"
)
TEXTS = [f"text number {i}" for i in range(200)]


def read(name, folder, split):
    return official_data(name).read(folder, split, warnings=[])


@pytest.fixture
def davidson(tmp_path):
    rows = [",count,hate_speech,offensive_language,neither,class,tweet"]
    rows += [f'{i},3,{i % 3},{i % 2},0,{i % 3},"{text}, ""so""\nand on"' for i, text in enumerate(TEXTS)]
    (tmp_path / "labeled_data.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_without_an_official_split_the_text_decides(davidson):
    parts = {split: read("davidson-hate", davidson, split) for split in ("train", "dev", "test")}
    texts = {split: {r.text for r in records} for split, records in parts.items()}
    assert sum(map(len, texts.values())) == len(TEXTS) == len(set.union(*texts.values()))
    assert 100 < len(texts["train"]) < 190 and texts["dev"] and texts["test"]
    assert {part_of(text) for text in texts["dev"]} == {"dev"}
    assert part_of("where is my card?") == part_of(" where is my card?\n") == "train"  # pinned: it may never change
    assert "".join(x for x in "abcdefghijklmnopqrstuvwxyz" if part_of(x) == "dev") == "js"
    assert "".join(x for x in "abcdefghijklmnopqrstuvwxyz" if part_of(x) == "test") == "delty"


def test_classes_votes_and_texts_are_read(davidson):
    everything = [r for split in ("train", "dev", "test") for r in read("davidson-hate", davidson, split)]
    (first,) = [r for r in everything if r.text.startswith("text number 4,")]
    assert first.text == 'text number 4, "so"\nand on' and first.label == "offensive_language" and first.line == 10
    votes = [r for split in ("train", "dev", "test") for r in read("davidson-hate/votes", davidson, split)]
    by_text = {r.text.split(",")[0]: r.label for r in votes}
    assert by_text["text number 4"] == ("hate_speech",) and by_text["text number 0"] == ()
    assert by_text["text number 5"] == ("hate_speech", "offensive_language")


def test_spam_has_no_header_and_no_quoting(tmp_path):
    lines = [f'{"spam" if i % 5 == 0 else "ham"}\t"{text}' for i, text in enumerate(TEXTS)]
    (tmp_path / "SMSSpamCollection").write_text("\n".join(lines))
    records = [r for split in ("train", "dev", "test") for r in read("sms-spam", tmp_path, split)]
    assert len(records) == 200 and all(r.text.startswith('"text') for r in records)
    assert official_data("sms-spam").task().to_dict()["positive"] == "spam"
    (tmp_path / "SMSSpamCollection").write_text("\n".join([*lines, "ham without a tab"]))
    with pytest.raises(DataError) as error:
        read("sms-spam", tmp_path, "train")
    assert error.value.line == 201


@pytest.mark.parametrize("inside", ["hate", "datasets/hate", ""])
def test_tweets_and_their_labels_lie_side_by_side(inside, tmp_path):
    home = tmp_path / inside
    home.mkdir(parents=True, exist_ok=True)
    (home / "val_text.txt").write_text("one @user\ntwo\u2028still two\n")
    (home / "val_labels.txt").write_text("1\n0\n")
    records = read("tweeteval/hate", tmp_path, "dev")
    assert [(r.text, r.label) for r in records] == [("one @user", "hate"), ("two\u2028still two", "not-hate")]
    assert official_data("tweeteval/hate").available(tmp_path) == ["dev"]
    (home / "val_labels.txt").write_text("1\n2\n")
    with pytest.raises(DataError, match="no class from 0 to 1"):
        read("tweeteval/hate", tmp_path, "dev")
    (home / "val_labels.txt").write_text("1\n")
    with pytest.raises(DataError, match="2 texts and 1 labels"):
        read("tweeteval/hate", tmp_path, "dev")


def test_dev_comes_from_train_where_only_it_is_missing(tmp_path):
    (tmp_path / "germeval2018.training.txt").write_text("".join(f"{t}\tOFFENSE\tINSULT\n" for t in TEXTS))
    (tmp_path / "germeval2018.test.txt").write_text("".join(f"neu {t}\tOTHER\tOTHER\n" for t in TEXTS))
    train, dev, test = (read("germeval2018/fine", tmp_path, split) for split in ("train", "dev", "test"))
    assert len(train) + len(dev) == len(test) == 200 and {r.label for r in train + dev} == {"INSULT"}
    assert {r.text for r in dev} == {t for t in TEXTS if part_of(t) == "dev"}
    assert {r.label for r in read("germeval2018/coarse", tmp_path, "dev")} == {"OFFENSE"}


def test_labels_that_are_learnt_and_what_is_out_of_scope(tmp_path):
    parts = {"train": "ab", "oos_train": "o", "val": "ab", "oos_val": "o", "test": "ba", "oos_test": "oo"}
    names = {"a": "alarm", "b": "balance", "o": "oos"}
    data = {key: [[f"{key} {i}", names[x]] for i, x in enumerate(value)] for key, value in parts.items()}
    (tmp_path / "data_full.json").write_text(json.dumps(data))
    options = {"review": 0.2, "thresholds": "recall=0.9", "positive": "oos"}
    splits = read_splits(
        "clinc150", train=None, dev=None, data=str(tmp_path), columns=None, options=options, dev_fraction=0.1, limit=None
    )  # fmt: skip
    assert isinstance(splits.task, ClassifyTask) and splits.task.labels == ("alarm", "balance", "oos")
    assert splits.task.decision.share == 0.2 and splits.task.decision.positive == 2
    with pytest.raises(UsageError, match="no split 'tset'"):
        official_data("clinc150").read("", "tset", file=str(tmp_path / "data_full.json"), warnings=[])
    assert [len(read("clinc150", tmp_path, s)) for s in official_data("clinc150").dev_splits] == [3, 4, 2, 2]
    model = ClassifyTask.from_records([], {"labels": ["alarm", "balance"], "metric": "macro_f1"})
    assert official_data("clinc150").of_model(model).to_dict()["metric"] == "accuracy"
    (tmp_path / "data_full.json").write_text(json.dumps([1, 2]))
    with pytest.raises(DataError, match="CLINC150"):
        read("clinc150", tmp_path, "train")


def test_options_of_a_benchmark(davidson):
    def splits(**options):
        return read_splits(
            "davidson-hate/votes", train=None, dev=None, data=str(davidson), columns=None, options=options, dev_fraction=0.1,
            limit=None,
        )  # fmt: skip

    assert str(splits(thresholds="recall=0.8").task.decision.aim) == "recall=0.8"
    for wrong in ({"threshold": "recall=0.8"}, {"labels": ["a", "b"]}, {"kind": "single"}):
        with pytest.raises(UsageError, match="no option"):
            splits(**wrong)


def test_a_benchmark_judges_with_the_models_own_thresholds():
    """Its metric, but not a threshold of 0.5 and no temperature."""
    data = {
        **official_data("davidson-hate/votes").task().to_dict(),
        "metric": "map",
        "thresholds": [0.1, 0.9],
        "temperature": 2.0,
    }
    found = official_data("davidson-hate/votes").of_model(ClassifyTask.from_dict(data)).to_dict()
    assert (found["metric"], found["thresholds"], found["temperature"]) == ("macro_f1", [0.1, 0.9], 2.0)
    glue = official_data("glue/sst2").task().to_dict()
    warm = official_data("glue/sst2").of_model(ClassifyTask.from_dict({**glue, "temperature": 2.0})).to_dict()
    assert warm == {**glue, "temperature": 2.0}
    with pytest.raises(UsageError):
        official_data("sms-spam").of_model(ClassifyTask.from_dict(data))


def test_missing_files_and_columns_are_named(tmp_path):
    with pytest.raises(DataError, match=r"labeled_data\.csv"):
        read("davidson-hate", tmp_path, "train")
    (tmp_path / "labeled_data.csv").write_text("tweet,label\na,b\n")
    with pytest.raises(DataError, match="no column 'class'"):
        read("davidson-hate", tmp_path, "train")


@needs_data
@pytest.mark.parametrize("name", TEXT_SETS)
def test_the_official_files_are_read_whole(name):
    """As many texts as published, the labels that the papers name, no text in two of our own splits."""
    folder, data = DATA / name.split("/")[0], official_data(name)
    parts = {split: data.read(folder, split, warnings=[]) for split in data.available(folder)}
    counts = {split: len(records) for split, records in parts.items()}
    expected = {
        "davidson-hate": 24_783, "sms-spam": 5_574, "tweeteval/emotion": 5_052, "tweeteval/hate": 12_970, "tweeteval/irony": 4_601,
        "tweeteval/offensive": 14_100, "germeval2018/coarse": 8_541, "germeval2018/fine": 8_541, "banking77": 13_083,
        "davidson-hate/votes": 24_783, "tweeteval/sentiment": 14_284,
        "clinc150": 23_700, "clinc150/small": 16_200, "clinc150/oos-plus": 23_850,
    }  # fmt: skip
    assert sum(counts[s] for s in ("train", "dev", "test") if s in counts) == expected[name]
    labels = {x for r in parts["dev"] for x in (r.label if isinstance(r.label, tuple) else (r.label,))}
    if TEXT_SETS[name].labels:
        assert labels == set(TEXT_SETS[name].labels)
    else:
        assert len(labels) == (77 if name == "banking77" else 151)
    if name in ("davidson-hate", "sms-spam", "banking77"):
        assert not {r.text for r in parts["train"]} & {r.text for r in parts["dev"]}
