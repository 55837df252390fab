"""How often and how closely one item comes after another inside sessions, for the memory of preset `segue`."""

from __future__ import annotations

import numpy as np
from duckdb import DuckDBPyConnection

from segue.data.tables import Engine
from segue.graph.tables import FARTHEST, UNIT, CsrTable

_ORDER = """
SELECT item AS source, later AS destination, CAST(sum({unit} // distance) AS BIGINT) AS weight
FROM ({places}) AS places
WHERE later IS NOT NULL AND later <> item
GROUP BY item, later"""

# A row for each of an event's later items, with its distance: the one thing that the engines write in their own ways.
_IN_DUCKDB = """
SELECT item, unnest(laters) AS later, unnest(range(1, {farthest} + 1)) AS distance
FROM (SELECT item, [{laters}] AS laters FROM events WINDOW w AS (PARTITION BY session ORDER BY number))"""
_IN_SPARK = """
SELECT item, later, place + 1 AS distance
FROM (SELECT item, array({laters}) AS laters FROM events WINDOW w AS (PARTITION BY session ORDER BY number)) AS listed
LATERAL VIEW posexplode(laters) listing AS place, later"""

_TOP = """
SELECT source, destination, weight FROM (
    SELECT *, row_number() OVER (PARTITION BY source ORDER BY weight DESC, destination) AS place
    FROM ({order}) AS counted) AS placed
WHERE place <= {top} ORDER BY source, place"""


def order_counts(engine: Engine, n_items: int, top: int) -> CsrTable:
    """O[i, j] = sum of 2520 / distance over all places where j comes 1 to 10 events after i, i not j; row i of the
    result holds the `top` largest, ties by item.

    Args:
        engine: with the table ``events`` (session, number, item), numbered in the order of the sessions.
    """
    laters = ", ".join(f"lead(item, {distance}) OVER w" for distance in range(1, FARTHEST + 1))
    places = _IN_DUCKDB if isinstance(engine, DuckDBPyConnection) else _IN_SPARK
    order = _ORDER.format(unit=UNIT, places=places.format(farthest=FARTHEST, laters=laters))
    found = engine.execute(_TOP.format(order=order, top=top)).fetchnumpy()
    source, later, weight = (np.asarray(found[name]) for name in ("source", "destination", "weight"))
    return CsrTable.from_sorted(source, later, weight, n_items)
