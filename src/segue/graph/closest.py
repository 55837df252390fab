"""The closest companions of each item among pairs that are counted: heaps in DuckDB, windows in Spark, equal rows."""

from __future__ import annotations

from dataclasses import dataclass

from duckdb import DuckDBPyConnection

from segue.data.tables import Engine, create

# Keys order by (closeness descending, source). Closeness is at most 1 and is rounded to 30 bits: ties must not be
# decided by rounding.
_KEYED = "(SELECT *, CAST(round(closeness * 1073741824) AS BIGINT) * 4294967296 - source AS key FROM pairs) AS keyed"

_SUMS = "destination, CAST(sum(weight) AS BIGINT) AS total, count(*) AS degree"

# One pass over the pairs, heaps instead of a sort: the `top` closest companions with their numbers of sessions, and a
# similarity that the K' best unlinked ones cannot fall below, since at most 2 S pairs are linked.
_HEAPS = f"""
SELECT {_SUMS},
       max(key, {{top}}) AS companions, arg_max(weight, key, {{top}}) AS weights,
       list_last(max(similarity, {{candidates}})) AS least
FROM {_KEYED}
GROUP BY destination"""

_FROM_HEAPS = """
SELECT destination, -key & 4294967295 AS source, weight, key
FROM (SELECT destination, unnest(companions) AS key, unnest(weights) AS weight FROM best)
ORDER BY destination, key DESC"""

_FROM_WINDOWS = f"""
SELECT destination, source, weight, key FROM (
    SELECT *, row_number() OVER (PARTITION BY destination ORDER BY key DESC) AS place FROM {_KEYED}) AS placed
WHERE place <= {{top}} ORDER BY destination, key DESC"""

# A pair that in or out links already gets no similar edge; they are taken out first, then K' are kept.
_UNLINKED = """
SELECT p.source, p.destination, p.similarity AS weight, r.reach
FROM pairs p
{bounded}
JOIN reach r ON r.item = p.destination
ANTI JOIN linked l ON l.destination = p.destination AND l.source = p.source"""


@dataclass(frozen=True)
class Closest:
    """The SQL that finds companions in the table ``pairs``, in the words of one engine.

    Attributes:
        top: companions kept per item.
        candidates: pairs per item that have to be looked at for the similar ones.
    """

    engine: Engine
    top: int
    candidates: int

    @property
    def _has_heaps(self) -> bool:
        return isinstance(self.engine, DuckDBPyConnection)

    def find(self) -> None:
        """Make the table ``best`` of ``pairs``: destination, total, degree, and the heaps where the engine has them."""
        heaps = _HEAPS.format(top=self.top, candidates=self.candidates)
        create(self.engine, "best", heaps if self._has_heaps else f"SELECT {_SUMS} FROM pairs GROUP BY destination")

    @property
    def companions(self) -> str:
        """The SQL of destination, source, weight and key, in the order of the companions."""
        return _FROM_HEAPS if self._has_heaps else _FROM_WINDOWS.format(top=self.top)

    @property
    def unlinked(self) -> str:
        """The SQL of the pairs without a link, with the reach of the destination: at least the K' best."""
        bounded = "JOIN best b ON b.destination = p.destination AND p.similarity >= b.least" if self._has_heaps else ""
        return _UNLINKED.format(bounded=bounded)
