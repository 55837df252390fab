"""A small log in two parts, and models on the first of them that are to grow by the second."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import runs
import small_logs
from small_logs import Row

from segue.settings import Nested

SETTINGS: Nested = {**small_logs.with_settings(training={"max_epochs": 1, "epoch_steps": 4, "pass_steps": 4})}
del SETTINGS["model"]
DAYS = 14
"""Days of the first part."""


@cache
def _home() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="segue-growing-")


def parts() -> tuple[list[Row], list[Row]]:
    """The rows until the evening of day 14, and those of the four days after it, with an item and a user that are new.

    The last visit of the first part is interrupted by the evening: it goes on in the second part.
    """
    ordered = sorted(small_logs.rows(), key=lambda row: row[2])
    days = sorted({row[2][:10] for row in ordered})
    split = max(place for place, row in enumerate(ordered) if row[2][:10] == days[DAYS - 1]) - 1
    more = [
        ("newcomer", item, f"{day}T12:0{minute}:00Z")
        for day in days[DAYS:]
        for minute, item in enumerate(("first0", "latest", "second0"))
    ]
    return ordered[:split], [*ordered[split:], *more]


@cache
def logs() -> tuple[Path, Path, Path]:
    """Files of the first part, of the second, and of both."""
    first, second = parts()
    home = Path(_home().name)
    return tuple(  # type: ignore[return-value]
        written(home / f"{name}.csv", rows)
        for name, rows in (("first", first), ("second", second), ("both", [*first, *second]))
    )


def written(path: Path, rows: Iterable[Iterable[Any]]) -> Path:
    """A log of some rows."""
    return small_logs.write_csv(path, rows)


@cache
def corpus() -> Path:
    """The first part, prepared. Not to be changed by a test."""
    folder = Path(_home().name) / "corpus"
    runs.prepare(str(logs()[0]), folder, SETTINGS)
    return folder


@cache
def trained(name: str, preset: str = "", *more: tuple[str, object]) -> Path:
    """A model on the first part; `more` are options of it. Not to be changed by a test."""
    folder = Path(_home().name) / "-".join([name, preset, *map(str, dict(more))])
    options = {"name": name, **({"preset": preset} if preset else {}), **dict(more)}
    return runs.train(corpus(), folder, {**SETTINGS, "model": options})
