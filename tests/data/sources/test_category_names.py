"""Names of product categories: rules on any text, and the whole vocabulary of the installed package."""

from __future__ import annotations

import re

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.data.sources import complete_journey
from segue.data.sources.complete_journey.category_names import _WHOLE_WORDS, category_name, readable

WORDS = st.sampled_from([*map(str.upper, _WHOLE_WORDS), "ALL", "BREAD", "NON", "DAIRY", "A", "&", "AND", "100%", ""])
MARKS = st.sampled_from(["/", " ", "-", " - ", ":", ".", "&", "(", ")", ",", "  "])
TEXTS = st.lists(st.tuples(WORDS, MARKS)).map(lambda pairs: "".join(word + mark for word, mark in pairs))


@pytest.mark.parametrize(
    ("category", "department", "name"),
    [
        ("REFRGRATD JUICES/DRNKS", "GROCERY", "Refrigerated juices and drinks"),
        ("BAKED BREAD/BUNS/ROLLS", "GROCERY", "Baked bread, buns and rolls"),
        ("PEPPERS-ALL", "PRODUCE", "Peppers"),
        ("NON-DAIRY BEVERAGES", "NUTRITION", "Non-dairy beverages (health food)"),
        ("BREAD", "PASTRY", "Bread (bakery)"),
        ("BAKERY PARTY TRAYS", "PASTRY", "Bakery party trays"),
        ("PROCESSED", None, "Processed (produce)"),
        ("FROZEN - BOXED(GROCERY)", "SEAFOOD-PCKGD", "Frozen, boxed, grocery"),
        ("BEANS - CANNED GLASS & MW", "GROCERY", "Beans, canned glass and microwave"),
    ],
)
def test_examples(category: str, department: str | None, name: str) -> None:
    assert category_name(category, department) == name


@given(TEXTS)
def test_any_text_becomes_a_phrase_and_stays_it(text: str) -> None:
    name = readable(text)
    assert not re.search(r"[/:;()&.]|[A-Z]{2}|  |^\s|\s$", name)
    assert name[:1] == name[:1].upper()
    assert readable(name) == name


def test_the_whole_vocabulary() -> None:
    """No two categories share a name, none holds a sign or an abbreviation, and every abbreviation is used."""
    products = complete_journey._package_data() / "products.parquet"
    query = (
        "SELECT product_category, mode(department) FROM read_parquet(?) WHERE product_category IS NOT NULL GROUP BY 1"
    )
    categories = duckdb.execute(query, [str(products)]).fetchall()
    names = [category_name(*pair) for pair in categories]
    assert len(set(names)) == len(names) > 300
    assert not [name for name in names if re.search(r"[/:;&.]|[A-Z]{2}", name)]
    assert not [name for name in names if set(re.findall(r"\w+", name.lower())) & set(_WHOLE_WORDS)]
    written = {word for category, _ in categories for word in re.findall(r"\w+", category.lower())}
    assert set(_WHOLE_WORDS) <= written
