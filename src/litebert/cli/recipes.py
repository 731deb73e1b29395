"""``litebert recipes``: the shipped run files."""

from __future__ import annotations

import click

from litebert.cli.output import common_options, print_result


@click.command("recipes")
@click.argument("name", required=False)
@common_options
def command(name: str | None, as_json: bool, debug: bool) -> None:  # noqa: ARG001
    """List the shipped recipes, or print NAME, to copy and change.

    \b
    Example:
      litebert recipes glue/mrpc > mine.toml
    """  # noqa: D301
    from litebert.errors import ConfigError, nearest
    from litebert.settings import recipe_folder, recipe_names

    names = recipe_names()
    if name is None:
        print_result("recipes", {"recipes": names}, "\n".join(names), as_json=as_json)
        return
    if name not in names:
        raise ConfigError(f"no recipe {name!r}", hint=nearest(name, names))
    text = (recipe_folder() / f"{name}.toml").read_text(encoding="utf-8")
    print_result("recipes", {"name": name, "text": text}, text.rstrip(), as_json=as_json)
