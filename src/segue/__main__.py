"""The command ``segue``: a signal to end has one line and an exit code of its own from here on, imports included."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from segue.cli.first_words import first_words
from segue.system.interrupts import STOPS, exit_code, stop
from segue.system.log_lines import text
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
    code, said = exit_code() if number is None else 128 + number, "interrupted; nothing is half-written"
    if first_words(sys.argv[1:], os.environ).json_log:
        said = text("error", "interrupted", logger="segue", message=said, exit_code=code)
    os.write(2, f"{said}\n".encode())
    os._exit(code)


if __name__ == "__main__":
    main()
