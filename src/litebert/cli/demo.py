"""``litebert demo``: the main job end to end."""

from __future__ import annotations

import time
from pathlib import Path

import click

from litebert.cli.output import common_options, print_result, program, say


@click.command("demo")
@click.option("--out", default="litebert-demo", show_default=True, help="Folder for the model and the report.")
@click.option("--seed", default=0, show_default=True, help="Seed of the run.")
@click.option("--minutes", type=float, help="Training time; default: until it is done, a few minutes.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted demo.")
@click.option("--force", is_flag=True, help="Replace an earlier demo.")
@common_options
def command(out: str, seed: int, minutes: float | None, resume: bool, force: bool, as_json: bool, debug: bool) -> None:  # noqa: ARG001
    """Train a classifier of customers' questions on bundled data, evaluate it, and let it answer fresh ones.

    Takes a few minutes on two cores and needs no network.

    \b
    Example:
      litebert demo --out my-demo
    """  # noqa: D301
    from litebert.inference.loading import load
    from litebert.tasks.demo import FRESH_QUESTIONS, demo_settings
    from litebert.tasks.finetune import finetune, prepare

    started = time.monotonic()
    settings = demo_settings(seed=seed, minutes=minutes)
    say(f"1/3 reading Banking77: questions of bank customers, 77 intents (CC BY 4.0); starting from {settings.model}")
    prepared = prepare(settings)
    say(f"2/3 training on {len(prepared.train):,} questions, {prepared.steps:,} steps; Ctrl-C saves, --resume goes on")
    result = finetune(prepared, out, resume=resume, force=force, progress=not as_json)
    say("3/3 answering questions it has never seen")
    pipeline = load(out)
    answers = [answer.to_dict() for answer in pipeline(list(FRESH_QUESTIONS))]
    metrics = result.seeds[0].score.evaluation.metrics
    report = Path(out, "report.html").resolve()
    minutes = (time.monotonic() - started) / 60
    lines = [f"  {a['score']:4.0%}  {a['label']:<34}  {q}" for q, a in zip(FRESH_QUESTIONS, answers, strict=True)]
    lines += [
        "",
        f"accuracy on {len(prepared.dev):,} held-out questions: {metrics['accuracy']:.1%} "
        f"(always the most frequent intent: {result.seeds[0].score.evaluation.baseline['accuracy']:.1%})",
        f"minutes  {minutes:.1f}",
        f"model    {out}",
        f"report   {report}",
        f'next     echo "where is my card?" | {program()} predict {out}',
    ]
    data = {
        "out": out,
        "report": str(report),
        "metrics": metrics,
        "minutes": minutes,
        "questions": FRESH_QUESTIONS,
        "answers": answers,
    }
    print_result(
        "demo", data, "\n".join(lines), as_json=as_json, warnings=result.warnings, artifacts=[out, str(report)]
    )
