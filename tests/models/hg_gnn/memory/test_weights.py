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

from segue.contract.memory_sources import SOURCES, MemorySource
from segue.data.batches import Batch
from segue.data.corpus import Corpus
from segue.data.loader import Loader
from segue.models.hg_gnn import HGGNN
from segue.models.hg_gnn.memory import sources
from segue.models.hg_gnn.memory.entries import Entries, Recalled
from segue.models.hg_gnn.memory.weights import AddedMemory, PointerMemory
from segue.models.hg_gnn.presets import POINTED
from segue.settings import TrainingSettings

LENGTH = 5
FOUR: tuple[MemorySource, ...] = ("session", "history", "transition", "basket")
log1p = math.log1p


def recalled(entries: list[tuple[int, int, float]]) -> Recalled:
    """From (event, item, value), sorted by event."""
    event, item = (torch.tensor([entry[k] for entry in entries], dtype=torch.int64) for k in (0, 1))
    value = torch.tensor([entry[2] for entry in entries], dtype=torch.float64)
    return Recalled.of(Entries.present(event, item, value), 3, 10, sums=False)


def some_entries() -> dict[MemorySource, Recalled]:
    """Three events: one with everything, one with a single item in the prefix and nothing else, one with nothing."""
    return {
        "session": recalled([(0, 4, 0.5), (0, 7, 1.0), (1, 7, 1.0)]),
        "history": recalled([(0, 4, 3), (0, 2, 1)]),
        "transition": recalled([(0, 2, 6), (0, 9, 1)]),
        "basket": recalled([(0, 2, 0.25)]),
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
    memory = AddedMemory(FOUR, 2)
    z = weighed(memory)
    found = memory(z, some_entries())
    w = memory.weight(z).tolist()
    assert found["session"].tolist() == pytest.approx(
        [w[0][0] * log1p(0.5) + w[0][1], w[0][0] * log1p(1) + w[0][1], w[1][0] * log1p(1) + w[1][1]]
    )
    assert found["history"].tolist() == pytest.approx([w[0][2] * log1p(3) + w[0][3], w[0][2] * log1p(1) + w[0][3]])
    assert found["transition"].tolist() == pytest.approx([w[0][4] * log1p(6) + w[0][5], w[0][4] * log1p(1) + w[0][5]])
    assert found["basket"].tolist() == pytest.approx([w[0][6] * log1p(20 * 0.25) + w[0][7]])


def test_weights_start_at_a_tenth_whatever_the_event() -> None:
    memory = AddedMemory(FOUR, 2).double()
    found = memory(torch.randn(3, 2, dtype=torch.float64), some_entries())
    assert found["transition"].tolist() == pytest.approx([0.1 + 0.1 * log1p(6), 0.1 + 0.1 * log1p(1)], rel=1e-6)


def test_most_of_the_pointers_share_starts_with_the_softmax() -> None:
    log_dense, _ = PointerMemory(FOUR, 2)(torch.randn(3, 2), some_entries())
    assert log_dense[0].exp().item() == pytest.approx(math.exp(2) / (math.exp(2) + 4))


def test_pointer_by_hand() -> None:
    memory = PointerMemory(FOUR, 2)
    z = weighed(memory)
    log_dense, found = memory(z, some_entries())
    gates = memory.gate(z).exp().tolist()
    whole = sum(gates[0])
    assert log_dense.exp().tolist() == pytest.approx([gates[0][0] / whole, gates[1][0] / sum(gates[1][:2]), 1.0])
    session, history, transition, basket = (gate / whole for gate in gates[0][1:])
    assert found["session"].tolist() == pytest.approx([session / 3, session * 2 / 3, gates[1][1] / sum(gates[1][:2])])
    assert found["history"].tolist() == pytest.approx([history * 3 / 4, history / 4])
    assert found["transition"].tolist() == pytest.approx([transition * 6 / 7, transition / 7])
    assert found["basket"].tolist() == pytest.approx([basket])


@pytest.mark.parametrize("empty", FOUR)
def test_gradients_are_finite_when_a_source_recalls_nothing(empty: MemorySource) -> None:
    entries = some_entries() | {empty: recalled([])}
    for memory in (AddedMemory(FOUR, 2), PointerMemory(FOUR, 2)):
        z = weighed(memory).requires_grad_()
        found = memory(z, entries)
        values, total = (found[1], found[0].sum()) if isinstance(found, tuple) else (found, z.new_zeros(()))
        (total + sum(value.square().sum() for value in values.values())).backward()
        assert all(torch.isfinite(p.grad).all() for p in [z, *memory.parameters()] if p.grad is not None)
        assert len(values[empty]) == 0


def test_what_has_decayed_for_years_is_still_a_share() -> None:
    memory = PointerMemory(("history",), 2)
    z = torch.randn(3, 2)
    old = {"history": recalled([(0, 4, 3e-60), (0, 2, 1e-60)])}
    log_dense, found = memory(z, old)
    assert (float(log_dense[0].exp()) + found["history"].sum()).item() == pytest.approx(1)
    assert found["history"].tolist() == pytest.approx([float(found["history"].sum()) * part for part in (0.75, 0.25)])


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


@pytest.mark.parametrize("pointer", [SOURCES, ("history",), ("transition", "session"), ("basket",)])
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
    model.recall.speaks.fill_(1)  # even a source that train gives nothing to say
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


COUNTED: tuple[MemorySource, ...] = ("transition", "predecessor", "order", "order_before", "companion", "basket")


def memory_of(model: HGGNN, batch: Batch) -> tuple[Tensor, Tensor]:
    """What the counts of pairs add to a score at most, and the share they point with, of each event."""
    with torch.no_grad():
        terms = model.terms(batch)
    added, pointed = (torch.zeros(len(batch)) for _ in range(2))
    for source in COUNTED:
        event = terms.recalled[source].event
        added.scatter_reduce_(0, event, terms.values[source], "amax")
        if source in POINTED:
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
    assert all(len(recalled_in_training[source].event) == 0 for source in COUNTED)
    held_out = worlds.events_of(honest, corpus)
    added, pointed = memory_of(honest, held_out)
    believed, copied = memory_of(leaking, held_out)
    assert added.max() < 0.1
    assert pointed.max() < 0.02
    assert believed.max() > 1
    assert copied.max() > 0.2
    # Without the counts, held-out events keep their best items.
    scores = worlds.scores_of(honest, held_out)
    for table in honest.recall.counts.pairs.values():
        table.offsets = torch.zeros_like(table.offsets)
    assert torch.equal(worlds.scores_of(honest, held_out).argmax(1), scores.argmax(1))


def test_in_training_a_session_is_scored_as_if_it_had_never_been_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """All sources at once: every score equals that of a model whose counts were built without the session.

    Where tables and walks are cut, what only the session brought into them leaves its place empty; so nothing is cut.
    """
    monkeypatch.setattr(sources, "STEPS", (1000, 1000))
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
        for name in ("half_life", "centre", "spread"):
            setattr(model.recall, name, getattr(whole, name))
        model.recall.periods = whole.periods  # these know of closed periods alone
        found = worlds.scores_of(model, uncounted)
        model.recall = whole
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
        assert not torch.allclose(worlds.scores_of(model, uncounted), wanted), "a session left in is seen"


def items_of_a_day(*, shuffled: bool) -> Corpus:
    """Each day everybody takes two of that day's three items. Shuffled: each session is of a day drawn at random."""
    random = torch.Generator().manual_seed(7)
    days, users = 12, 60
    day = torch.arange(days).expand(users, days)
    drawn = torch.randint(days, (users, days), generator=random) if shuffled else day
    sessions = [[(3 * of + torch.randperm(3, generator=random)[:2]).tolist() for of in own] for own in drawn.tolist()]
    starts = [[day * worlds.DAY + user * worlds.DAY // users for day in range(days)] for user in range(users)]
    return worlds.corpus_of(sessions, n_items=3 * days, starts=starts)


def test_recency_is_believed_only_where_time_matters() -> None:
    apart = {}
    for shuffled in (False, True):
        corpus = items_of_a_day(shuffled=shuffled)
        only = {"memory": ("recent", "trend"), "pointer": ("recent",), "embeddings": False, "user_term": False}
        model = model_of(corpus, trend_half_life="6h", **only)
        worlds.train(model, corpus, epochs=25, lr=0.01)
        (batch,) = Loader(corpus, corpus.train, LENGTH).batches(10**9)
        scores = worlds.scores_of(model.eval(), batch)
        apart[shuffled] = float((scores.amax(1) - scores.amin(1)).mean())
    assert apart[False] > 8
    assert apart[True] < apart[False] / 4, "how far apart recency alone puts the items of an event, on average"
