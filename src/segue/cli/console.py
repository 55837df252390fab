"""What the command line shows: progress and messages on stderr, results on stdout."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Column, Table
from rich.text import Text

from segue.errors import UserMistake
from segue.evaluation.measurement import Metrics
from segue.report.numbers import figure, flattened, percent
from segue.report.text import in_one_line, printable
from segue.system.streams import drop_stdout

if TYPE_CHECKING:  # both come with torch, which a command that answers does without
    from segue.training.state import Progress
    from segue.tuning import SearchProgress

READER_GONE = 141
"""Exit code when the reader of stdout has ended (``| head``): that of a process which SIGPIPE ends."""


class _Screen(Console):
    """A console on which ids and names are shown and not obeyed: no [brackets], :colons: or control characters."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, soft_wrap=True, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """The text for a line or a cell: every text without a format of its own comes through here."""
        return super().render_str(printable(text), **options)


class _Messages(_Screen):
    """Stderr, where a message is one line whatever is named in it."""

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
        raise SystemExit(READER_GONE)


# Into a file or a pipe, a table is as wide as its rows need, not as a terminal of long ago.
out = _Results(width=None if sys.stdout.isatty() else 160)
err = _Messages(stderr=True)


class _Lines(logging.Handler):
    """Log records as plain lines that do not tear a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        err.print(record.getMessage())


def show_messages() -> None:
    """Send the library's log messages to stderr."""
    logger = logging.getLogger("segue")
    if not logger.handlers:
        logger.addHandler(_Lines())
    logger.setLevel(logging.INFO)
    logger.propagate = False


@contextmanager
def training_bar() -> Iterator[Callable[[Progress], None]]:
    """A bar for the steps of the running epoch, with an estimate for this epoch and for all that may follow.

    Only a terminal shows the bar; elsewhere the messages, one line per epoch, report the progress.
    """
    with _bars() as bars:
        yield _epoch_bar(bars)


@contextmanager
def search_bars() -> Iterator[tuple[Callable[[Progress], None], Callable[[str, SearchProgress], None]]]:
    """Two bars: the trials of a search under the model's label, and the steps of the running epoch."""
    with _bars() as bars:
        trials = bars.add_task("", total=None, left="", visible=False)

        def advance(label: str, at: SearchProgress) -> None:
            best = "" if at.best is None else f", best HR@10 {at.best:.4f}"
            bars.update(
                trials,
                description=f"{label}: trials",
                completed=at.trials,
                total=at.of,
                left=f"{_duration(at.seconds)} spent{best}",
                visible=True,
            )

        yield _epoch_bar(bars), advance


def _bars() -> Bars:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    return Bars(*columns, console=err, transient=True, disable=not err.is_interactive)


def _epoch_bar(bars: Bars) -> Callable[[Progress], None]:
    task = bars.add_task("starting", total=None, left="")

    def advance(at: Progress) -> None:
        each = at.seconds / max(at.step, 1)
        left = each * (at.steps - at.step)
        most = left + each * at.steps * (at.max_epochs - at.epoch)
        bars.update(
            task,
            description=f"epoch {at.epoch}/{at.max_epochs}, loss {at.loss:.3f}",
            completed=at.step,
            total=at.steps,
            left=f"{_duration(left)} left in this epoch, at most {_duration(most)} in all",
        )

    return advance


@contextmanager
def evaluation_bar() -> Iterator[Callable[[int, int], None]]:
    """A bar for the events measured so far; only a terminal shows it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=err, transient=True, disable=not err.is_interactive) as bars:
        task = bars.add_task("events measured", total=None)
        yield lambda done, events: bars.update(task, completed=done, total=events)


@contextmanager
def request_bar() -> Iterator[Callable[[int], None]]:
    """A count of the requests answered so far; only a terminal shows it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=err, transient=True, disable=not err.is_interactive) as bars:
        task = bars.add_task("requests answered", total=None)
        yield lambda done: bars.update(task, completed=done)


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


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
