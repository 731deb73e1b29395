"""A command with commands of its own."""

from __future__ import annotations

import click

from litebert.errors import UsageError, nearest


class CommandGroup(click.Group):
    """A group that names the nearest command for a mistyped one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments begin with."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            raise UsageError(f"no command {self.name} {args[0]!r}", hint=nearest(args[0], self.commands))
        return super().resolve_command(ctx, args)
