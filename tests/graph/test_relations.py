"""Every relation on a hand-made log, and eq. (1)-(3) against brute force (MODELS T12-T15, T17)."""

import math
from collections import Counter, defaultdict
from fractions import Fraction
from functools import cache
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_graphs import PREPARATION, random_sessions, sessions_of, tables_of

from segue.data.corpus import Corpus, Part
from segue.errors import UserMistake
from segue.graph import relations
from segue.graph.relations import build_relations
from segue.settings import GraphSettings

# Five items, users 0 and 1 known, user 2 unknown. 1 → 1 in the second session is a self transition.
LOG = [[0, 1, 2], [0, 1, 1, 2], [3, 1, 0], [4, 1], [2, 1, 3]]
USERS = [0, 0, 1, 1, 2]


def rows(table):
    return [list(table.row(number).items()) for number in range(len(table))]


@pytest.fixture(scope="module")
def world():
    return tables_of(LOG, USERS, 5, 2, sample_size=2)


def assert_equal(left, right):
    assert left.n_nodes == right.n_nodes
    pairs = [(left.edges[name], right.edges[name]) for name in left.edges]
    pairs += [(left.transitions, right.transitions), (left.user_items, right.user_items)]
    pairs += [(left.cooccurrence.kept, right.cooccurrence.kept)]
    for one, other in pairs:
        for field in ("offsets", "ids", "values"):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
    for field in ("total", "degree"):
        np.testing.assert_array_equal(getattr(left.cooccurrence, field), getattr(right.cooccurrence, field))
    np.testing.assert_array_equal(left.item_sessions, right.item_sessions)


def test_transitions_are_counted_before_the_cut_without_self_transitions(world):
    assert rows(world.transitions) == [[(1, 2)], [(2, 2), (0, 1), (3, 1)], [(1, 1)], [(1, 1)], [(1, 1)]]


def test_adjacent_in_keeps_the_most_frequent_predecessors_of_each_item(world):
    # Item 1 has the predecessors 0 (twice), 2, 3, 4 (once): S = 2 keeps 0 and, of the tie, the lowest id.
    assert rows(world.edges["adjacent_in"]) == [[(1, 1)], [(0, 2), (2, 1)], [(1, 2)], [(1, 1)], []]


def test_adjacent_out_keeps_the_most_frequent_successors_of_each_item(world):
    assert rows(world.edges["adjacent_out"]) == [[(1, 2)], [(2, 2), (0, 1)], [(1, 1)], [(1, 1)], [(1, 1)]]


def test_cuts_beyond_any_item_cut_nothing():
    whole = tables_of(LOG, USERS, 5, 2, sample_size=5, top_k_similar=5)
    assert_equal(tables_of(LOG, USERS, 5, 2, sample_size=10**9, top_k_similar=10**9), whole)
    inward, outward = (sorted(len(row) for row in rows(whole.edges[name])) for name in ("adjacent_in", "adjacent_out"))
    assert sum(inward) == sum(outward) == len(whole.transitions.ids)


def test_similar_filters_linked_pairs_first_and_then_takes_as_many_as_the_item_has_neighbours(world):
    expected = [
        [(2, (2 / 3) / math.sqrt(3 * 3))],  # 0 hears 1 only, so K' = 1; item 3 is left out
        [(4, (1 / 2) / math.sqrt(5 * 1)), (3, (2 / 3) / math.sqrt(5 * 2))],  # 0 and 2 are closer, but linked
        [(0, (2 / 3) / math.sqrt(3 * 3))],
        [(0, (1 / 3) / math.sqrt(2 * 3))],  # a tie with item 2, decided by id
        [],
    ]
    found = rows(world.edges["similar"])
    assert [[item for item, _ in row] for row in found] == [[item for item, _ in row] for row in expected]
    np.testing.assert_allclose([f for row in found for _, f in row], [f for row in expected for _, f in row], rtol=1e-6)


def test_k_bounds_the_similar_items(world):
    one = tables_of(LOG, USERS, 5, 2, sample_size=2, top_k_similar=1)
    assert rows(one.edges["similar"])[1] == rows(world.edges["similar"])[1][:1]


def test_user_edges_are_distinct_pairs_and_leave_unknown_users_out(world):
    assert rows(world.user_items) == [[(1, 3), (0, 2), (2, 2)], [(1, 2), (0, 1), (3, 1), (4, 1)]]
    assert rows(world.edges["interact"]) == [*rows(world.user_items), []]
    assert rows(world.edges["interacted_by"]) == [[(0, 2), (1, 1)], [(0, 3), (1, 2)], [(0, 2)], [(1, 1)], [(1, 1)]]


def test_the_unknown_user_is_a_node_without_edges(world):
    assert world.n_nodes == {"item": 5, "user": 3}
    assert world.edges["interact"].lengths[2] == 0
    assert 2 not in world.edges["interacted_by"].ids


def test_max_users_per_item_keeps_the_most_frequent_users_ties_by_id():
    log, users = [[0, 1], [0, 1], [0, 1], [1, 0]], [2, 1, 2, 0]
    bounded = tables_of(log, users, 2, 3, max_users_per_item=2)
    assert rows(bounded.edges["interacted_by"]) == [[(2, 2), (0, 1)], [(2, 2), (0, 1)]]
    assert bounded.edges["interact"].lengths.tolist() == [2, 2, 2, 0]


def test_cooccurrence_counts_sessions_and_keeps_what_was_cut(world):
    assert rows(world.cooccurrence.kept)[1] == [(0, 3), (2, 3), (3, 2), (4, 1)]
    assert world.item_sessions.tolist() == [3, 5, 3, 2, 1]
    top = world.top_cooccurrence(2)
    assert rows(top.kept)[1] == [(0, 3), (2, 3)]
    assert (top.total[1], top.degree[1]) == (9, 4)
    cut = tables_of(LOG, USERS, 5, 2, memory_top=2)
    assert rows(cut.cooccurrence.kept) == rows(top.kept)
    np.testing.assert_array_equal(cut.cooccurrence.total, world.cooccurrence.total)
    with pytest.raises(ValueError, match="top 2 of each item, 3 were asked for"):
        cut.top_cooccurrence(3)


def test_top_transitions_keep_the_totals(world):
    top = world.top_transitions(1)
    assert rows(top.kept) == [[(1, 2)], [(2, 2)], [(1, 1)], [(1, 1)], [(1, 1)]]
    assert top.total.tolist() == [2, 4, 1, 1, 1]
    assert top.degree.tolist() == [1, 3, 1, 1, 1]


def test_leaving_a_relation_out_changes_no_other(world):
    kept = ("adjacent_out", "similar", "interact")
    fewer = tables_of(LOG, USERS, 5, 2, sample_size=2, relations=kept)
    assert list(fewer.edges) == ["adjacent_out", "similar", "interact"]
    for name in kept:
        assert rows(fewer.edges[name]) == rows(world.edges[name])


def test_one_user_without_a_common_session_makes_no_similarity():
    apart = tables_of([[0, 1], [2, 3]], [0, 0], 4, 1)
    assert len(apart.edges["similar"].ids) == 0
    assert [set(apart.cooccurrence.kept.row(item)) for item in range(4)] == [{1}, {0}, {3}, {2}]


def test_no_sessions_give_an_empty_graph():
    empty = tables_of([], [], 3, 2)
    assert all(len(table.ids) == 0 for table in empty.edges.values())
    assert empty.edges["interact"].offsets.tolist() == [0, 0, 0, 0]


def test_sessions_of_one_item_have_no_pairs():
    alone = tables_of([[1], [1, 1]], [0, 0], 2, 1)
    assert rows(alone.edges["similar"]) == [[], []]
    assert rows(alone.edges["interact"]) == [[(1, 3)], []]
    assert alone.item_sessions.tolist() == [0, 2]


def brute_similarity(log, n_items):
    """Eq. (1) as written, [n_items, n_items]."""
    holding = np.zeros(n_items)
    shared = np.zeros((n_items, n_items))
    for distinct in map(set, log):
        holding[list(distinct)] += 1
        for one, other in combinations(distinct, 2):
            shared[one, other] += 1 / len(distinct)
            shared[other, one] += 1 / len(distinct)
    return shared / np.sqrt(np.maximum(np.outer(holding, holding), 1))


@pytest.mark.parametrize(("sample_size", "k"), [(1, 3), (2, 20), (3, 2)])
def test_similar_equals_brute_force(sample_size, k):
    log, users = random_sessions(seed=7, n_sessions=50, n_items=30, n_users=5)
    tables = tables_of(log, users, 30, 5, sample_size=sample_size, top_k_similar=k)
    f = brute_similarity(log, 30)
    for item in range(30):
        linked = set(tables.edges["adjacent_in"].row(item)) | set(tables.edges["adjacent_out"].row(item))
        free = {other: f[item, other] for other in range(30) if f[item, other] > 0 and other not in linked}
        best = sorted(free.values(), reverse=True)[: min(k, len(linked))]
        found = tables.edges["similar"].row(item)
        np.testing.assert_allclose(list(found.values()), best, rtol=1e-6)
        np.testing.assert_allclose(list(found.values()), [free[other] for other in found], rtol=1e-6)
    assert len(tables.edges["similar"].ids) > 10


def exact_similar(log, edges, item, k):
    """The similar items of one item by eq. (1)-(3) in fractions: f² instead of f, ties by id."""
    sets = [set(session) for session in log]
    holding = Counter(member for one in sets for member in one)
    shared = defaultdict(Fraction)
    for one in sets:
        for other in one - {item} if item in one else ():
            shared[other] += Fraction(1, len(one))
    linked = set(edges["adjacent_in"].row(item)) | set(edges["adjacent_out"].row(item))
    squared = {other: -(total**2) / holding[other] for other, total in shared.items() if other not in linked}
    return sorted(squared, key=lambda other: (squared[other], other))[: min(k, len(linked))]


def test_equal_sums_of_reciprocals_are_ties_by_id():
    """1/3 from one session of three items (item 9) is 1/6 + 1/6 from two of six (item 1)."""
    of_six = [[0, 2, 1, 3, 4, 5], [0, 6, 1, 7, 8, 10]]
    log = [*of_six, [0, 11, 9], [9]]
    edges = tables_of(log, [0] * 4, 12, 1, top_k_similar=1).edges
    assert list(edges["similar"].row(0)) == [1] == exact_similar(log, edges, 0, 1)


def test_ties_through_different_roots_are_ties_by_id():
    """Item 1 of support 9 meets item 0 in three sessions of six, item 2 of support 1 in one: 1/2 / 3 = 1/6."""
    others = iter(range(4, 100))
    met = [[0, 3, member, *(next(others) for _ in range(3))] for member in (1, 1, 1, 2)]
    log = [*met, *[[0]] * 14, *[[1]] * 6]
    edges = tables_of(log, [0] * len(log), 16, 1, top_k_similar=1).edges
    assert 3 / 6 / (18.0 * 9) ** 0.5 < 1 / 6 / 18.0**0.5, "in doubles item 2 is ahead"
    assert list(edges["similar"].row(0)) == [1] == exact_similar(log, edges, 0, 1)


@settings(max_examples=60, deadline=None)
@given(
    log=st.lists(st.lists(st.integers(0, 25), min_size=1, max_size=24), min_size=1, max_size=12),
    k=st.integers(1, 6),
)
def test_similar_items_are_those_of_exact_fractions(log, k):
    edges = tables_of(log, [0] * len(log), 26, 1, sample_size=2, top_k_similar=k).edges
    for item in range(26):
        assert list(edges["similar"].row(item)) == exact_similar(log, edges, item, k)


def test_in_and_out_are_transposes_before_the_cut():
    log, users = random_sessions(seed=5, n_sessions=40, n_items=25, n_users=4)
    tables = tables_of(log, users, 25, 4, sample_size=1000)
    dense = {}
    for name in ("adjacent_in", "adjacent_out"):
        edges = tables.edges[name]
        dense[name] = np.zeros((25, 25))
        dense[name][np.repeat(np.arange(25), edges.lengths), edges.ids] = edges.values
    np.testing.assert_array_equal(dense["adjacent_in"], dense["adjacent_out"].T)
    steps = sum(a != b for session in log for a, b in pairwise(session))
    assert dense["adjacent_in"].sum() == steps == tables.transitions.values.sum()


@cache
def in_order():
    log, users = random_sessions(seed=2, n_sessions=30, n_items=12, n_users=4)
    return log, users, tables_of(log, users, 12, 3, sample_size=2, top_k_similar=3)


@settings(max_examples=10)
@given(order=st.permutations(range(30)))
def test_the_order_of_sessions_does_not_matter(order):
    log, users, expected = in_order()
    shuffled = tables_of([log[s] for s in order], [users[s] for s in order], 12, 3, sample_size=2, top_k_similar=3)
    assert_equal(shuffled, expected)


@pytest.mark.parametrize("threads", [1, 4])
def test_threads_and_blocks_do_not_matter(monkeypatch, caplog, threads):
    log, users = random_sessions(seed=4, n_sessions=400, n_items=60, n_users=9)
    expected = tables_of(log, users, 60, 8, sample_size=3, top_k_similar=5)
    connect = relations.connect

    def connect_with_threads(preparation, scratch):
        connection = connect(preparation, scratch)
        connection.execute(f"SET threads = {threads}")
        return connection

    monkeypatch.setattr(relations, "connect", connect_with_threads)
    monkeypatch.setattr(relations, "PAIRS_PER_BLOCK", 300)
    with caplog.at_level("INFO", logger="segue"):
        assert_equal(tables_of(log, users, 60, 8, sample_size=3, top_k_similar=5), expected)
    assert len([message for message in caplog.messages if ", block " in message]) > 5


def test_test_and_validation_sessions_leave_no_trace():
    """T13: two corpora that differ in everything but train have one graph."""
    train, users = random_sessions(seed=8, n_sessions=20, n_items=10, n_users=3)
    graphs = []
    for later in ([[0, 9, 5], [7, 7, 1]], [[3, 2, 8], [9, 0, 4]]):
        sessions = sessions_of([*train, *later], [*users, 0, 1])
        part = np.array([Part.TRAIN] * 20 + [Part.VALIDATION, Part.TEST], dtype=np.int8)
        corpus = Corpus(items=None, users=None, sessions=sessions, part=part, n_users=3, manifest={})
        graphs.append(build_relations(corpus.train, 10, 3, GraphSettings(), preparation=PREPARATION))
    assert_equal(*graphs)
    everything = corpus.with_train(list(Part))
    with pytest.raises(AssertionError):
        assert_equal(graphs[0], build_relations(everything.train, 10, 3, GraphSettings(), preparation=PREPARATION))


def test_a_folder_that_cannot_be_used_is_one_clear_line(tmp_path):
    with pytest.raises(UserMistake, match="building the graph"):
        tables_of(LOG, USERS, 5, 2, scratch=tmp_path / "missing")


def test_order_by_distance_counts_places_up_to_ten_events_apart():
    log = [[0, 1, 2], [0, 1, 1, 2], [2, *[3] * 9, 0], [2, *[3] * 10, 0]]
    world = tables_of(log, [0] * 4, 4, 1)
    assert world.order.row(0) == {1: 2520 * 2 + 1260, 2: 1260 + 840}
    assert world.order.row(2) == {3: sum(2520 // d for d in range(1, 10)) * 2 + 252, 0: 252}
    assert world.top_order(1).row(0) == {1: 6300}
    with pytest.raises(ValueError, match="were asked for"):
        world.top_order(102)


def test_without_a_memory_no_order_is_counted_and_the_graph_is_the_same():
    world = tables_of(LOG, USERS, 5, 2)
    bare = tables_of(LOG, USERS, 5, 2, memory_top=0)
    assert bare.order.lengths.tolist() == [0] * 5
    assert {name: rows(table) for name, table in bare.edges.items()} == {
        name: rows(table) for name, table in world.edges.items()
    }
    np.testing.assert_array_equal(bare.cooccurrence.total, world.cooccurrence.total)


def test_predecessors_are_the_transitions_read_backwards(world):
    for item in range(5):
        for before, count in world.top_predecessors(9).row(item).items():
            assert world.transitions.row(before)[item] == count
