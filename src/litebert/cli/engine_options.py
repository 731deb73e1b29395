"""The flags of every command that answers with a model: how it is computed, see ``EngineSettings``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

F = TypeVar("F", bound=Callable[..., object])

_FLAGS = (
    click.option("--precision", default="auto", show_default=True, help="auto, fp32, bf16 or int8."),
    click.option("--depth", type=click.IntRange(1), help="Applications of the shared block; fewer are faster."),
    click.option("--patience", type=click.IntRange(1), help="Stop when the answer stood for so many applications."),
    click.option(
        "--budget-ms", type=click.FloatRange(min=0, min_open=True), help="Choose the depth that fits this time."
    ),
    click.option(
        "--deterministic", is_flag=True, help="Compute every input alone: the same answer whatever else is asked."
    ),
    click.option("--threads", type=click.IntRange(1), help="Threads of the computation."),
)


def engine_options(command: F) -> F:
    """Add the flags to a command, which takes them as keyword arguments named like the fields of ``EngineSettings``."""
    for flag in reversed(_FLAGS):
        command = flag(command)
    return command
