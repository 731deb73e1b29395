"""``litebert bench``: the programs that measure what the documents quote."""

from __future__ import annotations

from pathlib import Path

import click

from litebert.cli.output import common_options, print_result, say

NOT_MEASURING = ("bundle", "bundle_embed", "tables")
"""Programs beside the benchmarks that only write."""
_WRONG_CALL = 2
"""Status with which argparse ends a program."""


@click.command("bench", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@common_options
@click.option(
    "--results", type=click.Path(path_type=Path), help="Folder for the figures; default: beside the programs."
)
@click.argument("name", required=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(
    name: str | None, arguments: tuple[str, ...], results: Path | None, as_json: bool,
    debug: bool,  # noqa: ARG001
) -> None:  # fmt: skip
    """List the benchmarks, or run NAME with ARGUMENTS; every figure of the README and the documents comes from one.

    Peers and ours run in turn in one run, and the figures are kept as JSON with the machine and all versions. What a benchmark takes is
    shown by litebert bench NAME --help; public data sets are looked for under LITEBERT_DATA.

    \b
    Example:
      litebert bench
      litebert bench inference --shapes 1x128 --rounds 3
    """  # noqa: D301
    import os
    import subprocess
    import sys

    from litebert.errors import RunError, UsageError, nearest
    from litebert.settings import shipped_folder

    programs = benchmark_programs()
    if name is None:
        width = max(14, *map(len, programs))
        rows = "\n".join(f"{n:<{width}} {text}" for n, (_, text) in programs.items())
        print_result("bench", {"benchmarks": list(programs)}, rows, as_json=as_json)
        return
    if name not in programs:
        raise UsageError(f"no benchmark {name!r}", hint=nearest(name, programs))
    path = programs[name][0]
    environment = dict(os.environ)
    if results is not None:
        results.mkdir(parents=True, exist_ok=True)
        environment["LITEBERT_RESULTS"] = str(results.resolve())
    elif not os.access(shipped_folder("benchmarks") / "results", os.W_OK):
        raise UsageError("the folder beside the programs cannot be written to", hint="Add --results DIR before NAME.")
    done = subprocess.run([sys.executable, str(path), *arguments], env=environment, check=False)
    if done.returncode == _WRONG_CALL:
        raise UsageError(
            f"{name} cannot be called like this", hint=f"What is wrong is above; see litebert bench {name} --help."
        )
    if done.returncode:
        raise RunError(f"the benchmark {name} ended with status {done.returncode}", hint="What it says is above.")
    if not {"-h", "--help"} & set(arguments):
        say(f"figures: {results or shipped_folder('benchmarks') / 'results'}")


def benchmark_programs() -> dict[str, tuple[Path, str]]:
    """Return the benchmarks by name: their file and the first line of what they say of themselves.

    Those in a folder below have its name before their own, as their results do: ``serve/load.py`` is ``serve_load``.
    """
    from litebert.settings import shipped_folder

    folder, found = shipped_folder("benchmarks"), {}
    for path in (*sorted(folder.glob("*.py")), *sorted(folder.glob("*/*.py"))):
        source = path.read_text(encoding="utf-8")
        if "__main__" in source and "RESULTS" in source and path.stem not in NOT_MEASURING:
            name = "_".join(path.relative_to(folder).with_suffix("").parts)
            found[name] = (path, source.split('"""')[1].splitlines()[0])
    return found
