"""What every benchmark needs to say: on which machine, against which floor, and with how much memory.

`measure` runs a function in a process of its own; `facts` and `floors` describe the machine; `write` puts results
and facts into ``docs/benchmarks/NAME.json`` and ``NAME.md``. torch is imported only by what uses it, so that a
measured process that needs none does not carry its memory.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar

from segue.doctor.machine import processor
from segue.doctor.speed import torch_speed
from segue.system.limits import cores

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "benchmarks"
PACKAGES = ("torch", "duckdb", "pyarrow", "numpy")
MATRIX = 2_048  # rows of the square f32 matrices multiplied
READ_BYTES = 2**29  # far beyond any cache
REPEATS = 5

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Measured(Generic[Value]):
    """One run in its own process: wall and CPU seconds of the call, peak resident bytes of the whole process.

    CPU seconds no larger than wall seconds in a run with two threads mean that both shared one core: run it again.
    """

    value: Value
    seconds: float
    cpu_seconds: float
    peak_rss_bytes: int


def measure(function: Callable[Arguments, Value], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Measured[Value]:
    """Call `function` in a fresh process, so that the peak is its own (with interpreter and imports).

    The function must be importable by name, its arguments and value picklable; the script that calls this needs
    its ``if __name__ == "__main__":``. An exception of the function is raised here again; a process that was
    killed, for memory perhaps, raises BrokenProcessPool.
    """
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measured_here, function, args, kwargs).result()


def _measured_here(function: Callable[..., Value], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Measured[Value]:
    began, began_cpu = time.perf_counter(), time.process_time()
    value = function(*args, **kwargs)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - began_cpu
    return Measured(value, seconds, cpu_seconds, peak_rss_bytes())


def peak_rss_bytes() -> int:
    """Peak resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # unlike ru_maxrss it starts anew at exec, so the parent's memory does not shine through
        line = next(row for row in status.read_text().splitlines() if row.startswith("VmHWM:"))
        return int(line.split()[1]) * 1_024
    unit = 1 if sys.platform == "darwin" else 1_024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def floors(threads: int | None = None) -> dict[str, float]:
    """What the machine can do at best: f32 matrix product in GFLOP/s, memory read in GB/s, with `threads` threads."""
    import torch

    from segue.system.torch_runtime import threads as computing

    with computing(threads or cores()):
        speed = torch_speed(MATRIX, READ_BYTES, REPEATS, seconds=math.inf)
        return {"threads": torch.get_num_threads(), **asdict(speed)}


def facts() -> dict[str, Any]:
    """Date, commit, versions and machine, as they are printed with every benchmark."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor() or "unknown",
        "cores": cores(),
    }


def commit() -> str:
    """The short commit, "+dirty" when files other than the results differ from it; "unknown" outside git."""
    try:
        short = _git("rev-parse", "--short", "HEAD")
        changed = _git("status", "--porcelain", "--", ".", f":(exclude){RESULTS.relative_to(ROOT).as_posix()}")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{short}+dirty" if changed else short


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def write(
    name: str,
    results: dict[str, Any],
    markdown: str,
    floor: dict[str, float] | None = None,
    measured_on: dict[str, Any] | None = None,
) -> None:
    """Write ``docs/benchmarks/NAME.json`` and ``NAME.md``: the results, then where they were measured.

    Args:
        markdown: the page, from its title on.
        floor: what `floors` gave on the occasion, where the page compares with it.
        measured_on: the `facts` of the occasion, where it was not just now.
    """
    machine = (measured_on or facts()) | ({"floors": floor} if floor else {})
    RESULTS.mkdir(parents=True, exist_ok=True)
    record = json.dumps({"results": results, "machine": machine}, indent=2)
    (RESULTS / f"{name}.json").write_text(f"{record}\n", encoding="utf-8")
    page = f"{markdown.strip()}\n\n{_signature(machine)}\n"
    (RESULTS / f"{name}.md").write_text(page, encoding="utf-8")


def _signature(machine: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {machine[name]}" for name in ("python", *PACKAGES))
    lines = [
        "## Measured on",
        "",
        f"{machine['date']}, commit {machine['commit']}; {machine['processor']}, {machine['cores']} cores, "
        f"{machine['system']}; {versions}.",
    ]
    if floor := machine.get("floors"):
        lines.append(
            f"This machine's floors on {floor['threads']:.0f} thread(s): {floor['matmul_f32_gflops']:.0f} GFLOP/s in "
            f"f32 matrix products, {floor['memory_read_gb_per_s']:.1f} GB/s read from memory."
        )
    return "\n".join(lines)


def main() -> None:
    """Print the facts and floors of this machine as one JSON object."""
    print(json.dumps(facts() | {"floors": floors()}, indent=2))


if __name__ == "__main__":
    main()
