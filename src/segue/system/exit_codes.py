"""The exit codes of ``segue``; docs/guide/unattended.md has them in a table."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit code of a command. A signal that ends it gives 128 + its number, as in a shell."""

    DONE = 0
    """It did what it was asked, or stopped when it was asked to (``segue serve``)."""
    DEFECT = 1
    """A defect of Segue, a problem that ``segue doctor`` or a leak that ``segue audit`` has found, or a person of whom
    ``segue forget`` cannot prove that nothing is left."""
    MISTAKE = 2
    """A mistake that the user can mend, said in one line."""
    UNCHANGED = 3
    """``segue update`` wrote no model: it would be worse, or the log holds nothing new."""
    HUNG_UP = 129
    """SIGHUP: its terminal has gone."""
    INTERRUPTED = 130
    """Ctrl-C, SIGINT."""
    READER_GONE = 141
    """The reader of its result has gone (``| head``), as of a process that SIGPIPE ends."""
    TERMINATED = 143
    """SIGTERM: a service manager, a queue or a time-out has ended it."""
