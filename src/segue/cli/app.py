"""The command line. Results go to stdout (with --json as JSON), everything else to stderr.

Exit codes are those of :class:`segue.system.exit_codes.Exit`.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Annotated

import typer

from segue.cli.command import RequestCommand
from segue.cli.console import err, show_messages
from segue.cli.first_words import LOG_VARIABLE, LogForm, first_words
from segue.cli.options import with_named_paths
from segue.cli.shares import take_place
from segue.errors import UserMistake
from segue.system.exit_codes import Exit
from segue.system.interrupts import answered, exit_code
from segue.system.log_lines import show_defect, take_over
from segue.system.streams import show_everything

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
    "forget": "segue.cli.forget",
    "update": "segue.cli.update",
    "export": "segue.cli.export",
    "fit": "segue.cli.train",
    "tune": "segue.cli.compare",
    "compare": "segue.cli.compare",
    "study": "segue.cli.paper",
    "demo": "segue.cli.demo",
    "doctor": "segue.cli.doctor",
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


def _every_command(
    log: Annotated[
        LogForm,
        typer.Option(envvar=LOG_VARIABLE, help="Form of messages and progress on stderr; json: one object per line."),
    ] = "text",
) -> None:
    """Options before the command. `first_words` has obeyed them by now; here they are checked."""


def main() -> None:
    """Run the command line, and turn every mistake into one line and an exit code."""
    show_everything()
    show_messages()
    as_json = first_words(sys.argv[1:], os.environ).json_log
    if as_json:
        take_over()
    try:
        code = run(sys.argv[1:])
    except Exception as error:
        if not as_json:
            raise
        show_defect(error)
        code = Exit.DEFECT
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit code."""
    command, err.as_json = first_words(arguments, os.environ)
    before = answered()
    try:
        take_place(command)
        result = application(command)(arguments or ["--help"], prog_name="segue", standalone_mode=False)
    except Exception as error:
        if answered() > before:  # a library in C that was being loaded has made an error of its own of the interrupt
            return _interrupted(command)
        said = _words_of(error)
        if said is None:
            raise
        return _mistake(said)
    if result == Exit.INTERRUPTED:  # what the library of the command line makes of KeyboardInterrupt
        return _interrupted(command)
    return result if isinstance(result, int) else Exit.DONE


def _words_of(error: Exception) -> str | None:
    """One line for a mistake; None for a defect."""
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        return f"{error.format_message().rstrip('.')}; see {context.command_path if context else 'segue'} --help"
    if isinstance(error, UserMistake):
        err.quiet = error.said
        return str(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"input or output failed: {where}{error.strerror or error}"
    return None


def _interrupted(command: str | None) -> int:
    said = f"interrupted; nothing is half-written: {_goes_on(command)}"
    err.say(said, "error", event="interrupted", exit_code=exit_code())
    return exit_code()


def _goes_on(command: str | None) -> str:
    """What to do after an interrupt: few commands keep what they have done so far."""
    if command in ("recommend", "forget", "update"):
        return "the same command starts again"
    return "the same command goes on, a training run with --resume"


def _mistake(message: str) -> int:
    if len(message) > _LONGEST:
        message = f"{message[: _LONGEST // 2]} … {message[-_LONGEST // 2 :]}"
    err.say(f"segue: {message}", "error", event="mistake", exit_code=Exit.MISTAKE)
    return Exit.MISTAKE
