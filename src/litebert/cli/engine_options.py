"""The flags of every command that answers with a model: how it is computed, see ``EngineSettings``."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

import click
from click.core import ParameterSource

from litebert.errors import UsageError

F = TypeVar("F", bound=Callable[..., object])

_FLAGS = (
    click.option("--backend", default="torch", show_default=True, help="torch, openvino or onnxruntime."),
    click.option(
        "--calibration", metavar="FILE", help="For int8: texts like those it will read; default: bundled prose."
    ),
    click.option("--depth", type=click.IntRange(1), help="Applications of the shared block; fewer are faster."),
    click.option("--patience", type=click.IntRange(1), help="Stop when the answer stood for so many applications."),
    click.option(
        "--budget-ms", type=click.FloatRange(min=0, min_open=True), help="Choose the depth that fits this time."
    ),
    click.option(
        "--deterministic", is_flag=True, help="Compute every input alone: the same answer whatever else is asked."
    ),
    click.option(
        "--window",
        type=click.IntRange(1),
        default=2048,
        show_default=True,
        help="Records read ahead; 1: answer each before reading on.",
    ),
    click.option("--threads", type=click.IntRange(1), help="Threads of the computation."),
    click.option("--compile", is_flag=True, help="Compile the block, for a GPU; the first texts take longer."),
)


def refuse_flags(context: click.Context, heeded: Collection[str], by: str) -> None:
    """Refuse the flags that were given and mean nothing here.

    Args:
        context: Of the command.
        heeded: Names of those that mean something.
        by: What does not heed them.

    Raises:
        UsageError: One of the others was given.
    """
    for name in sorted(_names() - set(heeded)):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise UsageError(f"--{name.replace('_', '-')} does not go with {by}", hint="Leave it out.")


def _names() -> set[str]:
    return {str(parameter.name) for parameter in engine_options("fp32")(click.Command("any")).params}


def engine_options(precision: str) -> Callable[[F], F]:
    """Return a decorator that adds the flags to a command, as keyword arguments named like the fields of ``EngineSettings``.

    Args:
        precision: Default of ``--precision``.
    """
    first = click.option("--precision", default=precision, show_default=True, help="auto, fp32, bf16, fp16 or int8.")

    def add(command: F) -> F:
        for flag in reversed((first, *_FLAGS)):
            command = flag(command)
        return command

    return add
