"""The command line of pages of the documentation that are generated from the code."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from segue.cli import console
from segue.system.atomic import write_text


def write_or_show(module: str, page: Callable[[], str]) -> None:
    """Write a page to the file of ``--write``, or show it.

    Args:
        module: the module that is run, for the help.
        page: makes the page, as Markdown.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description="Write the page, or show it.")
    parser.add_argument("--write", type=Path, help="the file to replace; without it the page goes to the output")
    target = parser.parse_args().write
    if target is None:
        console.out.print(page(), end="")
    else:
        write_text(target, page())
