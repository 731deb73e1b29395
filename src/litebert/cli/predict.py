"""``litebert predict``: answer a file or standard input."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from litebert.cli.engine_options import engine_options, refuse_flags
from litebert.cli.output import again, common_options, print_result, reader_may_go, say

if TYPE_CHECKING:
    from litebert.errors import DataError


@click.command("predict")
@click.argument("model")
@click.argument("file", nargs=-1)
@click.option(
    "--task",
    help="For a pretrained MODEL: fill-mask, coherence, summarize, zero-shot-classification or embed; default: what the folder names.",
)
@click.option("--output", help="File to write; default, or -: standard output.")
@click.option("--columns", help="Which column is what: text=...,pair=...")
@click.option(
    "--format", "kind", help="Format of the input: csv, tsv, jsonl, json, parquet or lines; default: by its name."
)
@click.option(
    "--benchmark", help="Answer a GLUE task's test files in FILE, a folder; --output is a folder for submission files."
)
@click.option(
    "--top",
    type=click.IntRange(0),
    help="Add the scores of so many labels or fillings; 0: of all labels; default: 1, of named targets all.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of the task, e.g. sentences=5 for summarize; with --explain baseline=pad.",
)
@click.option("--explain", is_flag=True, help="Add what each token contributes to the answer (classify, ner, qa).")
@click.option("--label", help="With --explain: the label to explain; default: the one that is answered.")
@click.option("--html", metavar="FILE", help="With --explain: write a page with the texts shaded, too.")
@click.option(
    "--engine", "who", type=click.Choice(["local", "ray"]), default="local", show_default=True, help="Who works."
)
@click.option(
    "--workers", type=click.IntRange(1), help="With --engine ray: models at work; default: all there is room for."
)
@click.option("--ray-address", help="Ray cluster to join; default: RAY_ADDRESS, else a new one on this machine.")
@click.option(
    "--resume", is_flag=True, help="Keep finished parts beside --output, and go on with them; always with ray."
)
@click.option("--force", is_flag=True, help="Forget the parts that an earlier run has left.")
@click.option(
    "--rejected", metavar="FILE", help="Write rows that cannot be read or answered to FILE, and answer the others."
)
@click.option("--part-rows", type=click.IntRange(1), help="Rows of a part; default: 2048.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, ...")
@engine_options("auto")
@common_options
def command(
    model: str, file: tuple[str, ...], *, task: str | None, output: str | None, columns: str | None, kind: str | None,
    benchmark: str | None, top: int | None, overrides: tuple[str, ...], explain: bool, label: str | None, html: str | None, device: str,
    as_json: bool, who: str, workers: int | None, ray_address: str | None, resume: bool, force: bool, part_rows: int | None,
    rejected: str | None,
    debug: bool,  # noqa: ARG001
    **engine: Any,
) -> None:  # fmt: skip
    """Answer every record of FILE... (- is standard input) with MODEL: JSON Lines, in the order of the input.

    Takes JSONL, CSV, TSV, Parquet, or one text a line. Long texts are read in windows, none is cut.
    With --resume, a command that was stopped goes on with the rows that have no answer yet. With --rejected, bad rows do not end it.

    \b
    Example:
      echo "where is my card?" | litebert predict model
      litebert predict model questions.csv --output answers.jsonl
      echo "Paris is the [MASK] of France." | litebert predict MODEL --task fill-mask --top 5
      litebert predict MODEL reports.jsonl --task summarize --set sentences=5
      litebert predict mnli AX --benchmark glue/ax --output submission
      litebert predict moderator posts.csv --explain --html why.html --output why.jsonl
      litebert predict model crawl/*.jsonl --engine ray --output answers.jsonl
    """  # noqa: D301
    from litebert.errors import Interrupted, UsageError
    from litebert.inference.loading import load
    from litebert.inference.predict import predict_benchmark, predict_files
    from litebert.settings import parse_overrides

    options = parse_overrides(overrides)
    inputs = tuple("-" if one == "/dev/stdin" else one for one in file) or ("-",)
    targets = options.get("targets")
    top = (len(targets) or 1 if isinstance(targets, list) else 1) if top is None else top
    output = None if output == "-" else output
    _check_call(output, html, label, benchmark, options, inputs, explain=explain)
    if benchmark is not None:
        _refuse_unheeded(columns, kind)
    if rejected is not None:
        _check_rejected(rejected, output, inputs, one_pass=explain or benchmark is not None)
    apart = None if rejected is None else click.get_current_context().with_resource(_rejected_rows(rejected, inputs))
    printed = _Printed(output, columns, kind, top, as_json, apart)
    in_parts = _Parts(who, workers, ray_address, resume, force, part_rows)
    if in_parts.asked(output, one_pass=explain or benchmark is not None):
        _answer_in_parts(model, inputs, task, options, device, engine, printed, in_parts)
        return
    if explain:
        why = {**options, "label": label} if label is not None else options
        _explain(model, inputs[0], task, why, html, device, engine, printed)
        return
    pipeline = load(model, task, device=device, **engine)
    if benchmark is not None:
        if output is None:
            raise UsageError("a submission needs a folder", hint="Add --output DIR.")
        for path in predict_benchmark(pipeline, benchmark, inputs[0], output):
            say(f"wrote {path}")
        return
    try:
        _print_answers(
            lambda warnings, progress: predict_files(
                pipeline, inputs, columns=columns, kind=kind, top=top, options=options, warnings=warnings,
                progress=progress,
            ),
            printed,
        )  # fmt: skip
    except KeyboardInterrupt:
        if output is None:
            raise
        raise Interrupted(
            f"interrupted; {output} was not written", hint=f"This keeps what is finished: {again('--resume')}"
        ) from None


def _check_call(
    output: str | None, html: str | None, label: str | None, benchmark: str | None, options: Mapping[str, Any],
    inputs: Sequence[str], *, explain: bool,
) -> None:  # fmt: skip
    """Refuse flags that do not go together."""
    from litebert.errors import UsageError

    for name in (output if benchmark is None else None, html):
        if name is not None and Path(name).is_dir():
            raise UsageError(f"{name} is a folder", hint="Name a file.", path=name)
    if options and benchmark is not None:
        raise UsageError("--set does not go with --benchmark", hint="It is for options of the task's answers.")
    if len(inputs) > 1 and (explain or benchmark is not None):
        raise UsageError(f"one file is answered at a time here, not {len(inputs)}", hint="Name one.")
    if explain and benchmark is not None:
        raise UsageError("--explain does not go with --benchmark", hint="A submission holds answers alone.")
    if explain:
        refuse_flags(click.get_current_context(), ("depth", "threads"), "--explain, which computes in fp32")
    for flag, given in (("--label", label), ("--html", html)):
        if given is not None and not explain:
            raise UsageError(f"{flag} is for --explain", hint="Add --explain.")


def _check_rejected(rejected: str, output: str | None, inputs: Sequence[str], *, one_pass: bool) -> None:
    """Refuse a file for rejected rows that is needed for something else."""
    from litebert.errors import UsageError

    if one_pass:
        raise UsageError("--rejected goes neither with --explain nor with --benchmark", hint="Leave it out.")
    if Path(rejected).is_dir():
        raise UsageError(f"{rejected} is a folder", hint="Name a file.", path=rejected)
    taken = {Path(one).resolve() for one in (*inputs, *([] if output is None else [output])) if one != "-"}
    if Path(rejected).resolve() in taken:
        raise UsageError(f"--rejected {rejected} is read or written already", hint="Name another file.", path=rejected)


def _refuse_unheeded(columns: str | None, kind: str | None) -> None:
    """Refuse flags of reading for a benchmark."""
    from litebert.errors import UsageError

    for flag, given in (("--columns", columns), ("--format", kind)):
        if given is not None:
            raise UsageError(
                f"{flag} does not go with --benchmark", hint="Official files are read as they are published."
            )


class _Printed(NamedTuple):
    """How answers are read and written."""

    output: str | None
    columns: str | None
    kind: str | None
    top: int
    as_json: bool
    rejected: _Rejected | None = None

    def told(self, warnings: list[str], data: dict[str, Any]) -> None:
        """Add how many rows were rejected."""
        if self.rejected is None:
            return
        data["rejected"] = count = len(self.rejected.rows)
        if count:
            warnings.append(
                f"{count} {'row was' if count == 1 else 'rows were'} rejected: {self.rejected.path} says why"
            )


@dataclass
class _Rejected:
    """Rows that could not be read or answered.

    Attributes:
        path: File to write them to.
        inputs: The files that are read.
        rows: Where each is, and what is wrong with it.
    """

    path: str
    inputs: Sequence[str]
    rows: list[dict[str, Any]] = field(default_factory=list)

    def take(self, error: DataError) -> None:
        """Keep a row's error."""
        only = self.inputs[0] if len(self.inputs) == 1 else None
        place = {"file": error.path or only, "line": error.line}
        self.rows.append({**place, "error": error.message, "hint": error.hint})


@contextmanager
def _rejected_rows(path: str, inputs: Sequence[str]) -> Iterator[_Rejected]:
    """Take rejected rows, and write them when the command ends, however it does."""
    from litebert import files
    from litebert.tasks.reading.rejected import taken_by

    kept = _Rejected(path, inputs)
    with taken_by(kept.take):
        try:
            yield kept
        finally:
            files.write_lines(path, (json.dumps(row, ensure_ascii=False) for row in kept.rows))


class _Parts(NamedTuple):
    """How the work is cut, and who does it."""

    who: str
    workers: int | None
    address: str | None
    resume: bool
    force: bool
    rows: int | None

    def asked(self, output: str | None, *, one_pass: bool) -> bool:
        """Return whether parts are asked for at all.

        Raises:
            UsageError: Flags do not go together.
        """
        from litebert.errors import UsageError

        remote = self.who == "ray"
        flag = "--engine ray" if remote else "--resume"
        for name, given in (("--workers", self.workers), ("--ray-address", self.address)):
            if given is not None and not remote:
                raise UsageError(f"{name} is for --engine ray", hint="Add --engine ray.")
        if not remote and not self.resume:
            if self.force or self.rows is not None:
                raise UsageError(f"{'--force' if self.force else '--part-rows'} is for --resume", hint="Add --resume.")
            return False
        if one_pass:
            raise UsageError(f"{flag} goes neither with --explain nor with --benchmark", hint="Leave it out.")
        if output is None:
            raise UsageError(f"{flag} keeps finished parts beside the output", hint="Add --output FILE.")
        return True


def _answer_in_parts(
    model: str, inputs: Sequence[str], task: str | None, options: Mapping[str, Any], device: str, engine: Mapping[str, Any],
    printed: _Printed, parts: _Parts,
) -> None:  # fmt: skip
    from litebert.cli.progress import counting
    from litebert.errors import Interrupted
    from litebert.inference.bulk.job import ROWS, Ask
    from litebert.inference.bulk.run import Cluster, answer_in_parts
    from litebert.train.interrupts import stop_signals

    assert printed.output is not None
    ask = Ask(model, task, device, engine, printed.top, options, printed.columns, printed.kind)
    cluster = Cluster(parts.workers, parts.address) if parts.who == "ray" else None
    warnings: list[str] = []
    try:
        with (
            redirect_stdout(sys.stderr),  # Ray writes there what its machines complain of
            stop_signals(_interrupt),
            counting("answering", None, quiet=printed.as_json) as progress,
        ):
            done = answer_in_parts(
                ask, inputs, printed.output, cluster=cluster, rows=parts.rows or ROWS, force=parts.force,
                warnings=warnings, progress=progress,
            )  # fmt: skip
    except Interrupted as error:
        error.hint = f"Go on with: {again('--resume', without=('--force',))}"
        raise
    kept = f", {done.kept} of them by an earlier run" if done.kept else ""
    data: dict[str, Any] = {"records": done.records, "kept": done.kept, "output": printed.output}
    printed.told(warnings, data)
    if printed.as_json:
        print_result("predict", data, "", as_json=True, warnings=warnings, artifacts=[printed.output])
    else:
        for warning in warnings:
            say(f"warning: {warning}")
    say(f"wrote {done.records} answers to {printed.output}{kept}")


def _interrupt(number: int, frame: object) -> None:  # noqa: ARG001
    raise KeyboardInterrupt


def _explain(
    model: str, file: str, task: str | None, why: Mapping[str, Any], html: str | None, device: str, engine: Mapping[str, Any],
    printed: _Printed,
) -> None:  # fmt: skip
    from litebert.inference.explain import ExplainOptions, Explanation, load_explainer
    from litebert.inference.explain_page import explanation_page
    from litebert.inference.predict import explain_file
    from litebert.inference.stream import computing
    from litebert.settings import build_settings

    options = build_settings(ExplainOptions, why)
    explainer = load_explainer(model, task, device=device, depth=engine["depth"])
    kept: list[Explanation] | None = None if html is None else []
    with computing(engine["threads"]):
        _print_answers(
            lambda warnings, progress: explain_file(
                explainer, file, columns=printed.columns, kind=printed.kind, top=printed.top,
                options=options, kept=kept, warnings=warnings, progress=progress,
            ),
            printed,
            more=[] if html is None else [html],
        )  # fmt: skip
    if html is not None:
        explanation_page(kept or [], model=Path(model).name).write(html)
        say(f"wrote {html}")


def _print_answers(
    answers_of: Callable[[list[str], Callable[[int], None] | None], Iterator[dict[str, Any]]], printed: _Printed,
    more: Sequence[str] = (),
) -> None:  # fmt: skip
    """Write answers a line each, and what is worth telling of the file when all of it is read."""
    from litebert import files
    from litebert.cli.progress import counting

    output, as_json = printed.output, printed.as_json
    warnings: list[str] = []
    with counting("answering", None, quiet=as_json or output is None) as progress:
        answers = answers_of(warnings, progress)
        if output is None:
            with reader_may_go():
                for answer in answers:
                    sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
                sys.stdout.flush()
            printed.told(warnings, {})
            for warning in warnings:
                say(f"warning: {warning}")
            return
        count = files.write_lines(output, (json.dumps(answer, ensure_ascii=False) for answer in answers))
    data: dict[str, Any] = {"records": count, "output": output}
    printed.told(warnings, data)
    if as_json:
        print_result("predict", data, "", as_json=True, warnings=warnings, artifacts=[output, *more])
    else:
        for warning in warnings:
            say(f"warning: {warning}")
    say(f"wrote {count} answers to {output}")
