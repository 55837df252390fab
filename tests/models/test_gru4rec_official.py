"""GRU4Rec trained as its authors do: session-parallel, one step at a time, against sampled candidates.

The traps are those that Hidasi & Czapp (2023) found in other implementations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
import worlds
from torch import Tensor

from segue import models
from segue.data.batches import Batch
from segue.data.corpus import Corpus
from segue.data.loader import Loader
from segue.models.gru4rec import GRU4Rec
from segue.nn.encoding import Encoding
from segue.nn.sampled import bpr_max, cross_entropy

SIZES = {"dim": 6, "n_sample": 9, "dropout_embed": 0.0, "dropout_hidden": 0.0}
both = pytest.mark.parametrize("preset", ["official", "official_bpr_max"])


def fitted(corpus: Corpus, preset: str = "official", **options: object) -> GRU4Rec:
    model = worlds.fitted({"model": {"name": "gru4rec", "preset": preset, **SIZES, **options}}, corpus)
    assert isinstance(model, GRU4Rec)
    torch.nn.init.normal_(model.bias)
    return model.train()


def steps(model: GRU4Rec, corpus: Corpus, slots: int) -> Iterator[tuple[Batch, Encoding]]:
    """An epoch in training mode, without a change of the weights."""
    state = None
    for batch in Loader(corpus, corpus.train, 20, order=model.order).batches(slots):
        encoding = model.encode(batch, state)
        assert encoding.state is not None
        state = encoding.state.detach()
        yield batch, encoding


def by_event(model: GRU4Rec, corpus: Corpus, slots: int) -> dict[tuple[int, int], Tensor]:
    """The vector of each event, by session and place in it, from the steps of an epoch."""
    found: dict[tuple[int, int], Tensor] = {}
    for batch, encoding in steps(model, corpus, slots):
        for session, vector in zip(batch.session.tolist(), encoding.vectors.detach(), strict=True):
            place = sum(s == session for s, _ in found)
            found[session, place] = vector
    return found


@pytest.mark.parametrize("slots", [1, 3, 512])
@pytest.mark.parametrize("layers", [1, 2])
def test_step_by_step_equals_whole_sessions(slots: int, layers: int) -> None:
    """Trap 1 (a state in the wrong slot, or kept for the next session), T19 and T21 (512 slots, fewer sessions)."""
    corpus = worlds.busy()
    model = fitted(corpus, layers=layers)
    found = by_event(model, corpus, slots)
    batch = worlds.events_of(model, corpus, corpus.train)
    wanted = model.eval().encode(batch).vectors.detach()
    keys = list(zip(batch.session[batch.row].tolist(), batch.position.tolist(), strict=True))
    assert sorted(found) == sorted(keys)
    torch.testing.assert_close(torch.stack([found[key] for key in keys]), wanted)


def test_a_state_is_a_constant_of_the_next_step() -> None:
    """One step of back-propagation: the item before the last gets no gradient."""
    corpus = worlds.corpus_of([[[0, 1, 2]]], n_items=4)
    model = fitted(corpus)
    _, (batch, encoding) = steps(model, corpus, 1)
    assert batch.items.tolist() == [[1]]
    encoding.vectors.sum().backward()
    assert model.embedding.weight.grad is not None
    assert model.embedding.weight.grad.any(1).tolist() == [False, True, False, False]


@both
def test_an_epoch_plays_every_consecutive_pair_once(preset: str) -> None:
    """Traps 2 and 8, T18, T20."""
    corpus = worlds.busy()
    played: Counter[tuple[int, int, int]] = Counter()
    for batch, _ in steps(fitted(corpus, preset), corpus, 4):
        items = batch.items[batch.row, batch.position]
        played.update(zip(batch.session.tolist(), items.tolist(), batch.target.tolist(), strict=True))
    train = corpus.train
    cuts = [train.items[train.offsets[s] : train.offsets[s + 1]].tolist() for s in range(len(train))]
    assert played == Counter((s, a, b) for s, items in enumerate(cuts) for a, b in pairwise(items))


@pytest.mark.parametrize("loss", ["cross_entropy", "bpr_max"])
@pytest.mark.parametrize("mask", [False, True])
def test_the_loss_is_that_of_targets_and_drawn_items(loss: str, mask: bool) -> None:
    """Traps 3, 4, 5 and 11: targets of the batch, then one draw for all rows; copies of a target are negatives unless
    masked; the logQ correction takes log support off a target, alpha · log support off a drawn item."""
    corpus = worlds.corpus_of([[[0, 1]], [[2, 1]], [[3, 4]], [[4, 4]]], n_items=6)
    model = fitted(corpus, loss=loss, mask_duplicates=mask, logq=0.5, sample_alpha=0.3, bpreg=0.7, elu=0.4)
    ((batch, encoding),) = steps(model, corpus, 4)
    torch.manual_seed(3)
    found = model.loss_of(encoding, batch)
    torch.manual_seed(3)
    candidates = torch.cat([batch.target, model.sampler.draw(9)])
    scores = (encoding.vectors @ model.item_vectors().t())[:, candidates]
    positive = torch.arange(4)
    again = (candidates == batch.target[:, None]) & (torch.arange(13) != positive[:, None])
    assert again.any()
    left_out = again if mask else None
    if loss == "cross_entropy":
        times = torch.tensor(corpus.item_support)[candidates].log()
        times[4:] *= 0.3
        wanted = cross_entropy(scores - 0.5 * times, positive, left_out)
    else:
        wanted = bpr_max(scores, positive, left_out, elu=0.4, penalty=0.7)
    torch.testing.assert_close(found, wanted / 4)


def test_duplicates_stay_by_default() -> None:
    """Trap 11."""
    assert not fitted(worlds.busy()).config.mask_duplicates


@both
def test_the_loss_shrinks_as_slots_run_out(preset: str) -> None:
    """It is a sum over the nominal number of slots; one slot left without drawn items has nothing to tell."""
    corpus = worlds.corpus_of([[[0, 1, 2, 3]], [[2, 1]]])
    model = fitted(corpus, preset, n_sample=0)
    (first, of_first), (second, of_second), _ = steps(model, corpus, 2)
    assert (len(first), len(second)) == (2, 1)
    assert float(model.loss_of(of_first, first).detach()) > 0
    alone = model.loss_of(of_second, second)
    assert float(alone.detach()) == 0
    alone.backward()
    assert model.bias.grad is not None
    assert not model.bias.grad.any()
    whole = fitted(corpus, preset, loss="full_softmax")
    _, (second, of_second), _ = steps(whole, corpus, 2)
    scores = of_second.vectors @ whole.item_vectors().t()
    wanted = torch.nn.functional.cross_entropy(scores, second.target) / 2
    torch.testing.assert_close(whole.loss_of(of_second, second), wanted)


def test_in_evaluation_all_items_are_candidates() -> None:
    corpus = worlds.busy()
    sampled, full = fitted(corpus).eval(), fitted(corpus, loss="full_softmax").eval()
    full.load_state_dict(sampled.state_dict(), strict=False)
    batch = worlds.events_of(sampled, corpus)
    torch.testing.assert_close(sampled.loss(batch), full.loss(batch))
    torch.testing.assert_close(worlds.scores_of(sampled, batch), worlds.scores_of(full, batch))


@both
def test_one_table_and_a_bias_that_learns(preset: str) -> None:
    """Trap 6."""
    model = fitted(worlds.busy(), preset)
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {"embedding", "bias", "gru"}
    assert model.bias.requires_grad


def test_dropout_is_in_the_recurrence() -> None:
    """Trap 7, and what is carried is what dropout left, in every layer."""
    corpus = worlds.corpus_of([[[0, 1, 2, 3]] * 60])
    model = fitted(corpus, dim=32, layers=2, dropout_hidden=0.8)
    for batch, encoding in steps(model, corpus, 60):
        assert encoding.state is not None
        kept = (encoding.state != 0).double().mean((0, 2))
        assert kept.tolist() == pytest.approx([0.2, 0.2], abs=0.04)
        assert torch.equal(encoding.state[batch.slot, -1], encoding.vectors[:, :-1])


@both
@pytest.mark.parametrize("batch_events", [1, 7])
def test_the_size_of_the_batch_changes_no_score(preset: str, batch_events: int) -> None:
    """Trap 9."""
    corpus = worlds.busy()
    model = fitted(corpus, preset).eval()
    batches = Loader(corpus, corpus.sessions, model.config.window.length).batches(batch_events)
    found = torch.cat([worlds.scores_of(model, batch) for batch in batches])
    torch.testing.assert_close(found, worlds.scores_of(model, worlds.events_of(model, corpus, corpus.sessions)))


@both
def test_fewer_sessions_than_slots(preset: str) -> None:
    """Trap 10: a slot is a session, and none is played twice."""
    corpus = worlds.corpus_of([[[0, 1, 2]], [[2, 3]]])
    model = fitted(corpus, preset)
    sizes = [len(batch) for batch, _ in steps(model, corpus, 64)]
    assert sizes == [2, 1]
    worlds.train(model, corpus, epochs=2, batch_events=64)
    assert torch.isfinite(worlds.scores_of(model, worlds.events_of(model, corpus, corpus.train))).all()


def test_it_starts_from_the_authors_values() -> None:
    corpus = worlds.corpus_of([[[0, 1, 2]]], n_items=3000)
    model = worlds.fitted({"model": {"name": "gru4rec", "preset": "official", "dim": 50}}, corpus)
    assert isinstance(model, GRU4Rec)
    limits = {"embedding.weight": (6 / 3050) ** 0.5, "gru.weight_ih_l0": 0.06**0.5, "gru.weight_hh_l0": 0.06**0.5}
    for name, parameter in model.named_parameters():
        limit = limits.get(name, 0.0)
        assert limit * 0.95 <= float(parameter.detach().abs().max()) <= limit


def test_the_presets_are_those_of_the_authors_and_of_the_comparison() -> None:
    for preset, loss in (("official", "cross_entropy"), ("official_bpr_max", "bpr_max")):
        settings = models.with_preset({"model": {"name": "gru4rec", "preset": preset}})
        model = models.build(settings)
        assert isinstance(model, GRU4Rec)
        assert model.order == "session_parallel"
        assert model.config.loss == loss
        assert model.config.logq == (1.0 if loss == "cross_entropy" else 0.0)
        assert (model.config.bpreg, model.config.elu) == (1.0, 0.5)
        training = settings.training
        assert (training.optimizer, training.learning_rate, training.momentum) == ("adagrad", 0.05, 0.0)
        assert (training.batch_events, training.weight_decay) == (64, 0.0)
        assert (model.config.n_sample, model.config.sample_alpha, model.config.dim) == (2048, 0.5, 100)
    settings = models.with_preset({"model": {"name": "gru4rec", "preset": "paper_conditions"}})
    assert (settings.training.optimizer, settings.training.batch_events) == ("adam", 512)
    assert (settings.training.schedule, settings.training.decay, settings.training.decay_every) == ("step", 0.1, 3)
    assert models.with_preset({"model": {"name": "gru4rec"}}).model.preset == "full_softmax"


def test_the_share_dropped_of_the_inputs_is_the_share_named() -> None:
    """Trap 7."""
    corpus = worlds.corpus_of([[[0, 1, 2, 3]] * 60])
    model = fitted(corpus, dim=32, dropout_embed=0.8)
    batch, _ = next(steps(model, corpus, 60))
    # Every row holds item 0 in its first step: only what was kept of it has a gradient.
    dropped = []
    for row in range(60):
        model.zero_grad()
        model.encode(batch).vectors[row].sum().backward()
        assert model.embedding.weight.grad is not None
        dropped.append(float((model.embedding.weight.grad[0] == 0).double().mean()))
    assert sum(dropped) / 60 == pytest.approx(0.8, abs=0.04)
