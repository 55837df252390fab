"""A process that reads forgeries through the command line's own runner, and says how each ended.

    python forged_runs.py SOURCES FIRST LAST SCRATCH

SOURCES is JSON: name → folder and whether it is a corpus. One line of JSON per forgery goes to stdout.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

import forgeries

from segue.cli import app
from segue.cli.console import err, out

SECONDS, PATIENCE = 5, 60
"""Most seconds of computing that a command may take, and of waiting: other processes may share the processor."""
MEMORY = 2**30
SPACE = 8 * 2**30
"""Address space beyond what the process has at its start: nothing may endanger the machine that runs the tests."""


class TooLongError(BaseException):
    """The time of a forgery is over."""


def main() -> None:
    """Read the forgeries FIRST to LAST - 1, in turn of each source."""
    sources: dict[str, tuple[str, bool]] = json.loads(sys.argv[1])
    scratch = Path(sys.argv[4])
    signal.signal(signal.SIGALRM, _over)
    signal.signal(signal.SIGPROF, _over)
    lines = sys.stdout
    for folder, corpus in sources.values():  # everything is imported before memory is measured
        _read(Path(folder), corpus=corpus, limited=False)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + SPACE, used + SPACE))
    for number in range(int(sys.argv[2]), int(sys.argv[3])):
        name = list(sources)[number % len(sources)]
        target = scratch / "forged"
        said = forgeries.forge(Path(sources[name][0]), target, f"{name}-{number}", corpus=sources[name][1])
        print(json.dumps({"number": number, "source": name, "forged": said}), file=lines, flush=True)
        Path("/proc/self/clear_refs").write_text("5")
        before = _peak()
        found = _read(target, corpus=sources[name][1])
        found["memory"] = _peak() - before
        print(json.dumps(found), file=lines, flush=True)
        for path in (target, scratch / "forged.aside"):
            path.unlink() if path.is_symlink() else shutil.rmtree(path, ignore_errors=True)


def _read(folder: Path, *, corpus: bool, limited: bool = True) -> dict[str, Any]:
    """How the commands that read the folder end: the worst of them, its messages, the seconds of the slowest."""
    outcomes = [
        _command(arguments, limited=limited) for arguments in (_of_corpus(folder) if corpus else _of_model(folder))
    ]
    worst = max(outcomes, key=lambda outcome: outcome["rank"])
    return {**worst, "seconds": max(outcome["seconds"] for outcome in outcomes)}


def _of_model(folder: Path) -> list[list[str]]:
    return [
        ["recommend", str(folder), "--user", "user00", "--items", "first1,second1", "--json"],
        ["evaluate", str(folder), "--json"],
    ]


def _of_corpus(folder: Path) -> list[list[str]]:
    model = str(folder.with_name("popular"))
    shutil.rmtree(model, ignore_errors=True)
    train = ["train", str(folder), "--out", model, "--set", "model.name=popularity", "--set", "model.preset=personal"]
    return [["stats", str(folder), "--json"], [*train, "--overwrite", "--json"], ["evaluate", model, "--json"]]


def _command(arguments: list[str], *, limited: bool) -> dict[str, Any]:
    written, said = io.StringIO(), io.StringIO()
    out.file, err.file = written, said
    started = time.process_time()
    if limited:
        signal.alarm(PATIENCE)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(written):
            code = app.run(arguments)
        _stop_clocks()
        ended = _judged(code, written.getvalue(), said.getvalue())
    except TooLongError:
        ended = {"rank": 9, "end": f"more than {SECONDS} s", "said": traceback.format_exc()}
    except BaseException:
        _stop_clocks()
        ended = {"rank": 8, "end": "traceback", "said": traceback.format_exc()}
    finally:
        _stop_clocks()
    return {**ended, "command": arguments[0], "seconds": time.process_time() - started}


def _stop_clocks() -> None:
    signal.alarm(0)
    signal.setitimer(signal.ITIMER_PROF, 0)


def _judged(code: int, written: str, said: str) -> dict[str, Any]:
    mistakes = [line for line in said.splitlines() if line.startswith("segue: ")]
    if code == 2 and len(mistakes) == 1 and said.endswith(mistakes[0] + "\n") and "\x1b" not in mistakes[0]:
        return {"rank": 1, "end": "refused", "said": mistakes[0]}
    if code == 0 and not mistakes:
        with contextlib.suppress(ValueError):
            if _finite(json.loads(written)):
                return {"rank": 0, "end": "read", "said": said}
    return {"rank": 7, "end": f"exit {code}", "said": said + written[:200]}


def _finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    if isinstance(value, list):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _peak() -> int:
    """Most memory that the process has held since the mark was cleared, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def _over(number: int, frame: FrameType | None) -> None:
    raise TooLongError


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
