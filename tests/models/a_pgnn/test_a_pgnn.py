"""Against a graph per event, dense and by loops, and the traps of the authors' program."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
import worlds
from torch import Tensor

from segue.data.batches import Batch
from segue.data.corpus import Corpus
from segue.data.loader import Loader
from segue.models.a_pgnn.model import APGNN

USERS = [
    [[0, 3, 1, 3, 2], [4, 4, 0], [1, 2, 1, 5, 6], [2, 0, 2], [3, 1, 3, 5]],
    [[6, 5], [5, 6, 1], [0, 1, 0, 6]],
]


def fitted(corpus: Corpus, **options: object) -> APGNN:
    model = worlds.fitted({"model": {"name": "a_pgnn", "dim": 6, "dim_user": 3, **options}}, corpus)
    assert isinstance(model, APGNN)
    return model.double().eval()


def by_hand(model: APGNN, user: int, history: list[list[int]], prefix: list[int]) -> Tensor:
    """The vector of one event, from its own dense graph; every number is read off the formulas."""
    config, part = model.config, model.propagation
    sessions = history[-config.max_sessions :]
    nodes = sorted({item for session in [*sessions, prefix] for item in session})
    place = {item: number for number, item in enumerate(nodes)}
    count = torch.zeros(len(nodes), len(nodes), dtype=torch.float64)  # count[u, v]: how often v follows u
    for session in [*sessions, prefix]:
        for u, v in itertools.pairwise(session):
            count[place[u], place[v]] += 1
    into, out = count.sum(0).clamp(min=1), count.sum(1).clamp(min=1)
    if config.norm == "row":
        a_in, a_out = count.t() / into[:, None], count / out[:, None]
    else:
        a_in, a_out = count / into[None, :], count.t() / out[None, :]
    e_u = model.users.weight[user]
    h = model.embedding.weight[nodes]
    for _ in range(config.steps):
        h_in = h @ part.incoming.weight.t() + part.incoming.bias + part.user_in.weight @ e_u
        h_out = h @ part.outgoing.weight.t() + part.outgoing.bias + part.user_out.weight @ e_u
        h = part.gru(torch.cat([a_in @ h_in, a_out @ h_out], dim=1), h)
    x = torch.stack([h[place[item]] for item in prefix])
    pooled = [torch.stack([h[place[item]] for item in session]).amax(0) for session in sessions]
    heard = []
    for state in x:
        query = torch.relu(model.attention.query.weight @ state)
        keys = [torch.relu(model.attention.key.weight @ f) @ query / config.dim**0.5 for f in pooled]
        values = [torch.relu(model.attention.value.weight @ f) for f in pooled]
        shares = torch.softmax(torch.stack(keys), 0) if pooled else []
        heard.append(state + sum(share * value for share, value in zip(shares, values, strict=True)))
    if config.layer_norm:
        heard = [model.attention.normalise(o) for o in heard]
    both = []
    for pooling, rows in ((model.current, heard), (model.earlier, pooled)):
        total = last = torch.zeros(config.dim, dtype=torch.float64)
        if rows:
            last = pooling.of_last.weight @ rows[-1]
        for y in rows:
            gate = torch.sigmoid(last + pooling.of_each.weight @ y + pooling.of_each.bias)
            total = total + (pooling.query @ gate) * y
        both += [total, last]
    return model.transform.weight @ torch.cat([*both, e_u])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"steps": 2},
        {"steps": 3, "max_sessions": 2},
        {"norm": "code"},
        {"norm": "code", "steps": 2, "layer_norm": True},
        {"gru_reset": "after", "steps": 2},
    ],
)
def test_the_shared_union_equals_a_dense_graph_for_every_event(options: dict[str, object]) -> None:
    """T40: though events of a session share the nodes that their prefixes do not change."""
    corpus = worlds.corpus_of(USERS, n_items=8)
    model = fitted(corpus, **options)
    found = model.encode(worlds.events_of(model, corpus, corpus.train)).vectors
    wanted = [
        by_hand(model, user, own[:number], session[:t])
        for user, own in enumerate(USERS)
        for number, session in enumerate(own)
        for t in range(1, len(session))
    ]
    torch.testing.assert_close(found, torch.stack(wanted))


def test_the_window_bounds_the_history() -> None:
    corpus = worlds.corpus_of(USERS, n_items=8)
    model = fitted(corpus, window={"length": 20, "history": 5})
    *_, last = worlds.events_singly(model, corpus, corpus.train)
    cut = [[5], [5, 6, 1]]
    assert torch.equal(last.user, torch.tensor([1]))
    torch.testing.assert_close(model.encode(last).vectors[0], by_hand(model, 1, [[6, 5], *cut[1:]], [0, 1, 0]))
    shorter = fitted(corpus, window={"length": 20, "history": 4})
    torch.testing.assert_close(shorter.encode(last).vectors[0], by_hand(shorter, 1, cut, [0, 1, 0]))


def heard(model: APGNN, clicks: list[int]) -> tuple[Tensor, Tensor]:
    """What every node hears of messages that are 1 everywhere, in and out, by item: the row sums of the adjacency."""
    part = model.propagation
    with torch.no_grad():
        for linear in (part.incoming, part.outgoing):
            linear.weight.zero_()
            linear.bias.fill_(1.0)
        for linear in (part.user_in, part.user_out):
            linear.weight.zero_()
    seen: list[Tensor] = []
    handle = part.gru.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    model.encode(worlds.request_of(model, clicks))
    handle.remove()
    incoming, outgoing = seen[0].chunk(2, dim=1)
    return incoming[:, 0], outgoing[:, 0]


def test_norm_code_is_that_of_the_authors_and_row_is_stochastic() -> None:
    """Trap 1, by the row sums on (1, 2, 3, 2, 4)."""
    corpus = worlds.corpus_of(USERS, n_items=8)
    incoming, outgoing = heard(fitted(corpus, norm="code"), [1, 2, 3, 2, 4])
    torch.testing.assert_close(incoming, torch.tensor([0.5, 2.0, 0.5, 0.0]).double())
    torch.testing.assert_close(outgoing, torch.tensor([0.0, 2.0, 0.5, 0.5]).double())
    incoming, outgoing = heard(fitted(corpus), [1, 2, 3, 2, 4])
    torch.testing.assert_close(incoming, torch.tensor([0.0, 1.0, 1.0, 1.0]).double())
    torch.testing.assert_close(outgoing, torch.tensor([1.0, 1.0, 1.0, 0.0]).double())


def test_frequent_transitions_weigh_more() -> None:
    """Counts, over history and prefix together: 1 → 2 twice and 1 → 3 once."""
    corpus = worlds.corpus_of(USERS, n_items=8)
    model = fitted(corpus)
    part = model.propagation
    seen: list[Tensor] = []
    part.gru.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    with torch.no_grad():
        model.users.weight.zero_()
        model.encode(worlds.request_of(model, [1, 2, 4, 1, 3], past=[1, 2]))
        said = model.embedding.weight @ part.outgoing.weight.t() + part.outgoing.bias
    # Two nodes of the row's history come first, then those of the event: 1, 2, 3, 4.
    torch.testing.assert_close(seen[0][2, 6:], (2 * said[2] + said[3]) / 3)


def test_a_session_is_pooled_alike_whatever_the_lengths_beside_it() -> None:
    """Trap 2: nothing but a session's own items reaches its maximum, however negative these are."""
    corpus = worlds.corpus_of(USERS, n_items=8)
    model = fitted(corpus)
    with torch.no_grad():
        model.embedding.weight.sub_(5.0)
    long = [[0, 1, 2, 3, 4, 5, 6] * 3, *USERS[0][1:]]
    for users in (USERS, [long, USERS[1]]):
        other = worlds.corpus_of(users, n_items=8)
        *_, last = worlds.events_singly(model, other, other.train)
        both = worlds.events_of(model, other, other.train)
        wanted = by_hand(model, 1, USERS[1][:2], [0, 1, 0])
        torch.testing.assert_close(model.encode(last).vectors[0], wanted)
        torch.testing.assert_close(model.encode(both).vectors[-1], wanted)


def test_user_and_history_both_matter() -> None:
    """Trap 3: neither is a switch that does nothing."""
    corpus = worlds.corpus_of(USERS, n_items=8)
    model = fitted(corpus)
    one, other, without = (
        model.encode(worlds.request_of(model, [1, 2], user, past)).vectors
        for user, past in ((0, [3, 4]), (1, [3, 4]), (0, []))
    )
    assert not torch.allclose(one, other)
    assert not torch.allclose(one, without)


def test_every_event_is_evaluated() -> None:
    """Trap 5: no batch is dropped for being small."""
    corpus = worlds.busy()
    model = fitted(corpus)
    loader = Loader(corpus, corpus.train, model.config.window.length)
    sizes = [len(model.encode(batch).vectors) for batch in loader.batches(7)]
    assert sum(sizes) == int((corpus.train.lengths - 1).sum())


def test_history_follows_the_policy() -> None:
    """Trap 6: earlier test sessions are history where it rolls, and only there."""
    corpus = worlds.corpus_of([[[0, 1, 2], [3, 4], [5, 6, 2]]], [[worlds.TRAIN, worlds.TEST, worlds.TEST]], n_items=8)
    model = fitted(corpus)
    for policy, history in (("frozen", [[0, 1, 2]]), ("rolling", [[0, 1, 2], [3, 4]])):
        vectors = model.encode(worlds.events_of(model, corpus, policy=policy)).vectors
        torch.testing.assert_close(vectors[-1], by_hand(model, 0, history, [5, 6]))


def test_the_last_click_leads_the_pooling_not_the_last_node() -> None:
    """Trap 7: of (3, 1) and (1, 3), with transitions that cancel, only the last click differs."""
    corpus = worlds.corpus_of(USERS, n_items=8)
    model = fitted(corpus)
    for clicks in ([3, 1, 3, 1], [1, 3, 1, 3]):
        found = model.encode(worlds.request_of(model, clicks)).vectors[0]
        torch.testing.assert_close(found, by_hand(model, 0, [], clicks))


def anonymous(batch: Batch, model: APGNN) -> Batch:
    return batch.anonymise(torch.ones(len(batch.user), dtype=torch.bool), model.n_users)


def test_an_unknown_user_has_a_row_that_masked_sessions_train() -> None:
    """Trap 8."""
    corpus = worlds.corpus_of(USERS, n_items=8)
    model = fitted(corpus)
    assert len(model.users.weight) == corpus.n_users + 1
    found = model.encode(worlds.request_of(model, [1, 2], corpus.n_users)).vectors[0]
    torch.testing.assert_close(found, by_hand(model, corpus.n_users, [], [1, 2]))
    batch = worlds.events_of(model, corpus, corpus.train)
    for share in (0.0, 0.999999):
        masking = fitted(corpus, mask_users=share).train()
        masking.loss(batch).backward()
        trained = masking.users.weight.grad.abs().sum(1) > 0
        assert trained.tolist() == ([True, True, False] if share == 0.0 else [False, False, True])
        of_all = masking.eval().encode(anonymous(batch, masking) if share else batch).vectors
        torch.testing.assert_close(masking.train().encode(batch).vectors, of_all)


def test_without_history_the_prefix_speaks_alone() -> None:
    """Cold: z_his is zero, O is X, and nothing is NaN; also beside rows with history."""
    corpus = worlds.corpus_of(USERS, n_items=8)
    model = fitted(corpus)
    batch = worlds.events_of(model, corpus, corpus.train)
    rows = torch.zeros(len(batch.user), dtype=torch.bool)
    rows[-1] = True
    vectors = model.encode(batch.anonymise(rows, model.n_users)).vectors
    torch.testing.assert_close(vectors[-1], by_hand(model, 2, [], [0, 1, 0]))
    vectors[-1].sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_an_empty_prefix_is_answered_from_history_and_user() -> None:
    corpus = worlds.corpus_of(USERS, n_items=8)
    model = fitted(corpus)
    batch = worlds.events_of(model, corpus, corpus.train)
    emptied = replace(batch, position=batch.position.index_fill(0, torch.tensor([len(batch) - 1]), -1))
    vectors = model.encode(emptied).vectors
    torch.testing.assert_close(vectors[:-1], model.encode(batch).vectors[:-1])
    alone = model.encode(worlds.request_of(model, [], 1, past=[2, 3])).vectors
    assert torch.isfinite(alone).all()
    assert torch.isfinite(vectors).all()
    assert not torch.allclose(alone, model.encode(worlds.request_of(model, [], 0, past=[2, 3])).vectors)
    assert not torch.allclose(alone, model.encode(worlds.request_of(model, [], 1)).vectors)


def test_two_tastes_are_told_apart() -> None:
    """The same prefix, two users, two targets."""
    corpus = worlds.two_tastes()
    model = worlds.fitted(worlds.small("a_pgnn", "official"), corpus)
    worlds.train(model, corpus, epochs=30)
    assert worlds.hit_rate(model, corpus, 1) == 1.0


@pytest.mark.parametrize("dim", [16, 100])
@pytest.mark.parametrize("initial", ["uniform", "authors"])
def test_it_starts_from_the_authors_values(dim: int, initial: str) -> None:
    """Within 1 / √d of zero, and all the way to there; the authors leave some of it to their framework."""
    corpus = worlds.corpus_of(USERS, n_items=300)
    model = fitted(corpus, dim=dim, dim_user=200, layer_norm=True, initial=initial)
    limits = dict.fromkeys((name for name, _ in model.named_parameters() if "normalise" not in name), dim**-0.5)
    if initial == "authors":
        limits |= {f"attention.{part}.weight": (6 / (2 * dim)) ** 0.5 for part in ("query", "key", "value")}
        limits |= dict.fromkeys(("current.of_each.bias", "earlier.of_each.bias"), 0.0)
        gru = {name: limits.pop(f"propagation.gru.{name}") for name in ("weight_ih", "weight_hh", "bias_ih")}
        for name in gru:
            gates, candidate = model.propagation.gru.get_parameter(name).detach().split((2 * dim, dim))
            if name == "bias_ih":
                assert gates.eq(1).all()
                assert candidate.eq(0).all()
            else:
                # One matrix for both gates, from 3 d to 2 d numbers, and one for the candidate, to d.
                for part, numbers in ((gates, 5 * dim), (candidate, 4 * dim)):
                    limit = (6 / numbers) ** 0.5
                    assert 0.95 * limit < float(part.abs().max()) <= limit, name
    for name, limit in limits.items():
        assert 0.8 * limit <= float(model.get_parameter(name).detach().abs().max()) <= limit, name
    assert model.attention.normalise.weight.eq(1).all()  # type: ignore[union-attr]
    assert model.attention.normalise.bias.eq(0).all()  # type: ignore[union-attr]


def test_parameter_count() -> None:
    """T7: V d + (U + 1) d' + 2 (d² + d + d d') + GRU 9 d² + 3 d + attention 3 d² + two poolings + (4 d + d') d."""
    corpus = worlds.corpus_of(USERS, n_items=8)
    d, du = 6, 3
    wanted = 8 * d + 3 * du + 2 * (d * d + d + d * du) + 9 * d * d + 3 * d + 3 * d * d
    wanted += 2 * (2 * d * d + 2 * d) + (4 * d + du) * d
    assert fitted(corpus).statistics() == {"parameters": wanted}
    assert fitted(corpus, layer_norm=True).statistics() == {"parameters": wanted + 2 * d}
    assert fitted(corpus, gru_reset="after").statistics() == {"parameters": wanted + 3 * d}, "torch has two biases"


def test_first_sessions_are_history_alone_where_they_are_not_trained_on() -> None:
    """The loss of training is that of the later sessions; validation counts all events."""
    corpus = worlds.corpus_of(USERS, n_items=8)
    model = fitted(corpus, first_sessions=False, mask_users=0.0)
    batch = worlds.events_of(model, corpus, corpus.train)
    encoding = model.encode(batch)
    later = torch.isin(batch.row, torch.tensor([1, 2, 3, 4, 6, 7]))
    assert 0 < int(later.sum()) < len(batch)
    each = torch.nn.functional.cross_entropy(
        encoding.vectors @ model.item_vectors().t(), batch.target, reduction="none"
    )
    torch.testing.assert_close(model.loss_of(encoding, batch), each.mean())
    model.train()
    torch.testing.assert_close(model.loss_of(encoding, batch), each[later].mean())
    torch.testing.assert_close(fitted(corpus, first_sessions=True).train().loss_of(encoding, batch), each.mean())


def test_a_batch_of_first_sessions_alone_teaches_nothing() -> None:
    corpus = worlds.corpus_of([[[0, 1, 2]], [[1, 2, 0], [0, 1]]])
    model = fitted(corpus, first_sessions=False).train()
    alone = corpus.train.take(torch.tensor([0]).numpy())
    loss = model.loss(worlds.events_of(model, corpus, alone))
    loss.backward()
    assert loss.item() == 0.0
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())
