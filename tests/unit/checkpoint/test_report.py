"""G10, F14: what a load says, and what it refuses."""

import logging

import pytest

from litebert.checkpoint import pretrained
from litebert.checkpoint.report import LoadReport
from litebert.errors import CheckpointError
from tests.unit.model.test_albert import noisy, tiny

WORD = "albert.embeddings.word.weight"


def test_summary_counts_and_names_what_is_new():
    report = LoadReport(
        "somewhere", loaded=[WORD], missing=["classifier.weight", "classifier.bias"], unexpected=["x"],
        mismatched=[("qa_outputs.weight", (3, 2), (2, 2))], ignored=["y", "z"],
    )  # fmt: skip
    assert report.new_parts == ["classifier", "span head"]
    summary = report.summary()
    for part in (
        "somewhere",
        "1 tensors loaded",
        "2 missing",
        "1 unexpected",
        "1 of another shape",
        "2 ignored",
        "classifier",
    ):
        assert part in summary
    assert report.to_dict()["mismatched"] == [{"name": "qa_outputs.weight", "file": [3, 2], "model": [2, 2]}]


def test_nothing_new_is_not_announced():
    assert "random" not in LoadReport("s", loaded=[WORD]).summary()


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("loaded", [[], ["classifier.weight"]])
def test_a_load_that_matches_nothing_of_the_encoder_is_an_error(strict, loaded):
    """F14: whether strict or not."""
    with pytest.raises(CheckpointError, match="nothing would be loaded") as caught:
        LoadReport("s", loaded=loaded, missing=[WORD]).check(strict=strict)
    assert "random:" in caught.value.hint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"missing": ["albert.encoder.projection.weight"]}, "1 tensors are missing, e.g. albert.encoder.projection"),
        ({"unexpected": ["lm_head.weight"]}, "not part of an ALBERT.*lm_head.weight"),
        ({"mismatched": [(WORD, (3, 2), (4, 2))]}, r"another shape.*\(3, 2\) in the file, \(4, 2\) in the model"),
        ({"mismatched": [("albert.pooler.bias", (3,), (4,))]}, "another shape"),
    ],
)
def test_strict_refuses_an_encoder_that_does_not_match(changes, message):
    report = LoadReport("s", loaded=["albert.pooler.weight"], **changes)
    with pytest.raises(CheckpointError, match=message):
        report.check()
    report.check(strict=False)


@pytest.mark.parametrize(
    "changes",
    [
        {"missing": ["classifier.weight"]},
        {"missing": ["albert.pooler.weight"]},
        {"mismatched": [("classifier.bias", (3,), (2,))]},
    ],
)
def test_heads_may_be_new_unless_told_otherwise(changes):
    report = LoadReport("s", loaded=[WORD], **changes)
    report.check()
    assert len(report.new_parts) == 1
    with pytest.raises(CheckpointError):
        report.check(new_heads=False)


def test_lists_of_a_real_load(tmp_path, caplog):
    model = noisy(pretrained.AlbertForPreTraining(tiny()))
    model.save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING, logger="litebert"):
        report = pretrained.AlbertForPreTraining.from_pretrained(tmp_path).load_report
        assert sorted(report.loaded) == sorted(model.state_dict())
        assert not (report.missing or report.unexpected or report.mismatched or report.ignored or caplog.text)
        report = pretrained.AlbertForSequenceClassification.from_pretrained(tmp_path).load_report
    assert report.missing == ["classifier.weight", "classifier.bias"]
    assert {n.split(".")[0] for n in report.ignored} == {"predictions", "sentence_order"}
    assert "starts from random values: classifier" in caplog.text


def test_missing_sentence_order_head_is_announced(tmp_path, caplog):
    """G10."""
    pretrained.AlbertForMaskedLM(tiny()).save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING, logger="litebert"):
        model = pretrained.AlbertForPreTraining.from_pretrained(tmp_path)
    assert model.load_report.new_parts == ["sentence-order head"]
    assert "sentence-order head" in caplog.text


def test_pooler_is_loaded_for_classification(tmp_path):
    """A12."""
    pretrained.AlbertForPreTraining(tiny()).save_pretrained(tmp_path)
    report = pretrained.AlbertForSequenceClassification.from_pretrained(tmp_path).load_report
    assert {"albert.pooler.weight", "albert.pooler.bias"} <= set(report.loaded)


def test_another_number_of_labels_is_a_new_head(tmp_path):
    pretrained.AlbertForSequenceClassification(tiny(num_labels=2)).save_pretrained(tmp_path)
    model = pretrained.AlbertForSequenceClassification.from_pretrained(tmp_path, num_labels=4)
    assert model.classifier.weight.shape == (4, 16)
    assert [m[0] for m in model.load_report.mismatched] == ["classifier.weight", "classifier.bias"]
    assert model.load_report.new_parts == ["classifier"]
