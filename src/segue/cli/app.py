"""The command line. Results go to stdout (with --json as JSON), everything else to stderr.

Exit codes: 0 for success; 1 for a leak that ``segue audit`` found; 2 with one clear line for a user's mistake; 130 on
Ctrl-C, 143 on SIGTERM, 129 on SIGHUP; 141 when the reader of the result has gone (``| head``).
"""

from __future__ import annotations

import sys
from importlib import import_module

import typer

from segue.cli.command import RequestCommand
from segue.cli.console import err, show_messages
from segue.cli.options import with_named_paths
from segue.errors import SegueError, UserMistake
from segue.system.interrupts import exit_code
from segue.system.streams import show_everything

_INTERRUPTED = 130
_LONGEST = 2000
"""Most characters of a message, which may repeat what somebody has made as long as a file."""

COMMANDS = {
    "check": "segue.cli.prepare",
    "prepare": "segue.cli.prepare",
    "stats": "segue.cli.prepare",
    "train": "segue.cli.train",
    "evaluate": "segue.cli.train",
    "recommend": "segue.cli.recommend",
    "serve": "segue.cli.serve",
    "replay": "segue.cli.replay",
    "audit": "segue.cli.audit",
    "export": "segue.cli.export",
    "fit": "segue.cli.train",
    "tune": "segue.cli.compare",
    "compare": "segue.cli.compare",
    "study": "segue.cli.paper",
    "demo": "segue.cli.demo",
}
"""Name of a command → the module that has it as a function of this name."""


def application(wanted: str | None = None) -> typer.Typer:
    """The command line with all its commands; where one is `wanted`, with this one alone, so that an answer does not
    wait for what training imports."""
    app = typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        help="Recommends the next item of a live session to a user it knows.",
    )
    app.callback()(_every_command)
    for name in [wanted] if wanted in COMMANDS else COMMANDS:
        command = getattr(import_module(COMMANDS[name]), name)
        app.command(cls=RequestCommand if name == "recommend" else None)(with_named_paths(command))
    return app


def _every_command() -> None:
    """Without a callback of its own, a command line with one command would not ask for its name."""


def main() -> None:
    """Run the command line, and turn every mistake into one line and an exit code."""
    show_everything()
    show_messages()
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit code."""
    try:
        result = application(next(iter(arguments), None))(
            arguments or ["--help"], prog_name="segue", standalone_mode=False
        )
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        return _mistake(
            f"{error.format_message().rstrip('.')}; see {context.command_path if context else 'segue'} --help"
        )
    except UserMistake as error:
        return _mistake(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _mistake(f"input or output failed: {where}{error.strerror or error}")
    except SegueError as error:
        err.print(f"segue: defect: {error}")
        return 1
    if result == _INTERRUPTED:
        err.print(f"interrupted; nothing is half-written: {_goes_on(arguments)}")
        return exit_code()
    return result if isinstance(result, int) else 0


def _goes_on(arguments: list[str]) -> str:
    """What to do after an interrupt: few commands keep what they have done so far."""
    if next(iter(arguments), None) == "recommend":
        return "the same command starts again"
    return "the same command goes on, a training run with --resume"


def _mistake(message: str) -> int:
    if len(message) > _LONGEST:
        message = f"{message[: _LONGEST // 2]} … {message[-_LONGEST // 2 :]}"
    err.print(f"segue: {message}")
    return 2
