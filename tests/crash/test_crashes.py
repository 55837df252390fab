"""A command that is killed at any of its file calls: OUT is old or new, and the same command ends as if nothing was.

The kills themselves: ``tests/support/crashing.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import crashing
import pytest

CASES = crashing.cases("log", "corpus", "model")
A_SAMPLE = {"train --overwrite": 61, "tune": 131, "forget": 47, "update": 73}
"""Cases of the quick set: one kill for so many file calls."""


def kills(case: str, every: int, first: int) -> list[dict[str, Any]]:
    command = [sys.executable, crashing.__file__, case, str(every), str(first)]
    path = os.pathsep.join([str(Path(crashing.__file__).parent), *sys.path])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def check(case: str, outcomes: list[dict[str, Any]]) -> None:
    """Each outcome is one of those that a killed command may have."""
    assert outcomes
    how = CASES[case]
    whole = {"old", "new"} if how.before is not None else {"absent", "new"}
    whole |= {"absent"} if how.two_steps else set()
    for outcome in outcomes:
        assert outcome["again"] in ("repeated", "resumed", "finished already"), outcome
        assert (outcome["unequal"], outcome["left"]) == ([], []), outcome
        if how.exchanged:
            assert outcome["state"] in whole, outcome
        else:
            assert outcome["state"] != "absent" or how.before is None, outcome


@pytest.mark.parametrize("case", A_SAMPLE)
def test_a_few_kills(case: str) -> None:
    check(case, kills(case, A_SAMPLE[case], 7))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_kill_at_every_file_call(case: str) -> None:
    outcomes = kills(case, 1, 1)
    check(case, outcomes)
    assert [outcome["call"] for outcome in outcomes] == list(range(1, outcomes[-1]["of"] + 1))
