"""How often and how closely one item comes after another inside sessions, for the memory of preset `segue`."""

from __future__ import annotations

import duckdb
import numpy as np

from segue.graph.tables import FARTHEST, UNIT, CsrTable

_ORDER = """
SELECT item AS source, later AS destination, CAST(sum({unit} // distance) AS BIGINT) AS weight
FROM (
    SELECT item, unnest(laters) AS later, unnest(range(1, {farthest} + 1)) AS distance
    FROM (SELECT item, [{laters}] AS laters FROM events WINDOW w AS (PARTITION BY session ORDER BY number)))
WHERE later IS NOT NULL AND later <> item
GROUP BY ALL"""

_TOP = """
SELECT source, destination, weight FROM (
    SELECT *, row_number() OVER (PARTITION BY source ORDER BY weight DESC, destination) AS place FROM ({order}))
WHERE place <= {top} ORDER BY source, place"""


def order_counts(connection: duckdb.DuckDBPyConnection, n_items: int, top: int) -> CsrTable:
    """O[i, j] = sum of 2520 / distance over all places where j comes 1 to 10 events after i, i not j; row i of the
    result holds the `top` largest, ties by item.

    Args:
        connection: with the table ``events`` (session, number, item), numbered in the order of the sessions.
    """
    laters = ", ".join(f"lead(item, {distance}) OVER w" for distance in range(1, FARTHEST + 1))
    order = _ORDER.format(unit=UNIT, farthest=FARTHEST, laters=laters)
    found = connection.execute(_TOP.format(order=order, top=top)).fetchnumpy()
    source, later, weight = (np.asarray(found[name]) for name in ("source", "destination", "weight"))
    return CsrTable.from_sorted(source, later, weight, n_items)
