"""A small log of two tastes as a file, settings that fit it within a second, and the model that comes of it."""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import runs

from segue.settings import Nested

COMMAND = [sys.executable, "-c", "from segue.__main__ import main; main()"]
"""The command line as a process of its own."""
COLUMNS = ("user_id", "item_id", "timestamp")
TOPICS, USERS, VISITS = 8, 12, 18
SMALL: Nested = {
    "sessions": {"min_length": 2},
    "filters": {"min_item_support": 1, "min_user_sessions": 2},
    "preparation": {"memory_limit": "256MiB"},
    "model": {"dim": 8, "dropout": 0.0},
    "training": {
        "max_epochs": 2,
        "batch_events": 64,
        "epoch_steps": 0,
        "pass_steps": 0,
        "learning_rate": 0.03,
        "threads": 1,
    },
}
"""An epoch is one pass: the 4,100 steps that presets after the paper count as one would be hundreds of passes here."""
LEARNED: Nested = {
    **SMALL,
    "model": {**SMALL["model"], "pointer": []},
    "training": {**SMALL["training"], "batch_events": 16},
}
"""With these a model learns both tastes within an epoch, the one that is kept: HR@10 is 1 from then on. The pointer,
which would need more epochs, is off."""
Row = tuple[str, str, str]


def user(number: int) -> str:
    """Users with an even number have taste a, the others taste b."""
    return f"user{number:02d}"


def rows() -> list[Row]:
    """Every visit starts alike, first{t} then second{t}; where it ends, a{t} or b{t}, is the user's taste."""
    beginning = datetime(2024, 1, 1, 9, tzinfo=UTC)
    found = []
    for visit in range(VISITS):
        for number in range(USERS):
            topic = (number + 3 * visit) % TOPICS
            taste = "ab"[number % 2]
            items = (f"first{topic}", f"second{topic}", f"{taste}{topic}", f"first{(topic + 1) % TOPICS}")
            start = beginning + timedelta(days=visit, minutes=number)
            found += [
                (user(number), item, (start + timedelta(seconds=20 * place)).strftime("%Y-%m-%dT%H:%M:%SZ"))
                for place, item in enumerate(items)
            ]
    return found


def next_day() -> list[Row]:
    """One more visit of every user, the day after the log ends."""
    last = max(time for *_, time in rows())[:10]
    day = (datetime.fromisoformat(last) + timedelta(days=1)).strftime("%Y-%m-%d")
    return [(name, item, day + time[10:]) for name, item, time in rows() if time[:10] == last]


def write_csv(path: Path, lines: Iterable[Iterable[Any]], columns: Iterable[str] = COLUMNS) -> Path:
    """A CSV file with a header."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *lines])
    return path


def with_settings(**sections: dict[str, Any]) -> Nested:
    """SMALL with some keys changed."""
    names = {*SMALL, *sections}
    return {name: {**SMALL.get(name, {}), **sections.get(name, {})} for name in names}


def as_arguments(overrides: Nested) -> list[str]:
    """The same settings for a command line."""
    values = {True: "true", False: "false"}
    return [
        argument
        for section, keys in overrides.items()
        for key, value in keys.items()
        for argument in ("--set", f"{section}.{key}={values[value] if isinstance(value, bool) else value}")
    ]


@cache
def _home() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="segue-tests-")


@cache
def log() -> Path:
    """The log as a CSV file. Not to be changed by a test."""
    return write_csv(Path(_home().name) / "log.csv", rows())


@cache
def items_file() -> Path:
    """Names for all items but those of topic 0."""
    items = sorted({item for _, item, _ in rows() if not item.endswith("0")})
    return write_csv(
        Path(_home().name) / "items.csv", [(i, f"The [{i}]", i[0]) for i in items], ("item_id", "name", "c")
    )


@cache
def corpus() -> Path:
    """The log prepared. Not to be changed by a test."""
    folder = Path(_home().name) / "corpus"
    runs.prepare(str(log()), folder, SMALL, items=items_file())
    return folder


@cache
def fitted_model() -> Path:
    """The log fitted by ``pipeline.fit``, corpus and report included. Not to be changed by a test."""
    return runs.fit(str(log()), Path(_home().name) / "fitted", LEARNED, items=items_file())


@cache
def counting_model(name: str, preset: str) -> Path:
    """A counting model on the corpus. Not to be changed by a test."""
    folder = Path(_home().name) / f"{name}-{preset}"
    return runs.train(corpus(), folder, {**SMALL, "model": {"name": name, **({"preset": preset} if preset else {})}})
