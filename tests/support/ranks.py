"""Some processes on this machine that find each other as those of ``torchrun`` do, and what they do in tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Ended(NamedTuple):
    """How a process has ended."""

    code: int
    out: str
    err: str


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def environment(rank: int, size: int, port: int, **more: str) -> dict[str, str]:
    """The environment of one of several processes, which may import what tests share."""
    path = os.pathsep.join(path for path in sys.path if path)
    mine = {"RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "SEGUE_WAIT_MINUTES": "2", **mine, **more}


def process(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """A process of Python whose messages are kept."""
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, *command], env=dict(environment), stdout=pipe, stderr=pipe, text=True)


def ended(processes: Sequence[subprocess.Popen[str]], timeout: float = 300) -> list[Ended]:
    """How they end; none of them is left behind."""
    try:
        said = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [Ended(p.returncode, *texts) for p, texts in zip(processes, said, strict=True)]


def pair(*commands: Sequence[str], **more: str) -> list[Ended]:
    """Run one command in both of two processes, or a command for each."""
    return together(commands if len(commands) > 1 else commands * 2, **more)


def together(commands: Sequence[Sequence[str]], **more: str) -> list[Ended]:
    """Run a command in each of as many processes."""
    port, size = free_port(), len(commands)
    return ended([process(command, environment(rank, size, port, **more)) for rank, command in enumerate(commands)])


def played(program: str, folder: Path, size: int = 2) -> Sequence[Ended]:
    """Run a function of :mod:`programs_of_ranks` in some processes; raises AssertionError where it fails."""
    results = together([["-c", f"import programs_of_ranks as p; p.play(p.{program}, {str(folder)!r})"]] * size)
    assert all(result.code == 0 for result in results), "\n".join(result.err for result in results)
    return results


def segue(*arguments: str) -> list[str]:
    """A command of Segue for :func:`pair`."""
    return ["-m", "segue", *arguments]


def settings(overrides: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Settings for a command line."""
    return [x for section, keys in overrides.items() for k, v in keys.items() for x in ("--set", f"{section}.{k}={v}")]
