"""The page of a corpus: what stands out fires at its threshold and not before, and any report makes a page."""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from litebert.cli.main import run
from litebert.corpus.report import findings as limits
from litebert.corpus.report.fields import Fields, percent
from litebert.corpus.report.findings import Finding, check_report, findings_of
from litebert.corpus.report.page import build_data_report, read_report, write_data_report
from litebert.corpus.report.sections import common_folder
from litebert.errors import DataError

HOSTILE = '<script>alert("x")</script>&\'\x00\ud800\u202e</td></svg>日本語'
VOID = {"meta", "link", "rect", "path", "circle", "br"}


class Page(HTMLParser):
    """Collect tags, attributes and text, and check that tags are closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def source(name: str, tokens: int, **more: Any) -> dict[str, Any]:
    plain = {"kind": "text", "compression": None, "bytes": 4 * tokens, "documents": 500, "clean_documents": 500}
    return {
        "source": name,
        **plain,
        "kept_documents": 500,
        "kept_characters": 4 * tokens,
        "tokens": tokens,
        "dropped": {},
    } | more


def lengths(mean: float, bins: list[list[int | None]]) -> dict[str, Any]:
    count = sum(n or 0 for *_, n in bins)
    return {"count": count, "mean": mean, "largest": 90, "median": mean, "p90": 2 * mean, "bins": bins}


def sample(text: str, number: int = 7) -> dict[str, Any]:
    return {"source": "/data/b.txt", "number": number, "text": text}


def full() -> dict[str, Any]:
    """Return a report of a large, good corpus, with every field."""
    n = 600_000_000
    return {
        "schema": "litebert-corpus-report/1",
        "corpus": {
            "documents": 1000, "sentences": 20_000_000, "tokens": n, "characters": 4 * n, "shards": 3, "characters_per_token": 4.0,
        },
        "funnel": [
            {"stage": "read", "documents": 1050, "characters": 4 * n + 50},
            {"stage": "cleaned", "documents": 1020, "characters": 4 * n + 20},
            {"stage": "deduplicated", "documents": 1000, "characters": None},
            {"stage": "written", "documents": 1000, "characters": 4 * n},
        ],
        "sources": [source("/data/a.txt", n // 2), source("/data/b.txt", n // 2, dropped={"short": 30, "duplicate": 20})],
        "other_sources": None,
        "read": {"documents": 1050, "characters": 4 * n + 50},
        "changed": {"notice lines": 11},
        "dropped": {"short": 30, "exact duplicate": 12, "near duplicate": 8},
        "duplicates": {"kept": 1000, "exact": 12, "near": 8, "clusters": 9, "largest_cluster": 5},
        "tokens": {
            "vocab_size": 16000, "pieces_used": 15900, "pieces_seen_100_times": 15000, "unknown": 60_000, "unknown_share": 0.0001,
            "no_letter_share": 0.18,
            "top": [{"piece": "▁the", "count": n // 20, "share": 0.05}, {"piece": ",", "count": n // 25, "share": 0.04}],
        },
        "languages": {"measured": 400, "shares": {"en": 0.98, "de": 0.02}},
        "histograms": {
            "document_tokens": lengths(600.0, [[256, 362, 400], [362, 512, 600]]),
            "document_sentences": lengths(20.0, [[1, 2, 10], [16, 22, 990]]),
            "sentence_tokens": lengths(28.0, [[8, 11, 5], [16, None, 15]]),
        },
        "samples": {
            "dropped": {"short": [sample("Too short.")]},
            "duplicates": {"exact": [], "near": [{**sample("A copy."), "duplicate_of": sample("An original.", 3)}]},
            "kept": [sample("A good text.")],
        },
        "settings": {"dedup": {"exact": True, "near": True, "threshold": 0.8, "shingle_words": 5}, "seed": 0},
        "tokenizer": {"vocab_size": 16000, "sha256": "ab" * 32},
        "versions": {"litebert": "1.2.3"},
    }  # fmt: skip


def changed(path: str, value: Any) -> dict[str, Any]:
    report: Any = full()
    *groups, last = path.split("/")
    inner = report
    for name in groups:
        inner = inner[int(name) if name.isdigit() else name]
    inner[last] = value
    return report  # type: ignore[no-any-return]


def found(report: dict[str, Any]) -> list[Finding]:
    return findings_of(check_report(report))


def rendered(report: Any) -> Page:
    return Page(build_data_report(report, title="A corpus").render())


# Findings -------------------------------------------------------------------------------------------------------------


def test_a_good_corpus_has_no_finding_and_the_page_says_so() -> None:
    assert found(full()) == []
    assert "Nothing stands out" in rendered(full()).text
    assert len([check for check in check_report(full()) if check.measured]) == len(check_report(full()))


@pytest.mark.parametrize(
    ("path", "usual", "beyond", "severity", "words"),
    [
        ("tokens/unknown_share", 0.005, 0.0051, "warning", "0.51% of the pieces are unknown"),
        ("tokens/unknown_share", 0.005, 0.051, "error", "5.10% of the pieces are unknown"),
        ("tokens/no_letter_share", 0.30, 0.31, "warning", "31% of the pieces hold no letter"),
        ("dropped/short", 210, 211, "warning", "20% of the documents read were dropped by one reason, short"),
        ("dropped/exact duplicate", 210, 231, "warning", "by one reason, exact duplicate"),
        ("duplicates/near", 112, 113, "warning", "10% of the documents are near duplicates"),
        ("duplicates/largest_cluster", 99, 100, "info", "One text came 100 times"),
        ("histograms/sentence_tokens/mean", 6.0, 5.9, "warning", "lists, headings"),
        ("histograms/sentence_tokens/mean", 60.0, 60.1, "warning", "few sentence ends"),
        ("corpus/tokens", 500_000_000, 499_999_999, "info", "499,999,999 tokens suit the small presets"),
        ("corpus/tokens", 500_000_000, 49_999_999, "warning", "few even for the small presets"),
        ("corpus/tokens", 500_000_000, 999_999, "error", "too few to pretrain"),
        ("corpus/characters_per_token", 2.5, 2.4, "warning", "A token holds 2.40 characters"),
        ("languages/shares", {"en": 0.9, "de": 0.1}, {"en": 0.89, "de": 0.11}, "info", "11% of the documents measured"),
        ("tokens/pieces_used", 12800, 12799, "warning", "20% of the vocabulary does not occur"),
        ("tokens/pieces_seen_100_times", 8000, 7999, "info", "occurs fewer than 100 times"),
        ("read/bytes replaced", 240_000, 240_001, "warning", "240,001 bytes could not be decoded"),
        ("read/row not json", 10, 11, "warning", "11 rows (1%) held no usable text"),
        ("read/file not text", 0, 1, "warning", "1 file was damaged or not text"),
        ("settings/dedup/near", True, False, "info", "Near duplicates were not looked for"),
        ("sources/1/kept_documents", 1, 0, "warning", "Nothing is left of source: /data/b.txt"),
        ("sources/1/kept_characters", 900_000_000, 899_999_999, "warning", "Far fewer characters per token"),
        ("histograms/document_sentences/bins", [[1, 2, 300], [2, 4, 700]], [[1, 2, 301], [2, 4, 699]], "warning", "single sentence"),
    ],
)  # fmt: skip
def test_a_finding_fires_beyond_its_threshold_only(
    path: str, usual: Any, beyond: Any, severity: str, words: str
) -> None:
    assert words not in " ".join(finding.text for finding in found(changed(path, usual)))
    (finding,) = [finding for finding in found(changed(path, beyond)) if words in finding.text]
    assert finding.severity == severity
    assert words in rendered(changed(path, beyond)).text


def test_one_source_may_give_all_but_one_of_several_may_not() -> None:
    report = full()
    total = report["corpus"]["tokens"]
    for part, fires in ((0.8, False), (0.81, True)):
        report["sources"] = [source("/a", round(part * total)), source("/b", total - round(part * total))]
        assert any("from one source, /a" in finding.text for finding in found(report)) is fires
    report["sources"] = [source("/a", total)]
    assert found(report) == []


def test_scripts_without_spaces_may_have_short_tokens() -> None:
    report = changed("corpus/characters_per_token", 1.6)
    report["languages"]["shares"] = {"zh": 0.99, "en": 0.01}
    assert found(report) == []


def test_pieces_without_letters_are_bounded_from_below_where_the_total_is_not_written() -> None:
    report = full()
    del report["tokens"]["no_letter_share"]
    assert "at least 4.00% of the text" in rendered(report).text
    report["tokens"]["top"][1]["share"] = 0.32
    assert any(finding.text.startswith("At least 32% of the pieces hold no letter") for finding in found(report))


def test_the_gravest_finding_comes_first() -> None:
    report = changed("tokens/unknown_share", 0.2)
    report["corpus"]["tokens"] = 400_000_000
    report["histograms"]["sentence_tokens"]["mean"] = 3
    assert [finding.severity for finding in found(report)] == ["error", "warning", "info"]
    text = rendered(report).text
    assert text.index("Error.") < text.index("Warning.") < text.index("Note.") < text.index("of those read")


def test_letters_of_all_scripts_are_letters() -> None:
    assert all(map(limits.has_letter, ("▁the", "日", "é", "ش", "3rd")))
    assert not any(map(limits.has_letter, ("▁", ",", "1999", "—", "€", "")))


# The page -------------------------------------------------------------------------------------------------------------


def test_a_full_report_fills_every_section() -> None:
    report = build_data_report(full(), title="A corpus")
    assert [section.heading for section in report.sections] == [
        "Summary", "From read to written", "Sources", "Dropped", "Duplicates", "Languages", "Lengths", "Vocabulary",
        "Samples of what stays", "Settings and versions",
    ]  # fmt: skip
    page = Page(report.render())
    for text in (
        "600.0M", "of 1,050 read, 95.2%", "12 exact, 8 near", "2 sources in /data/", "notice lines", "short 30", "Too short.",
        "A copy.", "An original.", "b.txt 7", "about 80% of the sequences of 5 words", "Measured on 400 documents",
        "15,900 (99.4%)", "A good text.", "dedup.threshold", "1.2.3", "ab" * 32,
    ):  # fmt: skip
        assert text in page.text, text
    assert page.tags["svg"] == 2 + 1 + 1 + 3 + 1  # sources, reasons, languages, lengths, pieces


def test_the_funnel_tells_what_each_stage_lost() -> None:
    html = build_data_report(full(), title="A corpus").render()
    row = re.search(r"<tr><td>cleaned</td>(.*?)</tr>", html)
    assert row and re.findall(r">([^<]+)</td>", row[1])[:3] == ["1,020", "97.1%", "30"]
    last = re.search(r"<tr><td>written</td>(.*?)</tr>", html)
    assert last and re.findall(r">([^<]+)</td>", last[1])[2] == "0"


def test_sources_come_by_tokens_with_the_rest_summed() -> None:
    report = full()
    report["sources"] = [
        source("/data/x/a.txt", 10_000),
        source("/data/y/b.txt", 20_000, kind="jsonl", compression="gz"),
    ]
    report["other_sources"] = {**source("", 5_000), "files": 1234}
    report["corpus"]["tokens"] = 35_000
    text = rendered(report).text
    assert text.index("y/b.txt") < text.index("x/a.txt") < text.index("1,234 smaller ones")
    assert "jsonl, gz" in text and "14.3%" in text and "1,236 sources in /data/" in text


def test_hostile_text_is_escaped_wherever_it_can_come_in() -> None:
    report = full()

    def poisoned(value: Any) -> Any:
        if isinstance(value, dict):
            return {name if name in known else name + HOSTILE: poisoned(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [poisoned(item) for item in value]
        return value + HOSTILE if isinstance(value, str) else value

    known = {
        *report, *report["corpus"], *report["funnel"][0], *report["sources"][0], *report["duplicates"], *report["tokens"],
        *report["tokens"]["top"][0], *report["histograms"], *report["histograms"]["document_tokens"], *report["samples"],
        *report["languages"], *report["tokenizer"], *report["settings"]["dedup"], "text", "number", "duplicate_of", "dedup",
        "exact", "near", "documents", "characters",
    }  # fmt: skip
    page = Page(build_data_report(poisoned(report), title=HOSTILE).render())
    assert page.tags["script"] == 0
    page.text.encode("utf-8")
    for text in ("Too short.", "A copy.", "An original.", "A good text.", "▁the", "notice lines", "b.txt", "1.2.3"):
        assert f'{text}<script>alert("x")</script>' in page.text


def test_the_page_needs_nothing_from_outside_and_runs_nothing() -> None:
    page = rendered(full())
    assert not page.tags["script"] and not page.tags["img"] and not page.tags["iframe"]
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    links = [value or "" for name, value in page.attributes if name in ("href", "src", "xlink:href", "action")]
    assert links and all(value.startswith(("#", "data:")) for value in links)


def test_the_same_report_gives_the_same_page() -> None:
    shuffled = full()
    shuffled["changed"] = {"b": 1, "a": 1}
    other = copy.deepcopy(shuffled)
    other["changed"] = {"a": 1, "b": 1}
    pages = [build_data_report(report, title="A corpus").render() for report in (shuffled, other)]
    assert pages[0] == pages[1]


def test_an_empty_corpus_says_that_nothing_is_left_and_why() -> None:
    report = full()
    report["corpus"] = dict.fromkeys(report["corpus"], 0)
    report["sources"] = [source("/data/a.txt", 0, kept_documents=0, kept_characters=0, dropped={"short": 1050})]
    report["dropped"] = {"short": 1050}
    report["duplicates"] = {"kept": 0, "exact": 0, "near": 0, "clusters": 0, "largest_cluster": 0}
    report["tokens"] = {"vocab_size": 16000, "pieces_used": 0, "unknown": 0, "unknown_share": 0.0, "top": []}
    report["histograms"] = {"document_tokens": lengths(0.0, [])}
    findings = [(finding.severity, finding.text) for finding in found(report)]
    assert findings[0][0] == "error" and "none of the 1,050 documents read is left" in findings[0][1]
    assert len(findings) == 2 and "dropped by one reason, short" in findings[1][1]
    page = rendered(report)
    assert "Too short." in page.text and "100.0%" in page.text and "nan" not in page.text.lower()


def mutilations() -> list[Any]:
    """Return the full report with each value, at any depth, taken away or replaced by others of the wrong kind."""
    reports: list[Any] = []
    wrongs: tuple[Any, ...] = (..., None, "x", -1, float("nan"), [], {}, [None], 1e300)

    def walk(path: tuple[Any, ...], value: Any) -> None:
        for name in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            for wrong in wrongs:
                report: Any = full()
                inner = report
                for step in path:
                    inner = inner[step]
                if wrong is ...:
                    del inner[name]
                else:
                    inner[name] = wrong
                reports.append(report)
            walk((*path, name), value[name])

    walk((), full())
    return reports


def test_missing_and_wrong_values_never_break_the_page() -> None:
    reports = mutilations()
    assert len(reports) > 1000
    for report in reports[::7]:  # 9 kinds of damage at each place: every kind meets every group of places
        html = build_data_report(report, title="A corpus").render()
        assert not re.search(r">[^<]*\b(nan|inf)\b", html)


@pytest.mark.parametrize("report", [{}, {"corpus": None}, {"languages": {}, "dropped": {}}])
def test_a_report_of_nearly_nothing_makes_a_page(report: dict[str, Any]) -> None:
    assert "A corpus" in rendered(report).text
    assert not [finding for finding in found(report) if finding.severity == "error"]


def test_languages_in_the_older_form_and_unmeasured() -> None:
    assert Fields({"languages": {"de": 0.3, "en": 0.7}}).languages() == (None, {"en": 0.7, "de": 0.3})
    assert "Not measured" in rendered(changed("languages", {"measured": 0, "shares": {}})).text
    assert "All are in en." in rendered(changed("languages", {"measured": 3, "shares": {"en": 1.0}})).text


# Files ----------------------------------------------------------------------------------------------------------------


def test_the_page_is_written_beside_the_report_and_does_not_name_the_folder(tmp_path: Path) -> None:
    pages = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text(json.dumps(full()), encoding="utf-8")
        assert write_data_report(tmp_path / name) == tmp_path / name / "report.html"
        pages.append((tmp_path / name / "report.html").read_bytes())
    assert pages[0] == pages[1] and b"600.0M" in pages[0]
    assert read_report(tmp_path / "one") == full()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_report_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "report.json").write_bytes(content)
    with pytest.raises(DataError, match=r"report\.json") as caught:
        write_data_report(tmp_path)
    assert caught.value.hint and str(caught.value.path).endswith("report.json")
    assert not (tmp_path / "report.html").exists()


def test_a_folder_without_a_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no report\.json"):
        write_data_report(tmp_path)


def test_the_command_makes_the_page_again_and_tells_what_stands_out(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "report.json").write_text(json.dumps(changed("tokens/unknown_share", 0.02)), encoding="utf-8")
    assert run(["corpus", "report", str(tmp_path)]) == 0
    assert "2.00% of the pieces are unknown" in capsys.readouterr().out
    assert "2.00% of the pieces are unknown" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert run(["corpus", "report", str(tmp_path), "--json"]) == 0
    envelope = json.loads(capsys.readouterr().out)
    assert envelope["artifacts"] == [str(tmp_path / "report.html")]
    assert [finding["severity"] for finding in envelope["data"]["findings"]] == ["warning"]


def test_the_command_names_a_folder_without_a_report(tmp_path: Path, capsys: Any) -> None:
    assert run(["corpus", "report", str(tmp_path)]) == DataError.exit_code
    assert "there is no report.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "folder"),
    [
        (["/a/b/x.txt", "/a/b/y.txt"], "/a/b/"),
        (["/a/b/x.txt", "/a/bc/y.txt"], "/a/"),
        (["x.txt", "y.txt"], ""),
        (["s3://bucket/x", "s3://bucket/x/y"], "s3://bucket/"),
        (["/a/b/x.txt"], "/a/b/"),
        ([], ""),
    ],
)
def test_the_common_folder_ends_at_a_slash(names: list[str], folder: str) -> None:
    assert common_folder(names) == folder


@pytest.mark.parametrize(
    ("part", "text"),
    [(0, "0%"), (0.5, "50.0%"), (0.0412, "4.12%"), (0.000118, "0.012%"), (2e-7, "<0.001%"), (1, "100.0%")],
)
def test_shares_keep_digits_that_say_something(part: float, text: str) -> None:
    assert percent(part) == text
