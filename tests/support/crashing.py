"""Kill a command at its file calls, one after another, and repeat it: what stands at OUT then, and what at the end.

A program of its own, since it forks for every kill: ``python crashing.py CASE EVERY FIRST`` prints one line of JSON per
kill, for each EVERY-th file call from the call FIRST on. It has imported everything and computed nothing when it forks.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import pyarrow.parquet as pq
import search_spaces
import small_logs

from segue.artifact import checkpoint, model_folder
from segue.cli import app as cli
from segue.models.gru4rec import GRU4Rec
from segue.report import charts
from segue.system import replacing

_CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "fcntl.flock"}
_UNEQUAL = {"study.journal"}
"""Files that hold the clock of the wall."""
_SLOW_TO_IMPORT = ("segue", "torch", "optuna", "scipy", "numpy", "pyarrow", "altair")
_OF_A_RUN = (".checkpoint", "run.json")
"""What a new model still has until its run is put away."""
_TRAINED = ["--set", "model.name=gru4rec", "--set", "model.dim=4", *small_logs.as_arguments(
    {"training": {"max_epochs": 1, "batch_events": 256, "checkpoint_minutes": 0, "threads": 1}}
)]  # fmt: skip
_LEFT_OPEN = small_logs.as_arguments(
    {"training": {"max_epochs": 1, "batch_events": 256, "checkpoint_minutes": 0, "threads": 1}}
)
_SMALL = small_logs.as_arguments({key: small_logs.SMALL[key] for key in ("sessions", "filters", "preparation")})
_COUNTED = ["--set", "model.name=popularity"]


@dataclass(frozen=True)
class Case:
    """A command, and the one that made what stands at its OUT before; both run in an empty folder.

    Attributes:
        exchanged: whether OUT is replaced as a whole. resumed: whether the command takes ``--resume``.
        two_steps: whether the file system cannot exchange two names.
    """

    command: list[str]
    before: list[str] | None = None
    exchanged: bool = True
    resumed: bool = False
    two_steps: bool = False


def cases(log: str, corpus: str, model: str) -> dict[str, Case]:
    """The commands by name."""
    prepare = ["prepare", log, "--out", "out", *_SMALL]
    other = [*prepare, "--set", "split.test=0.4"]
    train = ["train", corpus, "--out", "out"]
    tune = ["tune", corpus, "--out", "out", "--trials", "2"]
    compare = ["compare", corpus, "--out", "out", "--no-tune", "--seeds", "1", "--models"]
    tuned = [*compare, "popularity", "--minutes", "1"]
    tuned.remove("--no-tune")
    update = ["update", model, "--log", f"{log}.new.csv", "--epochs", "1"]
    forget = ["forget", model, "--user", small_logs.user(3), "--out", "out"]
    return {
        "prepare": Case(prepare),
        "prepare --overwrite": Case([*prepare, "--overwrite"], other),
        "prepare --overwrite in two steps": Case([*prepare, "--overwrite"], other, two_steps=True),
        "fit --refit": Case(["fit", log, "--out", "out", "--refit", *_SMALL, *_TRAINED], resumed=True),
        "fit that chooses": Case(["fit", log, "--out", "out", "--refit", *_SMALL, *_LEFT_OPEN], resumed=True),
        "fit --final --overwrite": Case(
            ["fit", log, "--out", "out", "--final", "--overwrite", *_SMALL, *_COUNTED], [*train, *_COUNTED],
            resumed=True,
        ),
        "train --overwrite": Case([*train, "--overwrite", *_TRAINED], [*train, *_COUNTED], resumed=True),
        "tune": Case([*tune, *_TRAINED], exchanged=False),
        "tune --overwrite": Case([*tune, "--overwrite", *_COUNTED], [*tune, *_TRAINED], exchanged=False),
        "compare": Case([*compare, "gru4rec,popularity", *_TRAINED[4:]], exchanged=False),
        "forget": Case(forget),
        "forget --overwrite": Case([*forget, "--overwrite"], [*train, *_COUNTED]),
        "update": Case([*update, "--out", "out"]),
        "update in place": Case([*update, "--out", "out", "--overwrite"], [*train, *_TRAINED]),
        "compare --overwrite": Case([*tuned, "--overwrite"], [*compare, "item_knn"], exchanged=False),
    }  # fmt: skip


Tick = Callable[..., None]


def _forked(work: Callable[[], int], said: Path) -> int:
    """Run in a child, whose output goes to a file; returns its exit code, or minus the signal that killed it."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os._exit(work())
    except BaseException:
        traceback.print_exc()
        os._exit(99)


def run(arguments: list[str], folder: Path, kill_at: int = 0) -> tuple[int, list[str], str]:
    """Run a command in a folder, killed at its file call of that number; its exit code, its file calls, its words."""
    said, called = folder.with_name("said"), folder.with_name("called")

    def work() -> int:
        os.chdir(folder)
        with folder.with_name("modules").open("w") as modules, _watched(kill_at, called):
            code = cli.run(arguments)
            sys.stdout.flush()
            modules.write("\n".join(sys.modules))
        return code

    called.write_text("")
    code = _forked(work, said)
    return code, called.read_text().splitlines(), said.read_text(errors="replace")


def _watched(kill_at: int, called: Path) -> Any:
    """Note every file call from now on, and kill this process at one of them."""
    calls = called.open("w", buffering=1)
    count = 0

    def tick(name: str, path: object = "", left: Path | None = None) -> None:
        nonlocal count
        count += 1
        calls.write(f"{name} {path}\n")
        if count == kill_at:
            if left is not None:
                left.write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            inside = isinstance(path, (str, bytes)) and not os.fsdecode(path).startswith(("/dev", "/proc", "/sys"))
            if inside and flags & (os.O_WRONLY | os.O_RDWR) and "__pycache__" not in os.fsdecode(path):
                tick("open", os.fsdecode(path))
        elif event in _CHANGES:
            tick(event, arguments[0])

    _watch_what_python_does_not_see(tick)
    sys.addaudithook(hook)
    time.monotonic = lambda: 0.0  # durations are no part of what has to be equal
    return calls


def _watch_what_python_does_not_see(tick: Tick) -> None:
    """The files that are written by Arrow and safetensors, the exchange of two names, and what reaches the disk."""

    def before(place: Any, name: str, left: Callable[[Path], Path]) -> None:
        real = getattr(place, name)

        def watched(content: Any, path: Any, *rest: Any, **how: Any) -> Any:
            tick(name, path)
            tick(f"half {name}", path, left(Path(path)))
            return real(content, path, *rest, **how)

        setattr(place, name, watched)

    before(pq, "write_table", lambda path: path)
    before(pq.ParquetWriter, "__init__", lambda path: path)
    for place in (checkpoint, model_folder):
        before(place, "save_file", lambda path: path.with_name(".tmpAb12cD"))
    for place, name in ((replacing, "exchange"), (os, "fsync"), (pq.ParquetWriter, "close")):
        _before_and_after(place, name, tick)


def _before_and_after(place: Any, name: str, tick: Tick) -> None:
    real = getattr(place, name)

    def watched(*arguments: Any) -> Any:
        tick(f"before {name}")
        result = real(*arguments)
        tick(f"after {name}")
        return result

    setattr(place, name, watched)


def contents(folder: Path) -> dict[str, str]:
    """Every file and folder below a folder, with what it holds where that has to be equal."""
    return {
        str(path.relative_to(folder)): path.read_bytes().hex() if path.is_file() and path.name not in _UNEQUAL else ""
        for path in sorted(folder.rglob("*"))
    }


def kills(case: Case, every: int, first: int, home: Path) -> Iterator[dict[str, Any]]:
    """Kill the command at each of its chosen calls, and repeat it; yields what came of it."""
    folder, old = home / "work", home / "old"
    old.mkdir()
    if case.before is not None:
        _demand(*run(case.before, old))
    shutil.copytree(old, folder)
    _demand(*run(case.command, folder))
    _import_too(folder.with_name("modules"))
    _renew(folder, old)
    code, calls, said = run(case.command, folder)
    _demand(code, calls, said)
    new = contents(folder)
    for number in range(first, len(calls) + 1, every):
        _renew(folder, old)
        code, reached, said = run(case.command, folder, number)
        if code != -signal.SIGKILL:
            raise AssertionError(f"not killed at call {number} of {len(calls)}: {code}\n{said}")
        state = _state(folder / "out", old / "out", new)
        again = _again(case, folder, state)
        found = contents(folder)
        yield {
            "call": number,
            "of": len(calls),
            "what": reached[-1],
            "state": state,
            "again": again,
            "unequal": sorted(name for name in new if found.get(name) != new[name]),
            "left": sorted(found.keys() - new.keys()),
        }


def _renew(folder: Path, old: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(old, folder)


def _import_too(modules: Path) -> None:
    """Import what a child had to import, so that the next ones find it done."""
    for name in modules.read_text().splitlines():
        if name not in sys.modules and name.startswith(_SLOW_TO_IMPORT):
            with suppress(ImportError):
                import_module(name)


def _again(case: Case, folder: Path, state: str) -> str:
    """Go on, with ``--resume`` where the command has that and there is something to resume; returns how it ended."""
    if case.resumed:
        code, _, said = run([*case.command, "--resume"], folder)
        if code == 0:
            return "resumed"
        if code != 2 or said.count("\n") != 1:
            return f"resuming ended with {code}: {said}"
    code, _, said = run(case.command, folder)
    if code == 2 and state == "new" and "exists already" in said:
        return "finished already"
    return "repeated" if code == 0 else f"repeating ended with {code}: {said}"


def _state(out: Path, old: Path, new: dict[str, str]) -> str:
    if not out.exists():
        return "absent"
    found = {name: text for name, text in contents(out).items() if not name.endswith(_OF_A_RUN)}
    if old.exists() and found == contents(old):
        return "old"
    whole = {name.removeprefix("out/"): text for name, text in new.items() if name.startswith("out/")}
    return "new" if found == whole else "other"


def _demand(code: int, calls: list[str], said: str) -> None:
    if code != 0:
        raise AssertionError(f"ended with {code}: {said}")


def main() -> NoReturn:
    """Print a line of JSON per kill."""
    name, every, first = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    GRU4Rec.space = search_spaces.SPACE  # type: ignore[assignment]
    charts.script = lambda: ""
    with tempfile.TemporaryDirectory(prefix="segue-crash-") as home:
        log, corpus, model = (Path(home) / each for each in ("log.csv", "corpus", "model"))
        small_logs.write_csv(log, small_logs.rows())
        _demand(*run(["prepare", str(log), "--out", str(corpus), *_SMALL], Path(home)))
        small_logs.write_csv(Path(f"{log}.new.csv"), small_logs.next_day())
        if name.startswith(("forget", "update")):
            _demand(*run(["train", str(corpus), "--out", str(model), *_TRAINED], Path(home)))
        case = cases(str(log), str(corpus), str(model))[name]
        if case.two_steps:
            replacing.exchange = lambda one, other: False
        for outcome in kills(case, every, first, Path(home)):
            print(json.dumps(outcome), flush=True)
    sys.exit(0)


if __name__ == "__main__":
    main()
