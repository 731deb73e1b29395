"""The official files as published: as many questions, sentences and entities as their papers count."""

import os
from pathlib import Path

import pytest

from litebert.errors import DataError, UsageError
from litebert.tasks.official.table import OFFICIAL, benchmark_names, glue_task, official_data
from litebert.tasks.qa.data import read_questions
from litebert.tasks.qa.metrics import scored

DATA = Path(os.environ.get("LITEBERT_DATA", "/nowhere"))
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="LITEBERT_DATA does not name a folder with the public data sets"
)


@needs_data
@pytest.mark.parametrize(
    ("name", "folder", "split", "records"),
    [
        ("squad/v1", "squad-v1.1", "dev", 10_570),
        ("squad/v2", "squad-v2.0", "dev", 11_873),
        *(
            (f"xquad/{language}", "xquad", "dev", 1_190)
            for language in ("ar", "de", "el", "hi", "th", "tr", "vi", "zh")
        ),
        ("race", "race", "dev", 4_887),
        ("race", "race", "test", 4_934),
        ("dream", "dream", "train", 6_116),
        ("dream", "dream", "dev", 2_040),
        ("conll2003", "conll2003", "train", 14_041),
        ("conll2003", "conll2003", "dev", 3_250),
        ("conll2003", "conll2003", "test", 3_453),
    ],
)
def test_records(name, folder, split, records):
    warnings = []
    assert len(OFFICIAL[name].read(DATA / folder, split, warnings=warnings)) == records and warnings == []


@needs_data
@pytest.mark.parametrize(
    ("name", "split", "entities"),
    [
        ("conll2003", "train", 23_499),
        ("conll2003", "dev", 5_942),
        ("conll2003", "test", 5_648),
        ("wnut17", "test", 1_079),
    ],
)
def test_entities(name, split, entities):
    records = OFFICIAL[name].read(DATA / name, split, warnings=[])
    assert sum(len(record.label.entities) for record in records) == entities


@needs_data
@pytest.mark.parametrize("language", ["ar", "de", "el", "en", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh"])
def test_xquad(language):
    """Every answer stands where it is said to, letter by letter, in every script."""
    warnings = []
    path = DATA / "xquad" / f"xquad.{language}.json"
    records = read_questions(path, labels_required=True, warnings=warnings)
    assert len(records) == 1_190 and warnings == []
    assert all(
        r.pair.startswith(text, start)
        for r in records
        for text, start in zip(r.label.texts, r.label.starts, strict=True)
    )


@needs_data
def test_bbc_news_summary():
    """2,225 articles; of nearly all summaries the sentences are found letter by letter."""
    sets = {
        split: OFFICIAL["bbc-news-summary"].read(DATA / "bbc-news-summary", split, warnings=[])
        for split in ("train", "dev", "test")
    }
    assert {split: len(records) for split, records in sets.items()} == {"train": 1_731, "dev": 259, "test": 235}
    texts = [{record.text for record in records} for records in sets.values()]
    assert not texts[0] & texts[1] and not texts[0] & texts[2] and not texts[1] & texts[2]
    found = [record for records in sets.values() for record in records]
    verbatim = sum(all(sentence in record.text for sentence in record.label.sentences) for record in found)
    assert verbatim > 0.98 * len(found) and all(record.label.chosen for record in found)


@needs_data
def test_nothing_answered_is_half_right_on_squad_2():
    """The figure of a model that answers nothing (checklist F10)."""
    records = OFFICIAL["squad/v2"].read(DATA / "squad-v2.0", "dev", warnings=[])
    figures = scored([""] * len(records), [record.label.texts for record in records])
    assert round(100 * figures.f1.mean(), 2) == round(100 * figures.exact.mean(), 2) == 50.07


def test_names():
    assert {"glue/mrpc", "squad/v1", "squad/v2", "race", "dream", "conll2003", "wnut17"} <= set(benchmark_names())
    assert "glue/ax" not in benchmark_names()
    with pytest.raises(UsageError, match="Did you mean"):
        official_data("squad/v3")
    with pytest.raises(UsageError, match="no submission format"):
        glue_task("race")


def test_a_file_of_another_version_is_not_taken(tmp_path):
    (tmp_path / "dev-v1.1.json").write_text("{}")
    assert OFFICIAL["squad/v2"].available(tmp_path) == [] and OFFICIAL["squad/v1"].available(tmp_path) == ["dev"]
    with pytest.raises(DataError, match=r"no dev split of SQuAD 2\.0"):
        OFFICIAL["squad/v2"].files(tmp_path, "dev")
    (tmp_path / "dev.json").write_text("{}")
    assert [path.name for path in OFFICIAL["squad/v2"].files(tmp_path, "dev")] == ["dev.json"]


def test_xquad_is_answered_only(tmp_path):
    data = OFFICIAL["xquad/de"]
    assert not data.trainable and "xquad/de" not in benchmark_names() and data.available(tmp_path) == []
    with pytest.raises(DataError, match=r"no xquad\.de\.json"):
        data.files(tmp_path, "dev")
    (tmp_path / "xquad.de.json").write_text("{}")
    assert data.available(tmp_path) == ["dev"] and OFFICIAL["xquad/tr"].available(tmp_path) == []
    assert data.task() == OFFICIAL["squad/v1"].task()
