"""Progress on stderr: bars on a terminal; in a file, a pipe or a log of JSON lines, one line every half minute."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as Bars,
)

from segue.cli.console import err

if TYPE_CHECKING:  # both come with torch, which a command that answers does without
    from segue.training.state import Progress
    from segue.tuning import SearchProgress

EVERY = 30.0
"""Seconds between two lines of progress where no bar is shown."""


class _Work:
    """Work that goes on: a bar where somebody watches, elsewhere a line now and then."""

    def __init__(self, bars: Bars, name: str) -> None:
        self._bars, self._name = bars, name
        self._task = bars.add_task(name, total=None, left="")
        self._said = time.monotonic()

    def is_at(self, done: int, of: int | None = None, *, doing: str = "", left: str = "", **told: Any) -> None:
        """Show how far it is.

        Args:
            doing: what is done just now. left: how long it takes. told: facts for programs.
        """
        doing = doing or self._name
        if not self._bars.disable:
            self._bars.update(self._task, description=doing, completed=done, total=of, left=left)
        elif time.monotonic() - self._said >= EVERY:
            self._said = time.monotonic()
            count = f"{done:,}" if of is None else f"{done:,} of {of:,}"
            line = f"{doing}: {count}, {left}" if left else f"{doing}: {count}"
            err.say(line, event="progress", work=self._name, done=done, of=of, **told)


@contextmanager
def training_bar() -> Iterator[Callable[[Progress], None]]:
    """The steps of the running epoch, with an estimate for this epoch and for all that may follow."""
    with _bars(TimeElapsedColumn(), TextColumn("{task.fields[left]}")) as bars:
        yield _epochs(bars)


@contextmanager
def search_bars() -> Iterator[tuple[Callable[[Progress], None], Callable[[str, SearchProgress], None]]]:
    """The trials of a search under the model's label, and the steps of the running epoch.

    Without bars the trials are left to the messages of the search, one per trial.
    """
    with _bars(TimeElapsedColumn(), TextColumn("{task.fields[left]}")) as bars:
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

        yield _epochs(bars), advance


@contextmanager
def evaluation_bar() -> Iterator[Callable[[int, int], None]]:
    """The events measured so far."""
    with _bars(TimeRemainingColumn()) as bars:
        yield _Work(bars, "events measured").is_at


@contextmanager
def request_bar() -> Iterator[Callable[[int], None]]:
    """A count of the requests answered so far."""
    with _bars(TimeElapsedColumn()) as bars:
        yield _Work(bars, "requests answered").is_at


def _bars(*columns: ProgressColumn) -> Bars:
    first = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Bars(*first, *columns, console=err, transient=True, disable=not err.has_bars)


def _epochs(bars: Bars) -> Callable[[Progress], None]:
    work = _Work(bars, "training")

    def advance(at: Progress) -> None:
        each = at.seconds / max(at.step, 1)
        left = each * (at.steps - at.step)
        most = left + each * at.steps * (at.max_epochs - at.epoch)
        work.is_at(
            at.step,
            at.steps,
            doing=f"epoch {at.epoch}/{at.max_epochs}, loss {at.loss:.3f}",
            left=f"{_duration(left)} left in this epoch, at most {_duration(most)} in all",
            epoch=at.epoch,
            max_epochs=at.max_epochs,
            loss=at.loss,
            seconds_left=round(left, 1),
        )

    return advance


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
