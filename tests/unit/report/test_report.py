"""The report page: escaped, self-contained, complete, and written atomically."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from litebert.errors import RunError
from litebert.report import page
from litebert.report.page import LongText, Report, Section, format_number
from litebert.train import training_report as run
from litebert.train.evaluation import (
    CalibrationBin,
    Evaluation,
    WorstExample,
    baseline_of,
    learnt_nothing,
    lower_is_better,
    most_confused,
    seed_scores,
)
from litebert.train.training_report import build_training_report

HOSTILE = '<script>alert("x")</script>&\'\x00\ud800\u202e日本語'
VOID = {"meta", "link", "rect", "path", "circle", "br"}


class Page(HTMLParser):
    """Collect tags, attributes and text, and check that tags are closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def metrics_rows(seeds: int = 2, steps: int = 40) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for seed in range(seeds):
        for step in range(1, steps + 1):
            train = {"event": "train", "seed": seed, "step": step, "loss": 2 / step, "learning_rate": 1e-5}
            rows.append({**train, "gradient_norm": 1.0, "examples_per_second": 100.0})
        rows += [
            {"event": "eval", "seed": seed, "step": s, "dev/accuracy": s / 50 + seed / 100, "dev/loss": 1 / s}
            for s in (20, 40)
        ]
    return rows


def classification(n: int = 3) -> Evaluation:
    labels = [f"label {i}" for i in range(n)]
    confusion = [[10 if i == j else int(j == (i + 1) % n) for j in range(n)] for i in range(n)]
    return Evaluation(
        metrics={"accuracy": 0.9, "macro f1": 0.8},
        labels=labels,
        confusion=confusion,
        calibration=[CalibrationBin(lower=0.5, upper=1.0, count=9, confidence=0.9, accuracy=0.8)],
        ece=0.1,
        per_label=[{"label": name, "precision": 0.9, "recall": 0.8, "f1": 0.85, "support": 11} for name in labels],
        worst=[
            WorstExample(text="a text", gold="label 0", predicted="label 1", confidence=0.99, loss=4.6, pair="its pair")
        ],
        baseline={"majority class": 0.34},
    )


def build(**changes: Any) -> Report:
    plain: dict[str, Any] = {
        "facts": {"Task": "topics", "torch": "2.13.0"},
        "metrics": metrics_rows(),
        "evaluation": classification(),
    }
    seeds = [{"seed": 0, "accuracy": 0.9}, {"seed": 1, "accuracy": 0.8}]
    plain |= {"title": "A run", "seeds": seeds, "warnings": ["small data"], "usage": "litebert predict runs/a -"}
    return build_training_report(**(plain | changes))


def headings(report: Report) -> list[str]:
    return [section.heading for section in report.sections]


def test_a_full_report_has_all_sections_and_is_well_formed() -> None:
    report = build()
    parts = ["Summary", "Scores", "Training", "Predictions", "Labels", "Worst examples", "Use the model", "Environment"]
    assert headings(report) == parts
    parsed = Page(report.render())
    assert parsed.tags["svg"] == 6 + 2 + 1  # six curves, matrix and calibration, F1
    for text in (
        "0.9000",
        "majority class",
        "0.3400",
        "the model is 0.5600 above",
        "0.8500",
        "0.8000 to 0.9000, 2 seeds",
    ):
        assert text in parsed.text
    for text in (
        "Warning. small data",
        "a text",
        "its pair",
        "litebert predict runs/a -",
        "2.13.0",
        "Best 0.8100 at step 40, seed 1.",
    ):
        assert text in parsed.text


def test_a_pretraining_run_shows_utilisation_and_the_parts_of_its_loss() -> None:
    rows = [
        {"event": "train", "seed": 0, "step": step, "loss": 9.0, "loss/mlm": 8.3, "mfu": 0.4, "masked_rate": 0.15}
        | ({"loss/sop": 0.7} if step > 2 else {})
        for step in range(1, 6)
    ]
    parsed = Page(build(metrics=rows, evaluation=None, seeds=[]).render())
    for title in ("masked words", "sentence order", "Model FLOP utilisation", "Masked positions"):
        assert title in parsed.text
    assert parsed.tags["svg"] == 5


def test_an_empty_run_makes_a_page() -> None:
    report = build(facts={}, metrics=[], evaluation=None, seeds=[], warnings=[], usage="")
    assert headings(report) == []
    assert "A run" in Page(report.render()).text


def test_regression_has_scatter_and_residuals_and_no_label_parts() -> None:
    evaluation = Evaluation(metrics={"pearson": 0.9}, regression=([1.0, 2.0, 3.0], [1.5, 2.0, 2.5]))
    report = build(evaluation=evaluation, metrics=[])
    html = report.render()
    assert "Labels" not in headings(report) and "Residuals" in html and "Predicted against gold" in html


def test_hostile_text_is_escaped_wherever_it_can_come_in() -> None:
    evaluation = Evaluation(
        metrics={HOSTILE: 0.5},
        labels=[HOSTILE, "b", "c"],
        confusion=[[1, 2, 0], [0, 1, 0], [0, 0, 1]],
        per_label=[{"label": HOSTILE, "precision": 1, "recall": 1, "f1": 1.0, "support": 1}],
        worst=[WorstExample(text=HOSTILE * 30, gold=HOSTILE, predicted=HOSTILE, pair=HOSTILE)],
        baseline={HOSTILE + "x": 0.6},
    )
    rows = [
        *metrics_rows(1, 2),
        {"event": "restart", "step": 1, "message": HOSTILE},
        {"event": "warning", "message": HOSTILE + "y"},
    ]
    rows += [{"event": "eval", "seed": HOSTILE, "step": 1, f"dev/{HOSTILE}": 1.0}]
    report = build(
        title=HOSTILE,
        facts={"Task": HOSTILE, HOSTILE: HOSTILE},
        metrics=rows,
        evaluation=evaluation,
        seeds=[{"seed": HOSTILE, HOSTILE: 0.5}, {"seed": 1}],
        warnings=[HOSTILE],
        usage=HOSTILE,
    )
    html = report.render()
    html.encode("utf-8")
    parsed = Page(html)
    assert parsed.tags["script"] == 0 and parsed.text.count("<script>alert") > 15
    assert "\x00" not in html and not any(name.startswith("on") for _, name, _ in parsed.attributes)


def test_the_page_asks_for_nothing_from_outside() -> None:
    html = build().render()
    parsed = Page(html)
    links = [
        value for _, name, value in parsed.attributes if name in ("href", "src", "data", "action", "srcset", "poster")
    ]
    assert links and all(value and value.startswith(("#", "data:")) for value in links)
    assert "url(" not in html and "@import" not in html and "default-src 'none'" in html
    assert html.replace('xmlns="http://www.w3.org/2000/svg"', "").count("http") == html.count("http-equiv")
    anchors = {value for tag, name, value in parsed.attributes if tag == "section" and name == "id"}
    assert {str(value)[1:] for value in links if str(value).startswith("#")} == anchors


def test_a_model_no_better_than_the_baseline_is_called_an_error() -> None:
    losing = Evaluation(metrics={"accuracy": 0.3}, baseline={"accuracy": 0.3})
    assert "The model is not better than the baseline on accuracy." in build(evaluation=losing).render()
    assert "not better" not in build().render()
    low = Evaluation(metrics={"rmse": 0.3}, baseline={"constant mean": 0.9})
    assert "not better" not in build(evaluation=low).render()
    broken = Evaluation(metrics={"accuracy": math.nan}, baseline={"accuracy": 0.3})
    assert "not better" in build(evaluation=broken).render()


def test_a_model_that_learnt_nothing_is_told_whichever_way_its_figure_goes() -> None:
    def told(reached: float, without: float, name: str) -> str | None:
        return learnt_nothing(Evaluation(metrics={name: reached}, baseline={name: without}))

    assert told(0.3, 0.3, "accuracy") == "accuracy 0.3000 is no better than 0.3000 without learning"
    assert told(0.4, 0.3, "accuracy") is None and told(0.3, 0.4, "rmse") is None
    assert told(0.4, 0.3, "rmse") is not None and told(math.nan, 0.3, "rmse") is not None
    assert learnt_nothing(Evaluation(metrics={"map": 0.3}, baseline={"order given": 0.5})) is None
    below = Evaluation(metrics={"map": 0.3}, baseline={"order given": 0.5, "random order": 0.34})
    assert learnt_nothing(below) == "map 0.3000 is no better than 0.3400 without learning"
    assert learnt_nothing(Evaluation(metrics={"f1": 0.0097})) == "f1 0.0097 is next to nothing"
    assert (
        learnt_nothing(Evaluation(metrics={"f1": 0.2})) is None
        and learnt_nothing(Evaluation(metrics={"mae": 0.0})) is None
    )


def test_events_become_notes_once_and_restarts_become_markers() -> None:
    rows: list[dict[str, Any]] = [*metrics_rows(1), {"event": "restart", "step": 10, "message": "resumed from step 10"}]
    rows += [{"event": "warning", "message": "step skipped"}] * 3
    html = build(metrics=rows, warnings=["step skipped"]).render()
    assert html.count("step skipped") == 1 and "step skipped (4 times)" in html
    assert "Restart: resumed from step 10" in html and "<title>resumed from step 10</title>" in html


def test_a_step_logged_again_after_a_resume_counts_once() -> None:
    rows = [
        {"event": "train", "seed": 0, "step": step, "loss": loss}
        for step, loss in ((1, 3.0), (2, 9.0), (2, 2.0), (3, 1.0))
    ]
    html = build(metrics=rows).render()
    assert "seed 0: 2 at 2" in html and "seed 0: 9 at 2" not in html


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "NaN", 1e400])
def test_odd_numbers_in_the_log_do_not_break_the_page(value: object) -> None:
    rows = [
        {"event": "train", "seed": 0, "step": 1, "loss": value},
        {"event": "train", "loss": 1.0},
        {"event": "other"},
        {},
    ]
    assert "Training loss" in build(metrics=rows).render()


def test_smoothing_does_not_lag_and_keeps_gaps() -> None:
    line = [float(i) for i in range(200)]
    assert run._smooth(line)[10:-10] == pytest.approx(line[10:-10])
    gap = run._smooth([1.0] * 30 + [math.nan] + [1.0] * 30)
    assert math.isnan(gap[30]) and all(value == pytest.approx(1.0) for i, value in enumerate(gap) if i != 30)


def test_numbers_are_aligned_right_and_words_are_not() -> None:
    html = page.table(("name", "score", "share"), [("a", 1, "5.0%"), ("b", None, "1.0%")]).html
    assert html.count('class="n"') == 6 and "<td>a</td>" in html and '<td class="n">–</td>' in html


def test_long_text_is_cut_and_kept_whole_behind_a_click() -> None:
    text = "word " * 200
    html = LongText([text, "short"], limit=50).html()
    assert "<details" in html and text in html and "word…" in html
    assert "<details" not in LongText(["short"]).html()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((None, "–"), (math.nan, "–"), (True, "yes"), (12345, "12,345"), (0.5, "0.5000"), (0.0, "0.0000")),
        *((123.456, "123.46"), (54321.0, "54,321"), (2e-5, "2e-5"), (math.inf, "inf"), (-0.25, "-0.2500")),
    ],
)
def test_format_number(value: float | None, text: str) -> None:
    assert format_number(value) == text


def test_every_block_escapes_its_text() -> None:
    blocks = [
        page.paragraph("<p>"),
        page.subheading("<h>"),
        page.note("<n>", "error"),
        page.code("\n  <c>\n"),
        page.key_values({"<k>": "<v>"}),
    ]
    report = Report("t", "<sub>").add(Section("<head>", page.fold("<fold>", *blocks)))
    text = Page(report.render()).text
    for part in ("<p>", "<h>", "Error. <n>", "  <c>", "<k>", "<v>", "<head>", "<fold>", "<sub>"):
        assert part in text


def test_write_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    assert Report("one").write(path) == path
    Report("two").write(str(path))
    assert "<h1>two</h1>" in path.read_text(encoding="utf-8") and [item.name for item in path.parent.iterdir()] == [
        "report.html"
    ]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    Report("old").write(path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RunError, match="No space left") as caught:
        Report("new").write(path)
    assert caught.value.path == str(path) and caught.value.hint
    assert "<h1>old</h1>" in path.read_text(encoding="utf-8") and [item.name for item in tmp_path.iterdir()] == [
        "report.html"
    ]


def test_most_confused_is_sorted_and_skips_what_never_happened() -> None:
    pairs = most_confused([[5, 2, 0], [3, 5, 0], [2, 0, 0]], ["a", "b", "c"])
    assert [(p.gold, p.predicted, p.count) for p in pairs] == [("b", "a", 3), ("c", "a", 2), ("a", "b", 2)]
    assert pairs[1].share == 1.0 and len(most_confused([[0, 1], [1, 0]], ["a", "b"], limit=1)) == 1


def test_baseline_and_seed_scores_are_found_by_name() -> None:
    assert baseline_of(Evaluation(metrics={"f1": 1.0}, baseline={"f1": 0.5})) == ("baseline", 0.5)
    assert baseline_of(Evaluation(metrics={"f1": 1.0, "loss": 1.0}, baseline={"loss": 2.0, "majority class": 0.1})) == (
        "majority class",
        0.1,
    )
    assert baseline_of(Evaluation(metrics={"f1": 1.0})) is None
    assert seed_scores("f1", [{"f1": 0.5}, {"dev/f1": 0.6}, {"score": 0.7}, {"f1": math.nan}, {}]) == [0.5, 0.6, 0.7]
    assert lower_is_better("dev/loss") and lower_is_better("mean absolute error") and not lower_is_better("dev/f1")


def test_the_report_needs_no_torch() -> None:
    source = str(Path(page.__file__).parents[2])
    module = "litebert.train.training_report"
    program = f"import sys, {module}; print(sorted({{'torch', 'matplotlib', 'sklearn', 'scipy'}} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": source}
    )
    assert done.stdout.strip() == "[]"
