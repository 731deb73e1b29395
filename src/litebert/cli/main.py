"""The ``litebert`` command: finds the subcommand, loads only its file, turns errors into messages and exit codes."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from litebert.cli.output import report_error
from litebert.errors import Interrupted, LitebertError, UsageError, nearest

COMMANDS: Mapping[str, tuple[str, str]] = {
    "demo": ("litebert.cli.demo", "Train, evaluate and use a classifier on bundled data, in minutes."),
    "doctor": ("litebert.cli.doctor", "Show versions, processor, memory, and one measured figure."),
    "info": ("litebert.cli.info", "Show what a model is."),
    "convert": ("litebert.cli.convert", "Turn any model into a folder that LiteBERT and transformers load."),
    "vocab": ("litebert.cli.vocab", "Train a vocabulary on raw text."),
    "corpus": ("litebert.cli.corpus", "Build token shards from raw text, check them, show what they are."),
    "pretrain": ("litebert.cli.pretrain", "Pretrain an encoder on a corpus."),
    "finetune": ("litebert.cli.finetune", "Train a task model on labelled data."),
    "evaluate": ("litebert.cli.evaluate", "Score a task model on labelled data."),
    "predict": ("litebert.cli.predict", "Answer a file or standard input."),
    "index": ("litebert.cli.index", "Make texts searchable: vectors and words, in a folder or on a server."),
    "search": ("litebert.cli.search", "Ask an index, by meaning, by words, or both."),
    "embed": ("litebert.cli.embed", "Make vectors of texts."),
    "serve": ("litebert.cli.serve", "Serve models over HTTP."),
    "bench": ("litebert.cli.bench", "Measure what the documents quote."),
    "export": ("litebert.cli.export", "Write a model for ONNX Runtime or OpenVINO."),
    "recipes": ("litebert.cli.recipes", "List the shipped recipes, or print one."),
}
"""Module and one-line help by command; the module is imported when the command runs."""


class LazyGroup(click.Group):
    """A group whose commands are imported on use, so that ``--help`` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order users meet them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name][0]).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command for a mistyped one."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise UsageError(f"no command {args[0]!r}", hint=nearest(args[0], COMMANDS))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="litebert", prog_name="litebert")
def cli() -> None:
    """Run ALBERT, a Lite BERT: checkpoints, fine-tuning, evaluation, answers.

    \b
    Example:
      litebert demo
      litebert finetune classify --model random:nano --train train.csv --out model
      echo "where is my card?" | litebert predict model
    """  # noqa: D301 - \b is click's mark for text that keeps its lines


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with the contract's codes.

    Args:
        arguments: Without the program's name; None for those of the process.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # JSON is UTF-8 whatever the locale; file names may hold any byte
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    args = sys.argv[1:] if arguments is None else arguments
    sys.exit(run(args))


def run(args: list[str]) -> int:
    """Run the command line.

    Args:
        args: Without the program's name.

    Returns:
        The exit code.
    """
    debug, as_json = "--debug" in args, "--json" in args
    name = next((a for a in args if not a.startswith("-")), "")
    try:
        result: Any = cli.main(args=args, prog_name="litebert", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except LitebertError as error:
        if debug:
            raise
        return report_error(error, command=name, as_json=as_json)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return UsageError.exit_code
    except click.ClickException as error:
        return report_error(_from_click(error), command=name, as_json=as_json)
    except (click.exceptions.Abort, KeyboardInterrupt):
        return report_error(Interrupted("interrupted"), command=name, as_json=as_json)
    except Exception as error:
        if debug:
            raise
        message = f"something in LiteBERT went wrong that should not: {type(error).__name__}: {error}"
        unexpected = LitebertError(message, hint="Run it again with --debug, and report what it prints.")
        unexpected.code = "internal"
        return report_error(unexpected, command=name, as_json=as_json)


def _from_click(error: click.ClickException) -> UsageError:
    message = error.format_message()
    if isinstance(error, click.NoSuchOption) and error.ctx is not None:
        known = [o for p in error.ctx.command.params for o in p.opts]
        return UsageError(f"no option {error.option_name!r}", hint=nearest(error.option_name, known))
    context = getattr(error, "ctx", None)
    hint = f"See {context.command_path} --help." if context is not None else "See litebert --help."
    return UsageError(message, hint=hint)
