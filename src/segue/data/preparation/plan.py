"""The plan of a preparation: the SQL of each step with an estimate of its rows, from the users of a sample."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from segue.data import engine
from segue.data.engine import one_row
from segue.data.preparation.prepare import divide, read_in_duckdb
from segue.data.preparation.sessions import form_sessions
from segue.data.sources import raw_log
from segue.data.tables import Made, create, recorded
from segue.settings import Settings

SAMPLE = 1_000_000
"""Events, about, of which the steps are tried; a smaller log is tried whole, and its numbers are exact."""
_OF_ITEMS = ("item_codes", "vocabulary")
"""Tables of one row per item: more users bring few more items, so these are not scaled up."""


def plan(source: Any, settings: Settings, scratch: Path, *, sample: int = SAMPLE) -> list[Made]:
    """The tables that the preparation of a log would make, in their order, with their estimated numbers of rows.

    The log is read as ``prepare`` reads it. The steps then run on the events of every k-th user by a hash of the id,
    and what they leave is scaled by the share of the events; tables of items are as the sample has them.

    Raises what ``prepare`` raises, CorpusError also where the sample alone is too small to leave a corpus.
    """
    with closing(engine.connect(settings.preparation, scratch)) as connection, engine.guarded("planning the corpus"):
        facts = read_in_duckdb(connection, raw_log(connection, source, scratch, settings), settings)
        total = facts.rows_read - facts.rows_dropped
        _keep_users(connection, math.ceil(total / sample))
        (kept,) = one_row(connection, "SELECT count(*) FROM log")
        with recorded() as made:
            ledger = form_sessions(connection, settings.sessions, settings.filters, settings.split)
            divide(connection, ledger, settings)
        return list(_scaled(made, total / max(kept, 1)))


def _keep_users(connection: DuckDBPyConnection, every: int) -> None:
    if every > 1:
        whose = "coalesce(user_id, session_id, item_id)"
        create(connection, "log", f"SELECT * FROM log WHERE md5_number_lower({whose}) % {every} = 0")


def _scaled(made: list[Made], factor: float) -> Iterator[Made]:
    for table in made:
        rows = table.rows if table.name in _OF_ITEMS else round(table.rows * factor)
        yield replace(table, query=inspect.cleandoc(table.query), rows=rows)
