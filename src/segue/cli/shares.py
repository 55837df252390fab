"""What the command line does differently where ``torchrun`` has started several of it: known before torch is loaded."""

from __future__ import annotations

import os

from segue.cli.console import err, out
from segue.distributed.launch import place_in
from segue.errors import UserMistake

SHARED = ("train", "evaluate")
"""Commands whose work is shared; all others are refused."""


def take_place(command: str | None) -> None:
    """Let rank 0 alone show messages and results; the others say nothing but mistakes that only they know.

    Raises UserMistake for a command that several processes would do several times.
    """
    place = place_in(os.environ)
    err.quiet = out.quiet = place.rank > 0
    if command is not None and command not in SHARED:
        refuse_shares(command, said=place.rank > 0)


def refuse_shares(command: str, *, said: bool = False) -> None:
    """Raise UserMistake where several processes were started for a command that one has to do."""
    size = place_in(os.environ).size
    if size == 1:
        return
    shared = " and ".join(f"segue {name}" for name in SHARED)
    mistake = UserMistake(
        f"segue {command} works in one process, and {size} were started; start it without torchrun"
        f" (only {shared} share their work)"
    )
    mistake.said = said
    raise mistake
