"""The command ``segue``: a signal to end has one line and an exit code of its own from here on, imports included."""

from __future__ import annotations

import os
import signal
from types import FrameType

from segue.system.interrupts import STOPS, exit_code, stop
from segue.system.streams import open_closed_streams


def main() -> None:
    """Run the command line; an interrupt that comes before or after its commands ends it just the same."""
    open_closed_streams()
    defaults = (signal.default_int_handler, signal.SIG_DFL)
    answered = [number for number in STOPS if signal.getsignal(number) in defaults]  # not where a parent ignores it
    for number in answered:
        signal.signal(number, _leave)
    from segue.cli import app as cli

    try:
        for number in answered:
            signal.signal(number, stop)
        cli.main()
    except KeyboardInterrupt:
        _leave()
    finally:
        for number in answered:
            signal.signal(number, signal.SIG_IGN)  # what there was to say is said


def _leave(number: int | None = None, frame: FrameType | None = None) -> None:
    """End the process without unwinding: an import may turn an exception into another, and nothing needs cleanup."""
    os.write(2, b"interrupted; nothing is half-written\n")
    os._exit(exit_code() if number is None else 128 + number)


if __name__ == "__main__":
    main()
