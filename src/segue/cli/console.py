"""What the command line shows: messages on stderr, results on stdout."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from segue.errors import UserMistake
from segue.evaluation.measurement import Metrics
from segue.report.numbers import figure, flattened, percent
from segue.report.text import in_one_line, printable
from segue.system.exit_codes import Exit
from segue.system.log_lines import JsonLines, message
from segue.system.streams import drop_stdout


class _Screen(Console):
    """A console on which ids and names are shown and not obeyed: no [brackets], :colons: or control characters."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, soft_wrap=True, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """The text for a line or a cell: every text without a format of its own comes through here."""
        return super().render_str(printable(text), **options)


class _Messages(_Screen):
    """Stderr, where a message is one line whatever is named in it, and one JSON object where programs read the log."""

    as_json = False
    """Whether every message is a line for programs (``--log json``)."""

    @property
    def has_bars(self) -> bool:
        """Whether somebody watches: bars and their control characters are for a terminal, whatever FORCE_COLOR says."""
        return self.is_interactive and self.file.isatty() and not self.as_json

    def say(self, said: str, level: str = "info", **told: Any) -> None:
        """Show a message; programs get its level, and what else it tells them."""
        if self.as_json and not self.quiet:
            message(in_one_line(said), level, **told)
        else:
            self.print(said)

    def render_str(self, text: str, **options: Any) -> Text:
        """The text for a line."""
        return super().render_str(in_one_line(text), **options)


class _Results(_Screen):
    """Stdout, which a result must reach: a full disk is said, and a reader that has seen enough ends the command."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print; raises UserMistake where stdout takes nothing."""
        try:
            super().print(*objects, **options)
        except OSError as error:
            drop_stdout()
            raise UserMistake(f"cannot write the result to stdout: {error.strerror}") from None

    def on_broken_pipe(self) -> None:
        """End the command."""
        drop_stdout()
        raise SystemExit(Exit.READER_GONE)


# Into a file or a pipe, a table is as wide as its rows need, not as a terminal of long ago.
out = _Results(width=None if sys.stdout.isatty() else 160)
err = _Messages(stderr=True)


class _Lines(logging.Handler):
    """Log records as plain lines that do not tear a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        if err.as_json and not err.quiet:
            JsonLines().emit(record)
        else:
            err.print(record.getMessage())


def show_messages() -> None:
    """Send the library's log messages to stderr."""
    logger = logging.getLogger("segue")
    if not logger.handlers:
        logger.addHandler(_Lines())
    logger.setLevel(logging.INFO)
    logger.propagate = False


def print_json(result: Any) -> None:
    """Print the result as JSON on stdout, and nothing else there."""
    out.print(json.dumps(result, indent=1, ensure_ascii=out.encoding != "utf-8"))


def print_rows(rows: Mapping[str, Any], title: str | None = None) -> None:
    """Print a two-column table of facts; each nested fact gets a row under the path of its names."""
    title = title and in_one_line(title)
    table = Table("", Column(overflow="fold"), title=title, show_header=False, box=None, title_justify="left")
    for name, fact in flattened(rows).items():
        table.add_row(in_one_line(name), in_one_line(figure(fact)))
    out.print(table)


def print_metrics(metrics: Mapping[str, Metrics]) -> None:
    """Print the metrics in percent, one row per model."""
    table = Table("model", *next(iter(metrics.values()), {}))
    for label, values in metrics.items():
        table.add_row(label, *map(percent, values.values()))
    out.print(table)
