"""The corpus of a benchmark: a log prepared whole, or drawn to some of its users, and the words that say so.

What several benchmarks share on their command lines stands here: the log, the users drawn from it, the folder of what
is finished.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

import machine
from segue.data.corpus import load
from segue.data.preparation.prepare import SECTIONS, prepare
from segue.data.preparation.subsample import subsample_users
from segue.data.sources import Source
from segue.pipeline.settings import settings_for_log
from segue.settings import Nested
from segue.settings.overrides import read_overrides


@dataclass(frozen=True)
class Drawn:
    """A corpus that is ready.

    Attributes:
        folder: where the benchmark keeps what is finished. corpus: the prepared one.
        began_on: date, commit and machine of the first start.
        shared: settings of training and evaluation that hold for every model.
        words: who was drawn, for the page. arguments: the same as it was asked for, with all settings.
    """

    folder: Path
    corpus: Path
    began_on: dict[str, Any]
    shared: Nested
    words: str
    arguments: str


def parser_of(description: str | None, name: str) -> argparse.ArgumentParser:
    """A command line with the log, the users and the folder.

    Args:
        name: what the first argument names.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help=name)
    parser.add_argument("log", help="a log that segue prepare reads")
    parser.add_argument("--users", type=int)
    parser.add_argument("--draw", type=int, default=0, help="the seed that users are drawn by")
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--set", action="append", default=[], help="SECTION.KEY=VALUE for every model and the corpus")
    return parser


SHARED = ("training", "evaluation")
"""Sections that hold for every model of a benchmark."""


def draw(chosen: argparse.Namespace, name: str, shared: tuple[str, ...] = SHARED) -> Drawn:
    """Prepare or take up the corpus that was asked for, in the folder of that name.

    Args:
        shared: the sections of settings that the benchmark passes on to its models; of the others, those that no
            preparation reads are refused.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    folder: Path = chosen.out / name
    folder.mkdir(parents=True, exist_ok=True)
    began_on = facts_of_first_start(folder)
    overrides = read_overrides(None, chosen.set)
    if idle := sorted({*overrides} - {*SECTIONS, *shared}):
        raise SystemExit(f"--set {idle[0]}: this benchmark has no use for it; it takes {', '.join(SECTIONS + shared)}")
    corpus = drawn_corpus(chosen.log, chosen.users, chosen.draw, folder, overrides)
    passed = {section: values for section, values in overrides.items() if section in shared}
    words = f"{chosen.users:,} users drawn by seed {chosen.draw}." if chosen.users else "All users."
    users = f" --users {chosen.users} --draw {chosen.draw}" if chosen.users else ""
    return Drawn(folder, corpus, began_on, passed, words, users + "".join(f" --set {text}" for text in chosen.set))


def drawn_corpus(log: str, users: int | None, seed: int, folder: Path, overrides: Nested) -> Path:
    """Prepare the log, or only the given number of the users that survive its filters, drawn by seed."""
    whole = folder / "corpus"
    if not whole.exists():
        source, settings = settings_for_log(log, overrides)
        prepare(source, whole, settings)
    if users is None:
        return whole
    drawn = folder / f"corpus-{users}-{seed}"
    if not drawn.exists():
        ids = [user for user in load(whole).user_ids if user is not None]
        events = _events_of(log, subsample_users(ids, users, seed), folder, overrides)
        _, settings = settings_for_log(log, overrides)
        prepare(events, drawn, settings)
    return drawn


def _events_of(log: str, ids: list[str], folder: Path, overrides: Nested) -> Path:
    """The rows of the drawn users, as a Parquet log."""
    connection = duckdb.connect()
    source, settings = settings_for_log(log, overrides)
    path = source.read(connection, folder, settings).events if isinstance(source, Source) else Path(log)
    user = overrides.get("columns", {}).get("user_id", "user_id")
    out = folder / "drawn.parquet"
    connection.execute("CREATE TABLE chosen AS SELECT unnest(?) AS id", [ids])
    connection.execute(
        f"COPY (SELECT * FROM '{path}' WHERE CAST(\"{user}\" AS VARCHAR) IN (SELECT id FROM chosen))"
        f" TO '{out}' (FORMAT parquet)"
    )
    return out


def facts_of_first_start(folder: Path) -> dict[str, Any]:
    """Date, commit and machine that the comparison was begun with; its page may be written much later."""
    path = folder / "machine.json"
    if not path.exists():
        path.write_text(json.dumps(machine.facts()), encoding="utf-8")
    return dict(json.loads(path.read_text(encoding="utf-8")))
