"""Attribute nodes: one for each value, edges both ways."""

import pyarrow as pa
import pytest
from small_graphs import tables_of

from segue.errors import ConfigError

ITEMS = pa.table({"item_id": list("abc"), "name": list("xyz"), "kind": ["tea", None, "Bread"], "size": [10, 9, 10]})
# The third user is known by no train session: it is no node.
USERS = pa.table({"user_id": list("uvw"), "known": [True, True, False], "town": ["Bonn", "Aachen", "Trier"]})


def graph(*attributes, items=ITEMS, users=USERS):
    return tables_of([[0, 1, 2], [0, 2]], [0, 1], 3, 2, attributes=attributes, items=items, users=users)


def rows(table):
    return [list(table.row(number)) for number in range(len(table))]


def test_values_are_numbered_by_bytes_and_linked_both_ways():
    tables = graph("item.kind")
    assert tables.n_nodes["item:kind"] == 2  # Bread, tea
    assert rows(tables.edges["has:item:kind"]) == [[1], [], [0]]
    assert rows(tables.edges["held_by:item:kind"]) == [[2], [0]]
    relation = tables.relations[-1]
    assert (relation.source, relation.destination) == ("item", "item:kind")


def test_numbers_are_categories_too():
    tables = graph("item.size")
    assert rows(tables.edges["held_by:item:size"]) == [[0, 2], [1]]  # "10", "9"


def test_only_known_users_have_attributes_and_the_unknown_user_has_none():
    tables = graph("user.town")
    assert tables.n_nodes["user:town"] == 2  # Aachen, Bonn
    assert rows(tables.edges["has:user:town"]) == [[1], [0], []]
    assert rows(tables.edges["held_by:user:town"]) == [[1], [0]]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (["item.kinds"], "no column 'item.kinds': did you mean 'item.kind'"),
        (["town"], "did you mean 'user.town'"),
        (["item.name"], "no column 'item.name'"),
        (["item.kind", "item.kind"], "'item.kind' is named twice"),
    ],
)
def test_a_wrong_attribute_is_refused_by_name(attributes, message):
    with pytest.raises(ConfigError, match=message):
        graph(*attributes)


def test_without_columns_the_message_says_so():
    with pytest.raises(ConfigError, match="have no such columns"):
        graph("item.kind", items=None, users=None)
