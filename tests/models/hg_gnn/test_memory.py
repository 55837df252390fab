"""The memory: values by hand, distributions that are distributions, and counts that do not know the answer."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import worlds
from torch import Tensor
from worlds import TEST, TRAIN

from segue.data.batches import Batch
from segue.data.corpus import Corpus
from segue.data.loader import Loader
from segue.models.hg_gnn import HGGNN
from segue.models.hg_gnn.config import SOURCES, MemorySource
from segue.models.hg_gnn.memory import AddedMemory, PointerMemory
from segue.models.hg_gnn.recall import Recalled
from segue.settings import TrainingSettings

LENGTH, LAST = 5, 3
log1p = math.log1p


def recalled(entries: list[tuple[int, int, int, int]], decayed: list[float] | None = None) -> Recalled:
    """From (event, item, cell, count), sorted by event."""
    columns = torch.tensor(entries, dtype=torch.int64).reshape(-1, 4).unbind(1)
    return Recalled(*columns, None if decayed is None else torch.tensor(decayed, dtype=torch.float64))


def some_entries() -> dict[MemorySource, Recalled]:
    """Three events: one with everything, one with a single item in the prefix and nothing else, one with nothing."""
    return {
        "session": recalled([(0, 4, 1, 1), (0, 7, 0, 1), (1, 7, 0, 1)]),
        "history": recalled([(0, 4, 0, 3), (0, 2, 0, 1)], [2.5, 0.5]),
        "transition": recalled([(0, 2, 0, 6), (0, 9, 0, 1)]),
        "cooccurrence": recalled([(0, 2, 0, 2), (0, 2, 1, 5)]),
    }


def weighed(memory: AddedMemory | PointerMemory) -> Tensor:
    """Weights that nothing cancels in, and z of the three events, [3, 2]."""
    torch.manual_seed(2)
    memory.double()
    with torch.no_grad():
        for parameter in memory.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return torch.randn(3, 2, dtype=torch.float64)


def test_added_values_by_hand() -> None:
    memory = AddedMemory(SOURCES, 2, LENGTH, LAST)
    z = weighed(memory)
    found = memory(z, some_entries())
    w = {source: (linear(z)).tolist() for source, linear in memory.weight.items()}
    s, c = memory.by_position.tolist(), memory.by_item.tolist()
    assert found["session"].tolist() == pytest.approx([s[1] + w["session"][0][0], s[0], s[0]])
    base, slope, aged = w["history"][0]
    assert found["history"].tolist() == pytest.approx(
        [base + slope * log1p(3) + aged * log1p(2.5), base + slope * log1p(1) + aged * log1p(0.5)]
    )
    base, slope = w["transition"][0]
    assert found["transition"].tolist() == pytest.approx([base + slope * log1p(6), base + slope * log1p(1)])
    gate = log1p(math.exp(w["cooccurrence"][0][0] + math.log(math.expm1(1)) - 0.3))
    assert gate > 0
    assert found["cooccurrence"].tolist() == pytest.approx(
        [gate * (c[0][0] + c[0][1] * log1p(2)), gate * (c[1][0] + c[1][1] * log1p(5))]
    )


def test_weights_start_at_three_tenths_whatever_the_event() -> None:
    memory = AddedMemory(SOURCES, 2, LENGTH, LAST).double()
    found = memory(torch.randn(3, 2, dtype=torch.float64), some_entries())
    assert found["session"].tolist() == pytest.approx([0.3, 0.0, 0.0], abs=1e-7)
    assert found["transition"].tolist() == pytest.approx([0.3 + 0.3 * log1p(6), 0.3 + 0.3 * log1p(1)], rel=1e-6)
    assert found["cooccurrence"].tolist() == pytest.approx([0.3 + 0.3 * log1p(2), 0.3 + 0.3 * log1p(5)], rel=1e-6)


def test_pointer_by_hand() -> None:
    memory = PointerMemory(SOURCES, 2, LENGTH, LAST)
    z = weighed(memory)
    log_dense, found = memory(z, some_entries())
    gates = memory.gate(z).exp().tolist()
    whole = sum(gates[0])
    assert log_dense.exp().tolist() == pytest.approx([gates[0][0] / whole, gates[1][0] / sum(gates[1][:2]), 1.0])
    s, c = memory.by_position.exp().tolist(), memory.by_item.exp().tolist()
    session, history, transition, cooccurrence = (gate / whole for gate in gates[0][1:])
    assert found["session"].tolist() == pytest.approx(
        [session * s[1] / (s[0] + s[1]), session * s[0] / (s[0] + s[1]), gates[1][1] / sum(gates[1][:2])]
    )
    assert found["history"].tolist() == pytest.approx([history * 2.5 / 3, history * 0.5 / 3])
    assert found["transition"].tolist() == pytest.approx([transition * 6 / 7, transition * 1 / 7])
    total = 2 * c[0] + 5 * c[1]
    assert found["cooccurrence"].tolist() == pytest.approx(
        [cooccurrence * 2 * c[0] / total, cooccurrence * 5 * c[1] / total]
    )


@pytest.mark.parametrize("empty", SOURCES)
def test_gradients_are_finite_when_a_source_recalls_nothing(empty: MemorySource) -> None:
    entries = some_entries() | {empty: recalled([], [] if empty == "history" else None)}
    for memory in (AddedMemory(SOURCES, 2, LENGTH, LAST), PointerMemory(SOURCES, 2, LENGTH, LAST)):
        z = weighed(memory).requires_grad_()
        found = memory(z, entries)
        values, total = (found[1], found[0].sum()) if isinstance(found, tuple) else (found, z.new_zeros(()))
        (total + sum(value.square().sum() for value in values.values())).backward()
        assert all(torch.isfinite(p.grad).all() for p in [z, *memory.parameters()] if p.grad is not None)
        assert len(values[empty]) == 0


def model_of(corpus: Corpus, **options: Any) -> HGGNN:
    overrides = worlds.small("hg_gnn", "segue")
    overrides["model"] |= {"mask_users": 0.0, **options}
    model = worlds.fitted(overrides, corpus)
    assert isinstance(model, HGGNN)
    return model


def shaken(model: HGGNN) -> HGGNN:
    """In double precision, with random weights where training starts from zeros."""
    torch.manual_seed(11)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.double().eval()


@pytest.mark.parametrize("pointer", [SOURCES, ("history",), ("transition", "session"), ("cooccurrence",)])
def test_softmax_share_and_pointer_sum_to_one(pointer: tuple[MemorySource, ...]) -> None:
    corpus = worlds.busy()
    model = shaken(model_of(corpus, pointer=pointer))
    loader = Loader(corpus, corpus.sessions, model.config.window.length, policy="rolling")
    closed = 0
    requests = [worlds.request_of(model, items, 2, past) for items in ([], [11], [3, 3]) for past in ([], [5])]
    for batch in [*loader.batches(16, (1,)), *requests]:
        terms = model.terms(batch)
        mixture = terms.encoding.mixture
        assert mixture is not None
        assert (mixture.probability >= 0).all()
        pointed = torch.zeros(len(batch), dtype=torch.float64).index_add(0, mixture.event, mixture.probability)
        total = mixture.log_dense.exp() + pointed
        torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-12)
        for source in pointer:
            recalls = torch.bincount(terms.recalled[source].event, minlength=len(batch)) > 0
            gives = torch.zeros(len(batch), dtype=torch.float64)
            gives.index_add_(0, terms.recalled[source].event, terms.pointed[source].detach())
            assert torch.equal(gives > 0, recalls), "a gate is open exactly where its source recalls something"
            closed += int((~recalls).sum())
    assert closed > 0, "the batches must hold events with a source that recalls nothing"


def trained_on_once(corpus: Corpus, *, leaking: bool) -> HGGNN:
    """As the trainer trains, weight decay included. Leaking: the running session stays in the counts."""
    model = model_of(corpus)
    loader = Loader(corpus, corpus.train, model.config.window.length)
    optimizer = torch.optim.Adam(model.parameter_groups(), lr=0.02, weight_decay=TrainingSettings().weight_decay)
    model.train()
    for epoch in range(30):
        for batch in loader.batches(32, (0, epoch)):
            shown = replace(batch, own=torch.zeros_like(batch.own)) if leaking else batch
            optimizer.zero_grad()
            model.loss(shown).backward()
            optimizer.step()
    return model.eval()


def memory_of(model: HGGNN, batch: Batch) -> tuple[Tensor, Tensor]:
    """What transitions and co-occurrences add to a score, and the share they point with: the largest of each event."""
    with torch.no_grad():
        terms = model.terms(batch)
    added, pointed = (torch.zeros(len(batch)) for _ in range(2))
    for source in ("transition", "cooccurrence"):
        event = terms.recalled[source].event
        added.scatter_reduce_(0, event, terms.values[source], "amax")
        pointed.index_add_(0, event, terms.pointed[source])
    return added, pointed


def once_and_then_something_else() -> Corpus:
    """The world *once*, and for each of its users a test session that has nothing to do with it."""
    train = worlds.once().sessions
    random = torch.Generator().manual_seed(5)
    users = [
        [*train.items.reshape(4, 4, 4)[user].tolist(), torch.randint(64, (4,), generator=random).tolist()]
        for user in range(4)
    ]
    return worlds.corpus_of(users, [[TRAIN] * 4 + [TEST]] * 4, n_items=64)


def test_counts_of_a_log_in_which_everything_happens_once_earn_no_weight() -> None:
    corpus = once_and_then_something_else()
    honest, leaking = (trained_on_once(corpus, leaking=leaking) for leaking in (False, True))
    (seen,) = Loader(corpus, corpus.train, LENGTH).batches(10**9)
    with torch.no_grad():
        recalled_in_training = honest.terms(seen).recalled
    assert len(recalled_in_training["transition"].event) == len(recalled_in_training["cooccurrence"].event) == 0
    held_out = worlds.events_of(honest, corpus)
    added, pointed = memory_of(honest, held_out)
    believed, copied = memory_of(leaking, held_out)
    assert added.max() < 0.1
    assert pointed.max() < 0.02
    assert believed.max() > 1
    assert copied.max() > 0.2
    # Without the counts, held-out events keep their best items.
    scores = worlds.scores_of(honest, held_out)
    for table in (honest.recall.transitions, honest.recall.cooccurrence):
        table.offsets = torch.zeros_like(table.offsets)
    assert torch.equal(worlds.scores_of(honest, held_out).argmax(1), scores.argmax(1))


def test_in_training_a_session_is_scored_as_if_it_had_never_been_counted() -> None:
    """All sources at once: every score equals that of a model whose counts were built without the session."""
    users = [[[0, 1, 2, 1, 0], [0, 1, 0, 1], [2, 1, 3, 0]], [[1, 0, 2], [3, 4, 3], [2, 1, 4]]]
    corpus = worlds.corpus_of(users)
    model = shaken(model_of(corpus))
    whole = model.recall
    for batch in Loader(corpus, corpus.train, model.config.window.length).batches(1):
        wanted = worlds.scores_of(model, batch)
        user, place = divmod(int(batch.session[0]), 3)
        others = [[items for k, items in enumerate(own) if (u, k) != (user, place)] for u, own in enumerate(users)]
        uncounted = replace(batch, own=torch.zeros_like(batch.own))
        model.recall = model_of(worlds.corpus_of(others, n_items=5)).recall
        model.recall.half_life = whole.half_life
        found = worlds.scores_of(model, uncounted)
        model.recall = whole
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
        assert not torch.allclose(worlds.scores_of(model, uncounted), wanted), "a session left in is seen"
