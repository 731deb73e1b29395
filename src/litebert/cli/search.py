"""``litebert search``: ask an index."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from litebert.cli.output import common_options, finite, print_result, reader_may_go, say

if TYPE_CHECKING:
    from litebert.search.faq import Reply
    from litebert.search.index import Hit, Index

_SHOWN = 300
_AT_ONCE = 64


@click.command("search")
@click.argument("index", metavar="DIR|URL")
@click.argument("query", nargs=-1)
@click.option("--queries", metavar="FILE|-", help="Queries from a file or standard input; prints JSON Lines, in order.")
@click.option("--columns", help="Which column of --queries is what: text=...,id=...")
@click.option(
    "--format", "kind", help="Format of --queries: csv, tsv, jsonl, json, parquet or lines; default: by its name."
)
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, help="Hits a query.")
@click.option("--mode", default="hybrid", show_default=True, help="hybrid, dense (by meaning) or bm25 (by words).")
@click.option(
    "--dense-weight",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="How much meaning counts in hybrid; words have the rest.",
)
@click.option("--filter", "condition", help="Condition on metadata: 'lang == \"en\" and year >= 1990'.")
@click.option("--rerank", metavar="MODEL", help="Order the candidates by a model for rerank.")
@click.option(
    "--candidates", type=click.IntRange(1), help="How deep rankings are fused, reranked, grouped; default: 100."
)
@click.option("--per-document", is_flag=True, help="Only the best chunk of each document.")
@click.option("--exact", is_flag=True, help="Compare with every vector, in indexes that would approximate.")
@click.option("--model", help="The model of the index, where it has moved.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, ...")
@click.option("--precision", default="auto", show_default=True, help="auto, fp32, bf16, fp16 or int8.")
@click.option("--threads", type=click.IntRange(1), help="Threads of the computation.")
@common_options
def command(
    *, index: str, query: tuple[str, ...], queries: str | None, columns: str | None, kind: str | None, as_json: bool,
    rerank: str | None, model: str | None, device: str, precision: str, threads: int | None,
    debug: bool,  # noqa: ARG001
    **options: Any,
) -> None:  # fmt: skip
    """Find what answers each QUERY in an index that litebert index made. An index of questions and answers gives the answer.

    \b
    Example:
      litebert search notes.index "who pays for the delivery?"
      litebert search articles.index wing --mode bm25 --filter 'year >= 1990 and lang == "en"' --top 3
      litebert search notes.index --queries questions.txt --rerank RERANKER > answers.jsonl
      litebert search http://localhost:6333/notes "late payment" --json
    """  # noqa: D301
    from litebert.errors import UsageError
    from litebert.search.index import Index

    if query == ("-",) and queries is None:
        query, queries = (), "-"
    if query and queries is not None:
        raise UsageError("--queries does not go with queries on the command line", hint="Leave one of the two out.")
    if not query and queries is None:
        raise UsageError("there is no query", hint='For example: litebert search DIR "a question", or --queries FILE.')
    engine: dict[str, Any] = {"device": device, "precision": precision, "threads": threads}
    opened = Index.open(index, model=model, **engine)
    asking = _Asking(opened, options, rerank, engine)
    if queries is not None:
        _stream(asking, queries, columns, kind)
        return
    results = [{"query": text, **answer} for text, answer in zip(query, asking.answers(query), strict=True)]
    shown = "\n\n".join(_shown(result, several=len(results) > 1) for result in results)
    print_result("search", {"index": index, "results": results}, shown, as_json=as_json, warnings=asking.warnings)


class _Asking:
    """Asks an index for hits or, if it is one of questions and answers, for an answer."""

    def __init__(self, index: Index, options: dict[str, Any], rerank: str | None, engine: dict[str, Any]) -> None:
        from litebert.inference.loading import load
        from litebert.search.rerank import reranker

        self.index = index
        condition = options.pop("condition")
        self.options = {**options, "filter": condition}
        calibration = index.description.faq
        few = None if calibration is None else calibration.warning()
        self.warnings = [] if few is None else [few]
        if index.description.kind == "faq":
            _refuse_for_answers()
        if rerank is not None:
            self.options["rerank"] = reranker(load(rerank, **engine))

    def answers(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        if self.index.description.kind == "faq":
            return [{"reply": self._reply(text).to_dict()} for text in texts]
        found: list[list[Hit]] = self.index.search(list(texts), **self.options)
        return [{"hits": [hit.to_dict() for hit in hits]} for hits in found]

    def _reply(self, text: str) -> Reply:
        return self.index.answer(text, filter=self.options["filter"])


def _refuse_for_answers() -> None:
    """Refuse flags that mean nothing for an index of questions and answers, which gives one answer, by the nearest question."""
    from litebert.errors import UsageError

    context = click.get_current_context()
    for name in ("rerank", "top", "mode", "candidates", "per_document", "exact", "dense_weight"):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(
                f"{flag} does not go with an index of questions and answers",
                hint=f"It gives the answer of the nearest question: leave {flag} out.",
            )


def _stream(asking: _Asking, path: str, columns: str | None, kind: str | None) -> None:
    from litebert.tasks.reading.columns import parse_columns
    from litebert.tasks.reading.records import Record, iter_records

    warnings = asking.warnings
    records = iter_records(
        path, columns=None if columns is None else parse_columns(columns), format=kind, labels_required=False,
        ignore_labels=True, keep_empty=True, warnings=warnings,
    )  # fmt: skip

    def groups() -> Iterator[list[Record]]:
        group: list[Record] = []
        for record in records:
            group.append(record)
            if len(group) == _AT_ONCE:
                yield group
                group = []
        if group:
            yield group

    with reader_may_go():
        for group in groups():
            for record, answer in zip(group, asking.answers([record.text for record in group]), strict=True):
                identifier = {} if record.id is None else {"id": record.id}
                line = finite({**identifier, "query": record.text, **answer})
                sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
            sys.stdout.flush()
    for warning in warnings:
        say(f"warning: {warning}")


def _shown(result: dict[str, Any], *, several: bool) -> str:
    lines = [f"# {result['query']}"] if several else []
    if "reply" in result:
        return "\n".join([*lines, _shown_reply(result["reply"])])
    for number, hit in enumerate(result["hits"], start=1):
        lines.append(f"{number}. {hit['id']} [{hit['start']}:{hit['end']}]  {hit['score']:.4f}  {hit['source']}")
        text = " ".join(hit["text"].split())
        lines.append("   " + (text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."))
    return "\n".join(lines if result["hits"] else [*lines, "nothing found"])


def _shown_reply(reply: dict[str, Any]) -> str:
    if not reply["question"]:  # an empty query was compared with nothing
        return "I don't know."
    nearest = f'nearest question: "{reply["question"]}" ({reply["id"]}), similarity {reply["score"]:.3f}'
    said = reply["answer"] if reply["known"] else "I don't know."
    return f"{said}\n   confidence {reply['confidence']:.2f}; {nearest}"
