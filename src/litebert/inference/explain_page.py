"""Explanations as a page for people: every text with its tokens shaded by what they contribute to the answer."""

from __future__ import annotations

from collections.abc import Sequence

from litebert.inference.explain import Explanation, Reason
from litebert.report.marked_text import marked_text
from litebert.report.page import Block, Report, Section, note, paragraph, subheading
from litebert.tasks.classify.task import Classification
from litebert.tasks.qa.task import SpanAnswer
from litebert.tasks.reading.records import Record


def explanation_page(found: Sequence[Explanation], *, model: str) -> Report:
    """Return the page.

    Args:
        found: In the order of the input.
        model: Its name.
    """
    report = Report(
        f"Why {model} answers so", "Blue speaks for the answer, orange against it; point at a token for its figure."
    )
    for number, one in enumerate(found, start=1):
        blocks: list[Block] = []
        for reason in one.reasons:
            blocks += [subheading(reason.explained or "(nothing)")] if len(one.reasons) > 1 else []
            blocks += _texts(reason, one.record)
        if not one.reasons:
            blocks += [paragraph(one.record.text), note("Nothing was found, so there is nothing to explain.")]
        report.add(Section(f"{number}. {_answer(one)}", *blocks))
    return report


def _answer(one: Explanation) -> str:
    if isinstance(one.answer, Classification | SpanAnswer):
        name = one.answer.label if isinstance(one.answer, Classification) else one.answer.answer or "(no answer)"
        other = "" if one.reasons[0].explained in (name, "") else f", explained: {one.reasons[0].explained}"
        return f"{name} ({one.answer.score:.3f}){other}"
    return ", ".join(reason.explained for reason in one.reasons) or "(nothing found)"


def _texts(reason: Reason, record: Record) -> list[Block]:
    largest = max((abs(a.attribution) for a in reason.attributions), default=0.0)
    blocks = []
    for number, text in enumerate((record.text, record.pair)):
        if text is not None:
            marks = [(a.start, a.end, a.attribution) for a in reason.attributions if a.text == number]
            blocks.append(marked_text(text, marks, largest=largest))
    figures = (
        f"Score {reason.score:.3f}, without the words {reason.baseline:.3f}; the tokens add up to the difference within"
    )
    return [*blocks, paragraph(f"{figures} {reason.gap:.3f}.")]
