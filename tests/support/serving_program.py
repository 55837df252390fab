"""``segue serve`` as a program that imports nothing else of the command line."""

from __future__ import annotations

import sys

import typer

from segue.cli.serve import serve
from segue.errors import UserMistake

if __name__ == "__main__":
    app = typer.Typer(add_completion=False)
    app.command()(serve)
    try:
        sys.exit(app(standalone_mode=False))
    except UserMistake as error:
        sys.exit(print(f"segue: {error}", file=sys.stderr) or 2)
