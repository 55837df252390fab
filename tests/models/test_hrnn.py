"""H-RNN against the written-out cells, item by item, and the known bugs of the authors' code.

The bugs: 1 the last item is never fed, 2 the update gate mixes in the old session's state, 3 an epoch that ends early,
5 states that survive a change of user or die with a session, 7 evaluation without the user's history.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import worlds
from torch import Tensor
from worlds import TEST, TRAIN

from segue import models
from segue.data.batches import HistoryPolicy
from segue.data.corpus import Corpus
from segue.data.loader import Loader
from segue.errors import ConfigError
from segue.models.hrnn.model import HRNN
from segue.nn.sampled import false_negatives, top1

SIZES = {"dim": 6, "dropout_user": 0.0, "dropout_init": 0.0, "dropout_session": 0.0}
variants = pytest.mark.parametrize("variant", ["init", "all"])
resets = pytest.mark.parametrize("gru_reset", ["after", "before"])
feeding = pytest.mark.parametrize("feed_last", [True, False])


def fitted(corpus: Corpus, preset: str = "paper_conditions", **options: object) -> HRNN:
    model = worlds.fitted({"model": {"name": "hrnn", "preset": preset, **SIZES, **options}}, corpus)
    assert isinstance(model, HRNN)
    torch.nn.init.normal_(model.bias)
    return model.eval()


def gates(parameters: Iterable[Tensor], x: Tensor, h: Tensor, extra: Tensor) -> Tensor:
    """One step of a GRU, gate by gate; extra [3 dim] is added to what comes of the input."""
    w, u, b, *c = parameters  # with the reset gate before the product there is no second bias
    (rx, zx, nx), (rh, zh, nh) = (w @ x + b + extra).chunk(3), (u @ h + (c[0] if c else 0.0)).chunk(3)
    r, z = torch.sigmoid(rx + rh), torch.sigmoid(zx + zh)
    return (1 - z) * torch.tanh(nx + (r * nh if c else u.chunk(3)[2] @ (r * h))) + z * h


class ByHand:
    """A user's life, item by item: the states after each item, and the user's after each session."""

    @torch.no_grad()
    def __init__(self, model: HRNN, sessions: list[list[int]]) -> None:
        dim, none = model.config.dim, torch.zeros(3 * model.config.dim)
        self.user, self.states = [torch.zeros(dim)], []
        for m, items in enumerate(sessions):
            c = self.user[-1]
            h = torch.tanh(model.start.weight @ c + model.start.bias) if m else torch.zeros(dim)
            extra = none
            if model.config.variant == "all":
                extra = torch.cat([model.user_gates.weight @ c, torch.zeros(dim)])
            states = [h]
            for item in items:
                states.append(gates(model.gru.parameters(), model.embedding.weight[item], states[-1], extra))
            self.states.append(states)
            read = states[-1] if model.config.feed_last else states[-2]
            self.user.append(gates(model.user_gru.parameters(), read, c, none))


def lives(corpus: Corpus) -> dict[int, list[int]]:
    """The train sessions of each user, by their number in the corpus, in order."""
    found: dict[int, list[int]] = {}
    for number in worlds.session_numbers(corpus, TRAIN):
        found.setdefault(int(corpus.sessions.user[number]), []).append(int(number))
    return found


def items_of(corpus: Corpus, number: int) -> list[int]:
    return corpus.sessions.items[corpus.sessions.offsets[number] : corpus.sessions.offsets[number + 1]].tolist()


def wanted_vectors(model: HRNN, corpus: Corpus) -> dict[tuple[int, int], Tensor]:
    """The state of every train event, by session and place in it, from :class:`ByHand`."""
    found: dict[tuple[int, int], Tensor] = {}
    for numbers in lives(corpus).values():
        life = ByHand(model, [items_of(corpus, number) for number in numbers])
        for number, states in zip(numbers, life.states, strict=True):
            found |= {(number, place): state for place, state in enumerate(states[1:-1])}
    return found


@variants
@feeding
@resets
def test_reading_the_history_equals_item_steps(variant: str, feed_last: bool, gru_reset: str) -> None:
    """T39 and bug 2: the first session starts from 0, each later one from tanh(W c + b), at the update gate too."""
    corpus = worlds.busy()
    model = fitted(corpus, variant=variant, feed_last=feed_last, gru_reset=gru_reset)
    wanted = wanted_vectors(model, corpus)
    batch = worlds.events_of(model, corpus, corpus.train)
    numbers = corpus.train.number[batch.session[batch.row].numpy()]
    keys = list(zip(numbers.tolist(), batch.position.tolist(), strict=True))
    assert set(keys) == set(wanted)
    torch.testing.assert_close(model.encode(batch).vectors[:, :-1].detach(), torch.stack([wanted[k] for k in keys]))


@variants
@feeding
@resets
@pytest.mark.parametrize("size", [1, 12, 10_000])
def test_carried_states_equal_item_steps(variant: str, feed_last: bool, gru_reset: str, size: int) -> None:
    """T39, T19 and bug 5 in training: both states are the user's own, whoever played on the slot before."""
    corpus = worlds.busy()
    model = fitted(corpus, variant=variant, feed_last=feed_last, gru_reset=gru_reset).train()
    wanted, state, played = wanted_vectors(model, corpus), None, 0
    for batch in Loader(corpus, corpus.train, 20, order=model.order).batches(size):
        encoding = model.encode(batch, state)
        assert encoding.state is not None
        state = encoding.state.detach()
        numbers = corpus.train.number[batch.session[batch.row].numpy()]
        keys = zip(numbers.tolist(), batch.position.tolist(), strict=True)
        torch.testing.assert_close(encoding.vectors[:, :-1].detach(), torch.stack([wanted[k] for k in keys]))
        played += len(batch)
    assert played == len(wanted)


def test_with_the_update_gate_shut_a_session_starts_from_its_user() -> None:
    """Bug 2: with z = 1 a state stays what it was, so the first output is tanh(W c + b) itself."""
    corpus = worlds.corpus_of([[[0, 1, 2], [2, 1, 0]]])
    model = fitted(corpus)
    with torch.no_grad():
        model.gru.bias_hh_l0[6:12] = 1e4
    life = ByHand(model, [[0, 1, 2]])
    batch = worlds.events_of(model, corpus, corpus.train)
    found = model.encode(batch).vectors[batch.row == 1, :-1].detach()
    wanted = torch.tanh(model.start(life.user[1])).detach()
    torch.testing.assert_close(found, wanted.expand_as(found))


@feeding
def test_the_last_item_of_a_session_is_fed_or_not(feed_last: bool) -> None:
    """Bug 1, in evaluation and in training."""
    corpora = [worlds.corpus_of([[[0, 1, last], [2, 1, 0]]], n_items=5) for last in (3, 4)]
    found = []
    for corpus in corpora:
        model = fitted(corpus, feed_last=feed_last)
        batch = worlds.events_of(model, corpus, corpus.train)
        found.append(worlds.scores_of(model, batch)[batch.row == 1])
        model.train()
        first, second = Loader(corpus, corpus.train, 20, order=model.order).batches(1)
        found.append(model.encode(second, model.encode(first).state).vectors.detach())
    assert torch.equal(found[0], found[2]) is not feed_last
    assert torch.equal(found[1], found[3]) is not feed_last


def test_an_epoch_plays_every_consecutive_pair_once() -> None:
    """Bug 3, T18, T20 and T21: until the last user has played the last session, with more slots than users too."""
    corpus = worlds.busy()
    model = fitted(corpus)
    pairs = [p for numbers in lives(corpus).values() for n in numbers for p in pairwise(items_of(corpus, n))]
    for size in (4, 30, 5_000):
        played: Counter[tuple[int, int]] = Counter()
        for batch in Loader(corpus, corpus.train, 20, order=model.order).batches(size):
            items = batch.items[batch.row, batch.position]
            played.update(zip(items.tolist(), batch.target.tolist(), strict=True))
        assert played == Counter(pairs)


def test_a_user_learns_from_the_session_after() -> None:
    """The step that joins two sessions is learned with the second; the first is a constant by then."""
    corpus = worlds.corpus_of([[[0, 1, 2], [3, 4, 3]]], n_items=6)
    model = fitted(corpus).train()
    first, second = Loader(corpus, corpus.train, 20, order=model.order).batches(1)
    state = model.encode(first).state
    assert state is not None
    model.encode(second, state.detach()).vectors.sum().backward()
    grown = {name: p.grad is not None and bool(p.grad.any()) for name, p in model.named_parameters()}
    assert grown["user_gru.weight_ih"]
    assert grown["start.weight"]
    assert model.embedding.weight.grad is not None
    assert model.embedding.weight.grad.any(1).tolist() == [False, False, False, True, True, False]


@pytest.mark.parametrize("preset", HRNN.presets)
def test_the_two_tastes_are_told_apart(preset: str) -> None:
    """Bug 7: without the user's history this would be stuck at one half."""
    corpus = worlds.two_tastes()
    model = worlds.fitted(worlds.small("hrnn", preset), corpus)
    worlds.train(model, corpus, epochs=80)
    assert worlds.hit_rate(model, corpus, 1) == 1.0
    batch = worlds.events_of(model, corpus)
    everybody = torch.ones(len(batch.user), dtype=torch.bool)
    nobody = worlds.scores_of(model, batch.anonymise(everybody, corpus.n_users))
    assert torch.equal(nobody[batch.row == 0], nobody[batch.row == 1])


def test_a_history_that_leaves_out_the_taste_does_not_tell() -> None:
    """Bug 1 again: the taste is in the last item alone."""
    corpus = worlds.two_tastes()
    overrides = worlds.small("hrnn", "paper_conditions")
    model = worlds.fitted({"model": {**overrides["model"], "feed_last": False}}, corpus)
    worlds.train(model, corpus, epochs=20)
    assert worlds.hit_rate(model, corpus, 1) == 0.75, "the first items, and one taste of two"


@variants
@feeding
@pytest.mark.parametrize("history", [1_000_000, 7, 1])
@pytest.mark.parametrize("policy", ["frozen", "rolling"])
def test_the_snapshot_is_taken_where_the_history_is_all_of_train(
    variant: str, feed_last: bool, history: int, policy: HistoryPolicy
) -> None:
    """For sessions of all parts: train sessions have only a part of the train history behind them."""
    corpus = worlds.busy()
    model = fitted(corpus, variant=variant, feed_last=feed_last, window={"history": history})
    batch = worlds.events_of(model, corpus, corpus.sessions, policy)
    wanted = worlds.scores_of(model, batch)
    model.snapshot()
    torch.testing.assert_close(worlds.scores_of(model, batch), wanted)


def test_the_snapshot_spares_the_history() -> None:
    """With one, the history of a frozen test session is not read again: another in its place changes nothing."""
    corpus = worlds.busy()
    model = fitted(corpus)
    batch = worlds.events_of(model, corpus)
    known = (~batch.fresh)[batch.row]
    assert known.any()
    other = replace(batch, store=replace(batch.store, items=batch.store.items.roll(1)))
    assert not torch.allclose(worlds.scores_of(model, other)[known], worlds.scores_of(model, batch)[known])
    model.snapshot()
    assert torch.equal(worlds.scores_of(model, other)[known], worlds.scores_of(model, batch)[known])
    model.forget_snapshot()
    assert not torch.allclose(worlds.scores_of(model, other)[known], worlds.scores_of(model, batch)[known])


def test_what_is_stored_is_never_stale() -> None:
    corpus = worlds.busy()
    model = fitted(corpus)
    with torch.inference_mode():
        model.snapshot()
    model.forget_snapshot()
    worlds.train(model, corpus, epochs=1)
    assert bool((model.n_sessions == -1).all())
    copy = models.build(models.with_preset({"model": {"name": "hrnn", **SIZES}}))
    assert isinstance(copy, HRNN)
    copy.restore(model.arrays(), corpus.n_items, corpus.n_users)
    copy.eval()
    for user, numbers in lives(corpus).items():
        life = ByHand(model, [items_of(corpus, number) for number in numbers])
        torch.testing.assert_close(copy.end_state[user], life.user[-1])
        assert copy.n_sessions[user] == len(numbers)
    batch = worlds.events_of(model, corpus, corpus.sessions)
    wanted = worlds.scores_of(model, batch)
    copy.snapshot()
    torch.testing.assert_close(worlds.scores_of(copy, batch), wanted)
    assert model.training is False


def test_a_restored_model_that_is_trained_on_forgets_the_states() -> None:
    corpus = worlds.busy()
    model = fitted(corpus)
    copy = fitted(corpus)
    copy.restore(model.arrays(), corpus.n_items, corpus.n_users)
    copy._train = None
    worlds.train(copy, corpus, epochs=1)
    batch = worlds.events_of(copy, corpus)
    wanted = worlds.scores_of(copy, batch)
    copy.snapshot()
    torch.testing.assert_close(worlds.scores_of(copy, batch), wanted)


def test_rolling_sees_the_session_before_and_frozen_does_not() -> None:
    corpus = worlds.corpus_of([[[0, 1, 2], [2, 1, 0], [3, 4, 3], [1, 2, 1]]], [[TRAIN, TRAIN, TEST, TEST]])
    model = fitted(corpus)
    life = ByHand(model, [[0, 1, 2], [2, 1, 0], [3, 4, 3]])
    for policy, sessions in (("frozen", 2), ("rolling", 3)):
        batch = worlds.events_of(model, corpus, policy=policy)
        start = torch.tanh(model.start(life.user[sessions]))
        h = gates(model.gru.parameters(), model.embedding.weight[1], start, torch.zeros(18))
        torch.testing.assert_close(model.encode(batch).vectors[2, :-1], h)


def test_an_empty_session_is_scored_by_its_user() -> None:
    corpus = worlds.corpus_of([[[0, 1, 2], [2, 1, 0]]])
    model = fitted(corpus)
    life = ByHand(model, [[2, 1]])
    scores = worlds.scores_of(model, worlds.request_of(model, [], past=[2, 1]))[0]
    start = torch.tanh(model.start(life.user[1]))
    torch.testing.assert_close(scores, (model.embedding.weight @ start + model.bias).detach())
    nobody = worlds.scores_of(model, worlds.request_of(model, [], user=1))[0]
    torch.testing.assert_close(nobody, model.bias.detach())


@pytest.mark.parametrize("n_sample", [0, 9])
def test_top1_is_over_targets_and_drawn_items(n_sample: int) -> None:
    """Bug 8: the negatives are named; copies of an event's own target are none."""
    corpus = worlds.corpus_of([[[0, 1, 2, 1]], [[2, 1]], [[3, 4]], [[4, 4]]], n_items=6)
    model = fitted(corpus, loss="top1", shared=False, n_sample=n_sample, sample_alpha=0.3).train()
    (batch,) = Loader(corpus, corpus.train, 20, order=model.order).batches(100)
    encoding = model.encode(batch)
    torch.manual_seed(3)
    found = model.loss_of(encoding, batch)
    torch.manual_seed(3)
    candidates = torch.cat([batch.target, model.sampler.draw(n_sample)])
    scores = (encoding.vectors @ model.item_vectors().t())[:, candidates]
    positive = torch.arange(len(batch))
    wanted = top1(scores, positive, false_negatives(candidates, positive)) / len(batch)
    torch.testing.assert_close(found, wanted)
    assert not torch.allclose(found, top1(scores, positive) / len(batch))


@pytest.mark.parametrize("preset", ["paper_conditions", "official"])
def test_the_loss_shrinks_as_slots_run_out(preset: str) -> None:
    corpus = worlds.corpus_of([[[0, 1, 2], [2, 1, 0]], [[2, 1, 1]]])
    model = fitted(corpus, preset).train()
    first, second = Loader(corpus, corpus.train, 20, order=model.order).batches(4)
    assert (len(first.slot), len(second.slot)) == (2, 1)
    encoding = model.encode(second, model.encode(first).state)
    alone = replace(encoding, state=None)
    torch.testing.assert_close(model.loss_of(encoding, second), model.loss_of(alone, second) / 2)


def test_one_table_or_two() -> None:
    corpus = worlds.busy()
    shared, own = fitted(corpus), fitted(corpus, shared=False)
    assert torch.equal(shared.item_vectors()[:, :-1], shared.embedding.weight)
    assert torch.equal(own.item_vectors()[:, :-1], own.output)
    assert not torch.equal(own.output, own.embedding.weight)


@variants
def test_parameter_count(variant: str) -> None:
    """T7: table, bias, two GRUs, the start of a session, and for `all` its two gates."""
    corpus = worlds.busy()
    d, gru = 6, 3 * (2 * 36 + 12)
    wanted = 12 * d + 12 + 2 * gru + d * d + d + (2 * d * d if variant == "all" else 0)
    assert fitted(corpus, variant=variant).statistics() == {"parameters": wanted}


@pytest.mark.parametrize("which", ["dropout_user", "dropout_init", "dropout_session"])
def test_dropout_is_the_share_dropped(which: str) -> None:
    corpus = worlds.corpus_of([[[0, 1, 2], [2, 1, 0]]] * 40)
    model = fitted(corpus, dim=32, **{which: 0.8}).train()
    first, second = Loader(corpus, corpus.train, 20, order=model.order).batches(80)
    state = model.encode(first).state
    seen: dict[str, Tensor] = {}
    model.gru.register_forward_pre_hook(lambda module, given: seen.update(init=given[1]))
    model.start.register_forward_pre_hook(lambda module, given: seen.update(user=given[0]))
    seen["session"] = model.encode(second, state).vectors[:, :-1]
    kept = {f"dropout_{name}": float((tensor != 0).double().mean()) for name, tensor in seen.items()}
    assert kept.pop(which) == pytest.approx(0.2, abs=0.04)
    assert set(kept.values()) == {1.0}


@pytest.mark.parametrize(
    ("preset", "variant", "loss", "training"),
    [
        ("full_softmax", "init", "full_softmax", ("adam", 3e-3, 0.0, 512, "constant")),
        ("paper_conditions", "init", "full_softmax", ("adam", 1e-3, 0.0, 512, "step")),
        ("official", "init", "top1", ("adagrad", 0.1, 0.0, 256, "constant")),
        ("official_all", "all", "top1", ("adagrad", 0.1, 0.2, 512, "constant")),
    ],
)
def test_the_presets_are_these(preset: str, variant: str, loss: str, training: tuple[object, ...]) -> None:
    settings = models.with_preset({"model": {"name": "hrnn", "preset": preset}})
    model = models.build(settings)
    assert isinstance(model, HRNN)
    assert (model.config.variant, model.config.loss, model.config.feed_last) == (variant, loss, True)
    switches = (model.config.gru_reset, model.config.initial, model.config.one_hot, model.config.carry_dropped)
    official = ("before", "authors", True, True)
    assert switches == (official if preset.startswith("official") else ("after", "uniform", False, False))
    found = settings.training
    assert training == (found.optimizer, found.learning_rate, found.momentum, found.batch_events, found.schedule)


@variants
@pytest.mark.parametrize("one_hot", [False, True])
def test_it_starts_from_the_authors_values(variant: str, one_hot: bool) -> None:
    """Glorot's limits √(6 / (rows + columns)) of every table and gate, biases 0."""
    corpus = worlds.corpus_of([[[0, 1, 999]]])
    options = {"dim": 50, "variant": variant, "initial": "authors", "shared": False, "one_hot": one_hot}
    model = worlds.fitted({"model": {"name": "hrnn", **options}}, corpus)
    for name, parameter in model.named_parameters():
        if "bias" in name:
            assert not parameter.any(), name
        else:
            limit = (6 / (50 + (1000 if parameter.shape[0] == 1000 else 50))) ** 0.5
            assert 0.95 * limit < float(parameter.detach().abs().max()) <= limit, name


@resets
@variants
def test_a_row_per_gate_can_be_what_the_matrix_makes_of_a_row(variant: str, gru_reset: str) -> None:
    """One-hot input is another parametrisation of the same functions, as long as the items have d numbers or more."""
    corpus = worlds.busy()
    options = {"shared": False, "variant": variant, "gru_reset": gru_reset}
    usual, one_hot = fitted(corpus, **options), fitted(corpus, **options, one_hot=True)
    values = usual.state_dict()
    values["embedding.weight"] = values["embedding.weight"] @ values.pop("gru.weight_ih_l0").t()
    one_hot.load_state_dict(values)
    batch = worlds.events_of(usual, corpus, corpus.train)
    torch.testing.assert_close(worlds.scores_of(one_hot, batch), worlds.scores_of(usual, batch))
    with pytest.raises(ConfigError, match=r"setting 'model\.one_hot': .*set shared = false"):
        fitted(corpus, one_hot=True)


def test_what_dropout_leaves_is_carried_on() -> None:
    """In training both networks read the dropped state, in evaluation nothing is dropped."""
    corpus = worlds.corpus_of([[[0, 1, 2], [2, 1, 0]]] * 40)
    model = fitted(corpus, dim=32, dropout_session=0.5, carry_dropped=True).train()
    first, _ = Loader(corpus, corpus.train, 20, order=model.order).batches(80)
    encoding = model.encode(first)
    assert encoding.state is not None
    for dropped in (encoding.vectors[:, :-1], encoding.state[:, :32]):
        assert float((dropped == 0).double().mean()) == pytest.approx(0.5, abs=0.04)
    whole = fitted(corpus, dim=32)
    whole.load_state_dict(model.state_dict())
    batch = worlds.events_of(model, corpus, corpus.train)
    torch.testing.assert_close(worlds.scores_of(model.eval(), batch), worlds.scores_of(whole, batch))


def test_another_user_in_between_changes_nothing() -> None:
    """Bug 4 cannot arise: a corpus is sorted by user and time, and no session id has a say in it."""
    corpus = worlds.corpus_of([[[0, 1, 2], [2, 1, 0]], [[1, 0, 1], [0, 2, 2]]])
    model = fitted(corpus)
    alone = worlds.corpus_of([[[1, 0, 1], [0, 2, 2]]], n_items=3)
    of_both = worlds.events_of(model, corpus, corpus.train)
    scores = worlds.scores_of(model, of_both)[np.isin(of_both.row.numpy(), [2, 3])]
    torch.testing.assert_close(scores, worlds.scores_of(model, worlds.events_of(model, alone, alone.train)))
