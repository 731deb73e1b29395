"""``python -m litebert`` and the ``litebert`` command."""

from __future__ import annotations

from litebert.cli.main import main

if __name__ == "__main__":
    main()
