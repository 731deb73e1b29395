"""``litebert convert``: any model reference to a folder."""

from __future__ import annotations

from pathlib import Path

import click

from litebert.cli.output import common_options, print_result


@click.command("convert")
@click.argument("source")
@click.argument("destination")
@click.option("--force", is_flag=True, help="Write into a folder that is not empty.")
@click.option(
    "--stored", type=click.Choice(["fp32", "fp16", "bf16"]), default="fp32", show_default=True,
    help="Precision of the weights in the file; it loads in float32 all the same.",
)  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Change a configuration field.")
@common_options
def command(
    source: str,
    destination: str,
    force: bool,
    stored: str,
    overrides: tuple[str, ...],
    as_json: bool,
    debug: bool,  # noqa: ARG001
) -> None:
    """Turn SOURCE, any model reference, into the folder DESTINATION.

    The folder loads in LiteBERT and in transformers with equal results; all heads of the source are kept.

    \b
    Example:
      litebert convert albert_base.tar.gz albert-base-v2
      litebert convert albert/albert-base-v1 base-v1 --set hidden_act=gelu_new
    """  # noqa: D301
    from litebert.checkpoint.convert import convert
    from litebert.errors import UsageError
    from litebert.settings import parse_overrides

    if Path(destination).is_file():
        raise UsageError(f"{destination} is a file, not a folder", hint="Name a new folder.", path=destination)
    report = convert(source, Path(destination), force=force, changes=parse_overrides(overrides), stored=stored)
    lines = [report.load.summary(), *(f"  {name} has no place and was left out" for name in report.load.unexpected)]
    lines.append(
        f"wrote {destination} as {report.architecture}" + ("" if report.tokenizer else ", without a vocabulary")
    )
    data = {"architecture": report.architecture, "tokenizer": report.tokenizer, "load": report.load.to_dict()}
    print_result("convert", data, "\n".join(lines), as_json=as_json, warnings=report.notes, artifacts=[destination])
