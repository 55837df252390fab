"""The command line. Results go to stdout (with --json as JSON), everything else to stderr.

Exit codes: 0 for success; 2 with one clear line for a user's mistake; 130 on Ctrl-C, 143 on SIGTERM, 129 on SIGHUP; 141
when the reader of the result has gone (``| head``).
"""

from __future__ import annotations

import sys

import typer

from segue.cli import compare as cli_compare
from segue.cli import prepare as cli_prepare
from segue.cli import recommend as cli_recommend
from segue.cli import serve as cli_serve
from segue.cli import train as cli_train
from segue.cli.command import RequestCommand
from segue.cli.console import err, show_messages
from segue.cli.demo import demo
from segue.cli.options import with_named_paths
from segue.cli.paper import study
from segue.errors import SegueError, UserMistake
from segue.system.interrupts import exit_code
from segue.system.streams import show_everything

_INTERRUPTED = 130
_LONGEST = 2000
"""Most characters of a message, which may repeat what somebody has made as long as a file."""

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Recommends the next item of a live session to a user it knows.",
)

for command in (
    cli_prepare.check,
    cli_prepare.prepare,
    cli_prepare.stats,
    cli_train.train,
    cli_train.evaluate,
    cli_recommend.recommend,
    cli_serve.serve,
    cli_train.fit,
    cli_compare.tune,
    cli_compare.compare,
    study,
    demo,
):
    app.command(cls=RequestCommand if command is cli_recommend.recommend else None)(with_named_paths(command))


def main() -> None:
    """Run the command line, and turn every mistake into one line and an exit code."""
    show_everything()
    show_messages()
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit code."""
    try:
        result = app(arguments or ["--help"], prog_name="segue", standalone_mode=False)
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
        err.print("interrupted; nothing is half-written: the same command goes on, a training run with --resume")
        return exit_code()
    return result if isinstance(result, int) else 0


def _mistake(message: str) -> int:
    if len(message) > _LONGEST:
        message = f"{message[: _LONGEST // 2]} … {message[-_LONGEST // 2 :]}"
    err.print(f"segue: {message}")
    return 2
