"""Forged models and corpora under honest checksums: each is refused in one line, or read without harm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import forged_runs
import pytest
import runs
import small_logs

_ONE_EPOCH = small_logs.with_settings(training={"max_epochs": 1})
_MODELS: dict[str, dict[str, Any]] = {
    "markov": {"name": "markov"},
    "v_sknn": {"name": "session_knn", "preset": "v_sknn"},
    "hrnn": {"name": "hrnn", "dim": 8},
    "reminder": {"name": "reminder"},
    "popularity": {"name": "popularity"},
    "ease": {"name": "ease"},
    "gce_gnn": {"name": "gce_gnn", "dim": 8},
}
"""Beside HG-GNN: models that count, one that keeps sessions, recurrent ones, one around another, one with a graph."""
_LIMIT = 1800
_SHOWN = 5


@cache
def _sources() -> dict[str, tuple[str, bool]]:
    """Name → folder, and whether it is a corpus; a corpus stands twice, as its files are the most."""
    folder = small_logs.corpus()
    trained = {
        name: runs.train(folder, folder.with_name(f"forged-{name}"), {**_ONE_EPOCH, "model": model})
        for name, model in _MODELS.items()
    }
    models = {"hg_gnn": small_logs.fitted_model(), **trained}
    return {**{name: (str(path), False) for name, path in models.items()}, **_twice(str(folder))}


def _twice(corpus: str) -> dict[str, tuple[str, bool]]:
    return {"corpus": (corpus, True), "the corpus again": (corpus, True)}


def _read_forgeries(first: int, last: int, scratch: Path) -> list[dict[str, Any]]:
    """How the forgeries of these numbers ended; each in a process whose death is an end, too."""
    command = [sys.executable, forged_runs.__file__, json.dumps(_sources()), str(first), str(last), str(scratch)]
    paths = [str(Path(forged_runs.__file__).parent), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_LIMIT, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"the process died ({done.returncode}) at {lines[-1:]}: {done.stderr[-2000:]}"
    return [{**forged, **found} for forged, found in zip(lines[::2], lines[1::2], strict=True)]


def _check(found: list[dict[str, Any]]) -> None:
    harmful = [one for one in found if one["end"] not in ("refused", "read")]
    assert not harmful, f"{len(harmful)} of {len(found)}: {json.dumps(harmful[:_SHOWN], indent=1)}"
    large = [one for one in found if one["memory"] > forged_runs.MEMORY]
    assert not large, f"more memory than allowed: {large[:_SHOWN]}"
    silent = [one for one in found if one["end"] == "read" and _must_be_noticed(one["forged"])]
    assert not silent, f"read without a word: {silent[:_SHOWN]}"


def _must_be_noticed(forged: str) -> bool:
    """Whether something changed under its checksum, in a file that the commands of the test read."""
    return "bit" in forged and forged.endswith("flipped") and not forged.startswith(("evaluation/", "report.html"))


@pytest.mark.parametrize(("first", "last"), [(0, 108), pytest.param(108, 324, marks=pytest.mark.slow)])
def test_every_forgery_is_refused_in_one_line_or_read_without_harm(tmp_path: Path, first: int, last: int) -> None:
    found = _read_forgeries(first, last, tmp_path)
    assert len(found) == last - first
    _check(found)
    ends = Counter(one["end"] for one in found)
    assert ends["refused"] > len(found) * 200 / 324  # else the forger forges nothing


@pytest.mark.slow
def test_thousands_of_forgeries_are_refused_in_one_line_or_read_without_harm(tmp_path: Path) -> None:
    _check(_read_forgeries(10_000, 13_000, tmp_path))
