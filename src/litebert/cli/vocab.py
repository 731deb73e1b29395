"""``litebert vocab train``: a vocabulary from raw text."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from litebert.cli.groups import CommandGroup
from litebert.cli.output import common_options, print_result, table

if TYPE_CHECKING:
    from litebert.corpus.vocabulary.train import Progress, VocabularyResult, VocabularySettings


@click.group("vocab", cls=CommandGroup)
def command() -> None:
    """Make vocabularies. Each command takes --json and --debug.

    \b
    Example:
      litebert vocab train corpus/ --size 16000 --out vocab
    """  # noqa: D301


@command.command("train")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--size", type=int, help="Number of pieces, special ones included; default: 30000.")
@click.option("--out", required=True, help="Folder for the vocabulary.")
@click.option("--cased", is_flag=True, help="Keep upper case and accents.")
@click.option("--coverage", type=float, help="Share of the characters that get a piece; default: 0.99995.")
@click.option("--sample-mb", type=float, help="Megabytes of text to train on, drawn from all of it; default: 200.")
@click.option("--user-symbols", help='Strings that are always pieces, separated by blanks; default: ( ) " - . – £ €')
@click.option("--text-field", help="Field of JSON or Parquet rows that holds the text.")
@click.option("--seed", type=int, help="Seed of the sample.")
@click.option("--threads", type=int, help="Threads of SentencePiece; default: 16.")
@click.option("--set", "overrides", multiple=True, metavar="A.B=VALUE", help="Override a setting, e.g. style=hf.")
@click.option("--force", is_flag=True, help="Replace the vocabulary in --out.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and stop.")
@common_options
def train(
    inputs: tuple[str, ...], out: str, force: bool, dry_run: bool, as_json: bool, debug: bool, **flags: Any
) -> None:
    """Train a SentencePiece vocabulary with ALBERT's flags on INPUT: whatever a corpus is built from.

    These are text, JSONL, Parquet or HTML files, packed or not, folders, globs, URLs. The same input, seed and settings give the same
    vocabulary.

    \b
    Example:
      litebert vocab train corpus/ --size 16000 --out vocab
      litebert vocab train "crawl/*.jsonl.zst" --size 30000 --cased --out vocab-de
    """  # noqa: D301
    from litebert.corpus.vocabulary.train import plan_vocabulary, train_vocabulary
    from litebert.errors import Interrupted
    from litebert.train.interrupts import stop_signals

    settings = resolve(flags)
    if dry_run:
        _print_plan(plan_vocabulary(inputs, out, settings), as_json=as_json)
        return
    try:
        with stop_signals(_interrupt), _progress(quiet=as_json or debug) as progress:
            result = train_vocabulary(inputs, out, settings, progress, force=force, verbose=debug)
    except KeyboardInterrupt:
        raise Interrupted("interrupted", hint=f"Nothing was written to {out}. Run the command again.") from None
    _print_result(result, as_json=as_json)


def _interrupt(number: int, frame: object) -> None:  # noqa: ARG001
    raise KeyboardInterrupt


def resolve(flags: dict[str, Any]) -> VocabularySettings:
    """Merge ``--set`` and the flags, which win, into settings."""
    from litebert.corpus.vocabulary.train import VocabularySettings
    from litebert.settings import build_settings, merge, parse_overrides

    given: dict[str, Any] = {field: flags[name] for field, name in _FIELDS.items() if flags.get(name) is not None}
    if flags.get("sample_mb") is not None:
        size = flags["sample_mb"] * 1e6
        given["sample_bytes"] = round(size) if math.isfinite(size) else size
    if flags.get("user_symbols") is not None:
        given["user_defined"] = flags["user_symbols"].split()
    if flags.get("cased"):
        given.update(lower=False, keep_accents=True)
    if flags.get("text_field") is not None:
        given["read"] = {"text_field": flags["text_field"]}
    return build_settings(VocabularySettings, merge(parse_overrides(flags.get("overrides", ())), given))


_FIELDS = {"size": "size", "character_coverage": "coverage", "seed": "seed", "threads": "threads"}


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Progress | None]:
    """Show one line for each stage on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bars

    with Bars(console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def show(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield show


def _print_plan(plan: dict[str, Any], *, as_json: bool) -> None:
    rows = [
        ("input", f"{len(plan['inputs'])} files, about {plan['text_bytes'] / 1e6:,.1f} MB of text"),
        ("sample", f"about {plan['sample_bytes'] / 1e6:,.1f} MB ({plan['sample_rate']:.1%} of the lines)"),
        *plan["settings"].items(),
        ("files", ", ".join(plan["files"])),
    ]
    print_result("vocab", plan, table(rows), as_json=as_json)


def _print_result(result: VocabularyResult, *, as_json: bool) -> None:
    figures = result.figures
    where = "held-back" if figures.held_back else "training"
    rows = [
        ("pieces", f"{result.pieces:,}, {result.characters:,} of them single characters"),
        ("sample", f"{result.sample_lines:,} lines, {result.sample_bytes / 1e6:,.1f} MB"),
        ("bytes a token", f"{figures.bytes_per_token:.3f} on {figures.lines:,} {where} lines"),
        ("unknown", f"{figures.unknown_rate:.4%} of the tokens"),
        ("whole words", f"{figures.whole_words:.1%} of the words are one piece"),
        ("time", f"{result.seconds['sampling']:.1f} s to draw the sample, {result.seconds['training']:.1f} s to train"),
        ("vocabulary", result.folder),
    ]
    print_result(
        "vocab", result.to_dict(), table(rows), as_json=as_json, warnings=result.warnings,
        artifacts=[str(result.folder)],
    )  # fmt: skip
