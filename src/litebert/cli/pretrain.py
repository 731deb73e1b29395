"""``litebert pretrain``: pretrain an encoder on a corpus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from litebert.cli.output import common_options, print_result, program, table

if TYPE_CHECKING:
    from litebert.pretrain.settings import PretrainSettings


@click.command("pretrain")
@click.option("--corpus", help="Folder that litebert corpus build wrote.")
@click.option("--held-out", help="Corpus folder for the evaluations, never trained on.")
@click.option("--out", required=True, help="Folder for the model, the figures and the report.")
@click.option(
    "--config", "config", help="Preset or config.json of the architecture, for random weights; default: small."
)
@click.option("--model", help="Model reference to go on from (continued pretraining).")
@click.option("--preset", type=click.Choice(["paper", "released", "litebert"]), help="How examples are made.")
@click.option("--recipe", help="Run file, or the name of a shipped recipe (litebert recipes).")
@click.option(
    "--set", "overrides", multiple=True, metavar="A.B=VALUE", help="Override a setting, e.g. training.optimizer=lamb."
)
@click.option("--steps", type=int, help="Optimiser steps.")
@click.option("--epochs", type=float, help="Passes over the corpus.")
@click.option("--minutes", type=float, help="Training time; the schedule follows the clock.")
@click.option("--learning-rate", type=float, help="Peak learning rate.")
@click.option("--batch-size", type=int, help="Rows in one step.")
@click.option("--length", type=int, help="Positions of a row.")
@click.option("--seed", type=int, help="Seed of weights, order and masks.")
@click.option("--device", help="cpu, cuda, ...; default: a GPU when there is one.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@click.option(
    "--extend", is_flag=True, help="Make the run in --out longer, from the state before its learning rate decayed."
)
@click.option("--force", is_flag=True, help="Replace the run in --out.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and stop.")
@common_options
def command(
    out: str, recipe: str | None, overrides: tuple[str, ...], resume: bool, extend: bool, force: bool, dry_run: bool,
    as_json: bool, debug: bool, **flags: Any,  # noqa: ARG001
) -> None:  # fmt: skip
    """Pretrain an ALBERT on a corpus: masked words and sentence order.

    \b
    Example:
      litebert pretrain --corpus corpus --held-out held-out --config small --minutes 60 --out model
      litebert pretrain --recipe pretrain/small --corpus corpus --out model --resume
      torchrun --nproc-per-node 8 -m litebert pretrain --recipe pretrain/base-v2 --corpus corpus --out model
    """  # noqa: D301
    from litebert.pretrain.run import pretrain
    from litebert.train.processes import joined

    with joined() as processes:
        settings = resolve(recipe, overrides, flags)
        if not dry_run:
            result = pretrain(settings, out, resume=resume, extend=extend, force=force, progress=not as_json)
        elif processes.is_main:
            _print_plan(settings, out, as_json=as_json)
        if dry_run or not processes.is_main:  # under torchrun the first process speaks
            return
    data = {
        "out": str(result.folder), "steps": result.steps, "tokens": result.tokens, "seconds": result.seconds,
        "figures": result.figures, "finished": result.finished,
    }  # fmt: skip
    rows = [(name, f"{value:.4f}") for name, value in result.figures.items()]
    rows += [
        ("steps", f"{result.steps:,}"), ("tokens", f"{result.tokens:,}"), ("minutes", f"{result.seconds / 60:.1f}"),
        ("model", str(result.folder)), ("report", str(result.folder / "report.html")),
        ("try", f'echo "some [MASK] text" | {program()} predict {result.folder} --task fill-mask'),
    ]  # fmt: skip
    print_result(
        "pretrain", data, table(rows), as_json=as_json, warnings=result.warnings,
        artifacts=[str(result.folder), str(result.folder / "report.html")],
    )  # fmt: skip


def resolve(recipe: str | None, overrides: tuple[str, ...], flags: dict[str, Any]) -> PretrainSettings:
    """Merge a recipe, ``--set`` and the flags, which win in that order, into settings."""
    from litebert.errors import UsageError
    from litebert.pretrain.settings import PretrainSettings, with_defaults
    from litebert.settings import build_settings, merge, parse_overrides, read_recipe

    if flags.get("config") and flags.get("model"):
        raise UsageError("--config and --model exclude each other", hint="--model brings its own architecture.")
    nested: dict[str, Any] = {
        k: flags[k] for k in ("corpus", "held_out", "model", "device") if flags.get(k) is not None
    }
    if flags.get("config"):
        nested["model"] = f"random:{flags['config']}"
    nested["training"] = {k: flags[k] for k in _TRAINING_FLAGS if flags.get(k) is not None}
    nested["examples"] = {k: flags[k] for k in ("preset", "length") if flags.get(k) is not None}
    given = merge(parse_overrides(overrides), nested)
    merged = with_defaults(merge(read_recipe(recipe) if recipe else {}, given))
    if "corpus" not in merged:
        raise UsageError("no corpus to train on", hint="Name one: --corpus DIR (litebert corpus build makes it).")
    here = given.get("training", {})
    return build_settings(PretrainSettings, merged).scaled(keep=() if "reference_batch_size" in here else here)


_TRAINING_FLAGS = ("steps", "epochs", "minutes", "learning_rate", "batch_size", "seed")


def _print_plan(settings: PretrainSettings, out: str, *, as_json: bool) -> None:
    from litebert.pretrain.plan import plan

    figures = plan(settings, out)
    rows = [
        ("model", f"{figures['parameters']:,} parameters, {figures['applications']} applications"),
        ("corpus", f"{figures['corpus_tokens']:,} tokens, {figures['rows_per_epoch']:,} rows an epoch"),
        ("steps", f"{figures['steps']:,}"),
        ("learning rate", f"{settings.training.learning_rate:.4g}"),
        *([("scaled", settings.training.scaling)] if settings.training.scaling else []),
        ("tokens", f"about {figures['tokens']:,} ({figures['epochs']:.2f} epochs)"),
        (
            "time",
            f"about {figures['seconds'] / 60:.1f} minutes ({figures['tokens_per_second']:,.0f} tokens/s measured)",
        ),
        ("memory", f"about {figures['memory_bytes'] / 1e6:.0f} MB for weights, gradients and optimiser"),
        ("files", ", ".join(figures["files"])),
    ]
    print_result("pretrain", figures, table(rows), as_json=as_json, warnings=figures["warnings"])
