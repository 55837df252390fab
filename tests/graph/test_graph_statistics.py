"""The numbers that describe a graph."""

import json

from small_graphs import tables_of

from segue.graph.statistics import graph_statistics


def test_statistics_of_a_small_graph():
    tables = tables_of([[0, 1, 2], [0, 1]], [0, 1], 5, 3, sample_size=2)
    found = graph_statistics(tables)
    assert found["nodes"] == {"item": 5, "user": 3}
    assert found["relations"]["adjacent_in"]["edges"] == 2
    assert found["relations"]["adjacent_in"]["without"] == 3
    interact = found["relations"]["interact"]
    assert (interact["source"], interact["destination"], interact["edges"]) == ("item", "user", 5)
    assert interact["degree"] == {"mean": 5 / 3, "min": 0, "p25": 0, "median": 2, "p75": 2, "p95": 2, "max": 3}
    assert found["isolated_items"] == 2
    assert found["isolated_users"] == 1
    assert found["transitions"] == 2
    assert found["cooccurring_pairs"] == 3
    assert json.loads(json.dumps(found)) == found


def test_a_node_type_without_nodes():
    tables = tables_of([[0, 1]], [0], 2, 0)
    assert graph_statistics(tables)["relations"]["interact"]["degree"] == {}
