"""The command ``segue``: Ctrl-C has one line and exit code 130 from here on, the seconds of imports included."""

from __future__ import annotations

import os
import signal
from types import FrameType

from segue.system.streams import open_closed_streams

INTERRUPTED = 130


def main() -> None:
    """Run the command line; an interrupt that comes before or after its commands ends it just the same."""
    open_closed_streams()
    answers = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not where a parent had it ignored
    if answers:
        signal.signal(signal.SIGINT, _leave)
    from segue.cli import app as cli

    try:
        if answers:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        cli.main()
    except KeyboardInterrupt:
        _leave()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # what there was to say is said


def _leave(number: int = signal.SIGINT, frame: FrameType | None = None) -> None:
    """End the process without unwinding: an import may turn an exception into another, and nothing needs cleanup."""
    os.write(2, b"interrupted; nothing is half-written\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
