"""``litebert export``: a model as a folder that runs without LiteBERT and PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from litebert.cli.output import common_options, print_result, say, table

if TYPE_CHECKING:
    from litebert.inference.export.run import Exported


@click.command("export")
@click.argument("model")
@click.option("--format", "kind", required=True, type=click.Choice(["onnx", "openvino"]), help="What runs it.")
@click.option("--out", required=True, help="Folder for the graph, the tokenizer, a model card and an example.")
@click.option("--int8", is_flag=True, help="Matrices in int8, with ranges for every application of the shared block.")
@click.option(
    "--calibration", metavar="FILE", help="For --int8: records like those it will read; default: bundled prose."
)
@click.option(
    "--keep", multiple=True, type=click.Choice(["qkv", "output", "widen", "narrow", "none"]),
    help="For --int8: a matrix of the block that stays in float32; default: those without which the last states drift by more than 5%.",
)  # fmt: skip
@click.option("--data", help="Labelled records, or the folder of --benchmark: score before and after.")
@click.option("--benchmark", help="Name of a benchmark whose official files --data is the folder of, e.g. glue/mrpc.")
@click.option("--columns", help="Which column is what: text=...,pair=...,label=...")
@click.option(
    "--max-drop",
    type=click.FloatRange(0),
    help="Points the model may lose on --data, or nothing is written; default: 0.5.",
)
@click.option(
    "--head", type=click.Choice([
        "encoder", "pretraining", "masked-lm", "sequence", "token", "span", "conditional-span", "vector-classifier", "embedding",
        "choice",
    ]),
    help="Which head; default: the one the model has.",
)  # fmt: skip
@click.option("--depth", type=click.IntRange(1), help="Applications of the shared block; default: all.")
@click.option("--force", is_flag=True, help="Replace an earlier export in --out.")
@click.option("--dry-run", is_flag=True, help="Show what would be written, and stop.")
@common_options
def command(
    model: str, kind: str, out: str, force: bool, dry_run: bool, as_json: bool,
    debug: bool,  # noqa: ARG001
    **chosen: Any,
) -> None:  # fmt: skip
    """Write MODEL for ONNX Runtime or OpenVINO: every shared matrix once, any batch and length.

    What is written is read back and compared with the model; where it differs, or loses more than --max-drop, nothing is left.

    \b
    Example:
      litebert export model --format onnx --out model-onnx
      litebert export model --format openvino --out model-int8 --int8 --calibration texts.txt --data dev.csv
      python model-onnx/example.py "some text"
    """  # noqa: D301
    from litebert.cli.progress import counting
    from litebert.inference.export.run import ExportOptions, export, plan_export

    options = ExportOptions(format=kind, **{**chosen, "keep": _kept(chosen["keep"])})
    if dry_run:
        figures = plan_export(model, out, options, force=force)
        rows = [
            ("head", figures["head"]),
            ("parameters", f"{figures['parameters']:,}"),
            ("graph", f"about {figures['graph_bytes'] / 1e6:.1f} MB"),
            ("memory", f"about {figures['memory_bytes'] / 1e6:.0f} MB while it is written"),
            ("files", ", ".join(figures["files"])),
        ]
        print_result("export", figures, table(rows), as_json=as_json)
        return
    with counting("scoring", None, quiet=as_json or chosen["data"] is None) as progress:
        result = export(model, out, options, force=force, say=(lambda _: None) if as_json else say, progress=progress)
    print_result(
        "export",
        result.to_dict(),
        _text(result),
        as_json=as_json,
        warnings=result.warnings,
        artifacts=[str(result.folder)],
    )


def _kept(names: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the matrices that ``--keep`` names: None where it was not given, none of them for "none"."""
    from litebert.errors import UsageError

    if "none" in names and len(names) > 1:
        raise UsageError("--keep none does not go with a matrix", hint="Leave one of them out.")
    return None if not names else tuple(name for name in names if name != "none")


def _text(result: Exported) -> str:
    from litebert.inference.export.quality import drift_rows

    parts = []
    if result.drift:
        parts.append("relative error of the states, int8 against float32\n" + table(drift_rows(result.drift)))
    if result.kept is not None:
        parts.append(result.kept.reason)
    parts += [f"{one.name}: {one.metric} {one.before:.4f} before, {one.after:.4f} after" for one in result.comparisons]
    error = "relative error of the outputs" if result.drift else "largest difference of an output"
    rows = [(name, f"{size / 1e6:.2f} MB") for name, size in result.sizes.items()]
    rows += [(error, f"{result.parity:.2g}"), ("seconds", f"{result.seconds:.1f}")]
    parts += [table(rows), f"export  {result.folder}", f"try     python {result.folder / 'example.py'}"]
    return "\n\n".join(parts[:-3]) + ("\n\n" if parts[:-3] else "") + "\n".join(parts[-3:])
