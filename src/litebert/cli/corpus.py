"""``litebert corpus``: build token shards from raw text, check them, show what they are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from litebert.cli.groups import CommandGroup
from litebert.cli.output import again, common_options, print_result, table

if TYPE_CHECKING:
    from litebert.corpus.building.build import Built, Progress
    from litebert.corpus.building.engines import Engine
    from litebert.corpus.building.plan import Plan
    from litebert.corpus.report.findings import Finding
    from litebert.corpus.settings import CorpusSettings


@click.group("corpus", cls=CommandGroup)
def command() -> None:
    """Build and inspect corpora. Each command takes --json and --debug.

    \b
    Example:
      litebert corpus build texts/ --tokenizer vocab --out corpus
      litebert corpus verify corpus
    """  # noqa: D301


@command.command("build")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--tokenizer", required=True, metavar="MODEL", help="Vocabulary: a folder, a file, or any model.")
@click.option("--out", required=True, help="Folder for the corpus.")
@click.option("--workers", type=click.IntRange(1), help="Processes; default: one a core. Does not change the result.")
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True, help="Who works.")
@click.option("--address", help="Ray cluster to join; default: RAY_ADDRESS, else a new one on this machine.")
@click.option(
    "--layout", type=click.Choice(["auto", "paragraphs", "sentences", "file", "line"]),
    help="Of plain text: a paragraph or a sentence a line with empty lines between documents, or a document a file or a line.",
)  # fmt: skip
@click.option("--text-field", help="Field of JSON or Parquet rows that holds the text.")
@click.option("--clean/--no-clean", "cleaning", default=None, help="Repair and filter documents; default: yes.")
@click.option("--language", "languages", multiple=True, metavar="CODE", help="Keep this language; may be repeated.")
@click.option("--min-characters", type=int, help="Drop shorter documents.")
@click.option("--min-words", type=int, help="Drop documents of fewer words.")
@click.option("--exact-duplicates/--no-exact-duplicates", default=None, help="Look for equal documents; default: yes.")
@click.option("--near-duplicates/--no-near-duplicates", default=None, help="Look for similar ones; default: yes.")
@click.option("--shard-tokens", type=int, help="Most tokens in a shard.")
@click.option("--seed", type=int, help="Chooses the samples of the data report.")
@click.option("--recipe", help="Settings in a TOML file, or the name of a shipped recipe (litebert recipes).")
@click.option(
    "--set", "overrides", multiple=True, metavar="A.B=VALUE", help="Override a setting, e.g. dedup.threshold=0.7."
)
@click.option("--resume", is_flag=True, help="Go on with the build in --out.")
@click.option("--force", is_flag=True, help="Replace the corpus in --out.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and stop.")
@common_options
def build(
    *, inputs: tuple[str, ...], tokenizer: str, out: str, workers: int | None, engine: str, address: str | None,
    recipe: str | None, overrides: tuple[str, ...], resume: bool, force: bool, dry_run: bool,
    as_json: bool, debug: bool, **flags: Any,  # noqa: ARG001
) -> None:  # fmt: skip
    """Turn INPUT into token shards: text, JSONL, Parquet or HTML files, packed or not, folders, globs, URLs.

    Documents are cleaned, duplicates dropped, sentences found and tokenised; report.html in the folder tells what was dropped and why.

    \b
    Example:
      litebert corpus build texts/ --tokenizer vocab --out corpus
      litebert corpus build "crawl/*.jsonl.zst" --tokenizer vocab --language en --out corpus --workers 8
      litebert corpus build s3://bucket/texts --tokenizer vocab --out /shared/corpus --engine ray
    """  # noqa: D301
    from litebert.corpus.building.build import build as build_corpus
    from litebert.corpus.building.plan import prepare
    from litebert.errors import Interrupted
    from litebert.train.interrupts import stop_signals

    settings = resolve(recipe, overrides, flags)
    plan = prepare(inputs, settings, _tokenizer(tokenizer))
    if dry_run:
        _print_plan(plan, out, workers, as_json=as_json)
        return
    try:
        with (
            redirect_stdout(sys.stderr),  # Ray writes there what its machines complain of
            stop_signals(_interrupt),
            _progress(quiet=as_json) as progress,
        ):
            runner = _engine(engine, workers, address)
            result = build_corpus(plan, out, runner, resume=resume, force=force, progress=progress)
    except Interrupted as error:
        error.hint = f"Go on with: {again('--resume', without=('--force',))}"
        raise
    _print_built(result, plan, as_json=as_json)


def _interrupt(number: int, frame: object) -> None:  # noqa: ARG001
    raise KeyboardInterrupt


def resolve(recipe: str | None, overrides: tuple[str, ...], flags: dict[str, Any]) -> CorpusSettings:
    """Merge a recipe, ``--set`` and the flags, which win in that order, into settings."""
    from litebert.corpus.settings import CorpusSettings
    from litebert.settings import build_settings, merge, parse_overrides, read_recipe

    given: dict[str, Any] = {}
    for flag, (group, field) in _FIELDS.items():
        value = flags.get(flag)
        if value is not None and value != ():
            given.setdefault(group, {})[field] = value
    given.update({name: flags[name] for name in ("seed", "cleaning") if flags.get(name) is not None})
    data = merge(read_recipe(recipe) if recipe else {}, parse_overrides(overrides))
    return build_settings(CorpusSettings, merge(data, given))


_FIELDS = {
    "layout": ("read", "layout"), "text_field": ("read", "text_field"), "languages": ("clean", "languages"),
    "min_characters": ("clean", "min_characters"), "min_words": ("clean", "min_words"),
    "exact_duplicates": ("dedup", "exact"), "near_duplicates": ("dedup", "near"), "shard_tokens": ("shards", "shard_tokens"),
}  # fmt: skip


def _tokenizer(reference: str) -> Any:
    """Load a vocabulary; PyTorch is imported only for references that need following."""
    from litebert import text

    path = Path(reference)
    if path.is_dir() or (path.is_file() and path.suffix in (".model", ".txt", ".json")):
        return text.AlbertTokenizer.from_pretrained(path)
    from litebert.checkpoint.pretrained import AlbertTokenizer

    return AlbertTokenizer.from_pretrained(reference)


def _engine(name: str, workers: int | None, address: str | None) -> Engine:
    from litebert.corpus.building.engines import LocalEngine, RayEngine, available_workers
    from litebert.errors import UsageError

    if name == "ray":
        return RayEngine(workers, address)
    if address is not None:
        raise UsageError("--address is for --engine ray", hint="Add --engine ray.")
    return LocalEngine(workers or available_workers())


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Progress | None]:
    """Show stage, MB/s and time left on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=30), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield show


def _print_plan(plan: Plan, out: str, workers: int | None, *, as_json: bool) -> None:
    from litebert.corpus.building.engines import available_workers
    from litebert.corpus.building.plan import estimate

    count = workers or available_workers()
    figures = estimate(plan, count)
    data = {
        "settings": plan.settings.model_dump(mode="json"), "files": len(plan.files), "bytes": plan.size,
        "units": len(plan.units), "workers": count, **figures,
        "written": [f"{out}/{name}" for name in ("manifest.json", "report.json", "report.html", "tokenizer/", "shard-*.npy")],
    }  # fmt: skip
    rows = [
        ("input", f"{len(plan.files)} files, {plan.size / 1e6:,.1f} MB"),
        ("units", f"{len(plan.units)} for {count} workers"),
        ("documents", f"about {figures['documents']:,} after cleaning, duplicates not counted"),
        ("tokens", f"about {figures['tokens']:,}"),
        ("time", f"about {figures['seconds'] / 60:.1f} minutes (a million characters measured)"),
        ("disk", f"about {figures['out_bytes'] / 1e6:,.0f} MB, while it runs {figures['temporary_bytes'] / 1e6:,.0f} MB more"),
        *((f"{group}.{k}" if group else k, v) for group, k, v in _flat(data["settings"])),
        ("files", ", ".join(data["written"])),
    ]  # fmt: skip
    print_result("corpus", data, table(rows), as_json=as_json)


def _flat(settings: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from ((name, key, inner) for key, inner in value.items())
        else:
            yield "", name, value


def _print_built(result: Built, plan: Plan, *, as_json: bool) -> None:
    report = result.report
    corpus, funnel = report["corpus"], report["funnel"]
    dropped = sum(report["dropped"].values())
    reasons = ", ".join(f"{name} {n:,}" for name, n in sorted(report["dropped"].items(), key=lambda kv: -kv[1]) if n)
    rows = [
        (
            "read",
            f"{funnel[0]['documents']:,} documents, {funnel[0]['characters']:,} characters from {len(plan.files)} files",
        ),
        ("dropped", f"{dropped:,} documents" + (f" ({reasons})" if reasons else "")),
        ("kept", f"{corpus['documents']:,} documents, {corpus['sentences']:,} sentences, {corpus['tokens']:,} tokens"),
        ("unknown", f"{report['tokens']['unknown_share']:.4%} of the tokens"),
        ("shards", f"{corpus['shards']} of {result.manifest['dtype']}"),
        ("corpus", str(result.folder)),
        ("report", str(result.folder / "report.html")),
    ]
    data = {
        "out": str(result.folder),
        **corpus,
        "dropped": report["dropped"],
        "unknown_share": report["tokens"]["unknown_share"],
    }
    artifacts = [str(result.folder), *(str(result.folder / name) for name in ("report.json", "report.html"))]
    warnings = [finding.text for finding in _findings(report) if finding.severity != "info"]
    print_result("corpus", data, table(rows), as_json=as_json, warnings=warnings, artifacts=artifacts)


@command.command("report")
@click.argument("folder")
@common_options
def report(folder: str, as_json: bool, debug: bool) -> None:  # noqa: ARG001
    """Make report.html from the report.json of a corpus again, and show what stands out.

    \b
    Example:
      litebert corpus report corpus
    """  # noqa: D301
    from litebert.corpus.report.page import read_report, write_data_report

    found = _findings(read_report(folder))
    page = str(write_data_report(folder))
    data = {"report": page, "findings": [vars(finding) for finding in found]}
    rows = [("report", page), *((finding.severity, finding.text) for finding in found)]
    print_result("corpus", data, table(rows), as_json=as_json, artifacts=[page])


def _findings(data: dict[str, Any]) -> list[Finding]:
    from litebert.corpus.report.findings import check_report, findings_of

    return findings_of(check_report(data))


@command.command("verify")
@click.argument("folder")
@common_options
def verify(folder: str, as_json: bool, debug: bool) -> None:  # noqa: ARG001
    """Read every file of a corpus and compare its SHA-256 with the manifest.

    \b
    Example:
      litebert corpus verify corpus
    """  # noqa: D301
    from litebert.corpus.shards import Corpus

    corpus = Corpus(folder)
    count = len(corpus.verify())
    print_result("corpus", {"folder": folder, "files": count, "fingerprint": corpus.fingerprint},
                 f"{count} files are as they were written", as_json=as_json)  # fmt: skip


@command.command("info")
@click.argument("folder")
@common_options
def info(folder: str, as_json: bool, debug: bool) -> None:  # noqa: ARG001
    """Show what a corpus holds and where it comes from.

    \b
    Example:
      litebert corpus info corpus
    """  # noqa: D301
    from litebert.corpus.shards import Corpus

    corpus = Corpus(folder)
    inputs = corpus.manifest.get("inputs", [])
    data = {
        "folder": folder, "documents": corpus.documents, "sentences": sum(s.record.sentences for s in corpus.shards),
        "tokens": corpus.tokens, "shards": len(corpus.shards), "dtype": corpus.manifest["dtype"],
        "vocab_size": corpus.vocab_size, "fingerprint": corpus.fingerprint, "inputs": inputs,
        "counters": corpus.manifest.get("counters", {}),
        "settings": corpus.manifest.get("build", {}).get("settings", {}),
    }  # fmt: skip
    rows = [(name, f"{data[name]:,}") for name in ("documents", "sentences", "tokens", "shards", "vocab_size")]
    rows += [("dtype", data["dtype"]), ("fingerprint", data["fingerprint"])]
    rows += [("input", f"{entry['url']} ({entry['size'] / 1e6:,.1f} MB)") for entry in inputs[:20]]
    rows += [("", f"and {len(inputs) - 20} more")] if len(inputs) > 20 else []
    print_result("corpus", data, table(rows), as_json=as_json)
