"""The memory's counts by hand: what is recalled, and that the running session is never in it."""

from dataclasses import replace

import torch
from worlds import DAY, corpus_of, once

from segue.data.batches import Batch
from segue.data.corpus import Corpus
from segue.data.loader import Loader
from segue.graph.relations import build_relations
from segue.models.hg_gnn.config import MemorySource
from segue.models.hg_gnn.recall import CountBuffers, Recall, Recalled, lookup
from segue.settings import GraphSettings, PreparationSettings

EVERYTHING = frozenset({"session", "history", "transition", "cooccurrence"})


def recall_of(corpus: Corpus, half_life: float = DAY, history: int = 100) -> Recall:
    tables = build_relations(
        corpus.train, corpus.n_items, corpus.n_users, GraphSettings(), preparation=PreparationSettings()
    )
    kept = [tables.top_transitions(50).kept, tables.top_cooccurrence(50).kept]
    transitions, cooccurrence = (
        CountBuffers(*(torch.from_numpy(a) for a in (t.offsets, t.ids, t.values))) for t in kept
    )
    return Recall(transitions, cooccurrence, corpus.n_items, half_life, 3, history)


def first_row(corpus: Corpus, session: int) -> Batch:
    loader = Loader(corpus, corpus.sessions, 20)
    return next(b for b in loader.batches(1) if int(b.session[0]) == session)


def entries(recalled: Recalled, event: int) -> dict[tuple[int, int], int]:
    here = recalled.event == event
    cells = zip(recalled.item[here].tolist(), recalled.cell[here].tolist(), strict=True)
    return dict(zip(cells, recalled.count[here].tolist(), strict=True))


def test_hand_example() -> None:
    corpus = corpus_of([[[0, 1, 2], [0, 1, 3], [1, 0, 1, 2]]])
    batch = first_row(corpus, 2)
    recalled, facts = recall_of(corpus)(batch, batch.prefixes(), EVERYTHING)
    # Transitions of the other two sessions: 0→1 twice, 1→2 and 1→3 once.
    assert [entries(recalled["transition"], e) for e in range(3)] == [
        {(2, 0): 1, (3, 0): 1},
        {(1, 0): 2},
        {(2, 0): 1, (3, 0): 1},
    ]
    assert entries(recalled["history"], 0) == {(0, 0): 2, (1, 0): 2, (2, 0): 1, (3, 0): 1}
    # Prefix (1, 0): item 0 is at reversed position 0, item 1 at 1; both shared two other sessions with each other.
    assert entries(recalled["cooccurrence"], 1) == {
        (1, 0): 2, (2, 0): 1, (3, 0): 1,
        (0, 1): 2, (2, 1): 1, (3, 1): 1,
    }  # fmt: skip
    assert entries(recalled["session"], 1) == {(1, 1): 1, (0, 0): 1}
    length, sessions, _, seen = facts[1].tolist()
    assert (length, sessions, seen) == (torch.tensor(2.0).double().log1p(), torch.tensor(2.0).double().log1p(), 1.0)


def test_history_decays_by_half_each_half_life() -> None:
    corpus = corpus_of([[[0, 1], [0, 2], [3, 4]]], starts=[[0, DAY, 3 * DAY]])
    batch = first_row(corpus, 2)
    recalled, _ = recall_of(corpus)(batch, batch.prefixes(), EVERYTHING)
    history = recalled["history"]
    decayed = dict(zip(history.item.tolist(), history.decayed.tolist(), strict=True))
    assert abs(decayed[0] - (2**-3 + 2**-2)) < 1e-9
    assert abs(decayed[2] - 2**-2) < 1e-4


def test_a_request_from_before_the_history_finds_it_undecayed() -> None:
    corpus = corpus_of([[[0, 1], [0, 2], [3, 4]]])
    batch = replace(first_row(corpus, 2), time=torch.zeros(1, dtype=torch.int64))
    recalled, _ = recall_of(corpus, half_life=1.0)(batch, batch.prefixes(), EVERYTHING)
    assert recalled["history"].decayed.tolist() == [2.0, 1.0, 1.0]


def test_a_log_in_which_every_transition_occurs_once_recalls_nothing() -> None:
    corpus = once()
    loader = Loader(corpus, corpus.train, 20)
    for batch in loader.batches(16):
        recalled, _ = recall_of(corpus)(batch, batch.prefixes(), EVERYTHING)
        assert len(recalled["transition"].event) == 0
        assert len(recalled["cooccurrence"].event) == 0


def test_without_the_session_itself_counts_are_those_of_a_corpus_without_it() -> None:
    sessions = [[0, 1, 2, 1, 0], [0, 1, 0, 1], [2, 1, 3, 0]]
    asked: frozenset[MemorySource] = frozenset({"transition", "cooccurrence"})
    for left_out in range(3):
        batch = first_row(corpus_of([sessions]), left_out)
        ours, _ = recall_of(corpus_of([sessions]))(batch, batch.prefixes(), asked)
        others = corpus_of([[s for number, s in enumerate(sessions) if number != left_out]], n_items=4)
        not_counted = replace(batch, own=torch.zeros_like(batch.own))
        expected, _ = recall_of(others)(not_counted, batch.prefixes(), asked)
        for source in asked:
            for event in range(len(batch)):
                assert entries(ours[source], event) == entries(expected[source], event)


def test_lookup_of_absent_keys_is_zero() -> None:
    keys, values = torch.tensor([2, 5, 9]), torch.tensor([1, 2, 3])
    assert lookup(keys, values, torch.tensor([0, 2, 6, 9, 10])).tolist() == [0, 1, 0, 3, 0]
    assert lookup(keys[:0], values[:0], torch.tensor([4])).tolist() == [0]


def test_history_goes_on_ageing_within_the_running_session() -> None:
    corpus = corpus_of([[[0, 1], [2, 3, 4]]], starts=[[0, 10 * DAY]], step=DAY)
    batch = first_row(corpus, 1)
    recalled, _ = recall_of(corpus)(batch, batch.prefixes(), EVERYTHING)
    history = recalled["history"]
    places = zip(history.event.tolist(), history.item.tolist(), strict=True)
    decayed = dict(zip(places, history.decayed.tolist(), strict=True))
    assert abs(decayed[0, 0] - 2**-10) < 1e-12
    assert abs(decayed[1, 0] - 2**-11) < 1e-12
