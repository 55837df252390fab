"""Against the written-out equations of Li et al. 2017, and the mistakes that programs of NARM are known for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import worlds
from torch import Tensor

from segue import models
from segue.data.corpus import Corpus
from segue.models.narm import NARM, NARMConfig

ATTENTIONS = ["softmax", "raw"]
of_each_form = pytest.mark.parametrize("attention", ATTENTIONS)


def fitted(corpus: Corpus, **options: object) -> NARM:
    sizes = {"dim": 6, "hidden": 5, "dropout_embed": 0.0, "dropout_session": 0.0, **options}
    model = worlds.fitted({"model": {"name": "narm", **sizes}}, corpus)
    assert isinstance(model, NARM)
    for name, bias in model.gru.named_parameters():
        if name.startswith("bias"):
            torch.nn.init.normal_(bias)
    return model.eval()


def by_hand(model: NARM, items: list[int]) -> Tensor:
    """The scores after a prefix, state by state and weight by weight."""
    sigmoid = (lambda x: (x / 5 + 0.5).clamp(0, 1)) if model.config.hard_sigmoid else torch.sigmoid
    before = model.config.gru_reset == "before"
    w, u, b = model.gru.weight_ih_l0, model.gru.weight_hh_l0, model.gru.bias_ih_l0
    c = torch.zeros_like(b) if before else model.gru.bias_hh_l0
    assert c is not None
    h = b.new_zeros(model.config.hidden)
    states = []
    for item in items:
        (rx, zx, nx), (rh, zh, nh) = (w @ model.embedding.weight[item] + b).chunk(3), (u @ h + c).chunk(3)
        r, z = sigmoid(rx + rh), sigmoid(zx + zh)
        h = (1 - z) * torch.tanh(nx + (u.chunk(3)[2] @ (r * h) if before else r * nh)) + z * h
        states.append(h)
    a1, a2, v = model.of_last.weight, model.of_each.weight, model.energy.weight[0]
    weights = torch.stack([v @ sigmoid(a1 @ h + a2 @ state) for state in states])
    if model.config.attention == "softmax":
        weights = weights.exp() / weights.exp().sum()
    local = torch.stack([weight * state for weight, state in zip(weights, states, strict=True)]).sum(0)
    return model.embedding.weight @ (model.decoder.weight @ torch.cat([local, h]))


@of_each_form
@pytest.mark.parametrize("reset", ["after", "before"])
@pytest.mark.parametrize("hard", [False, True])
def test_one_pass_equals_the_written_out_prefixes_with_gradients(attention: str, reset: str, hard: bool) -> None:
    """T36: all positions at once against every prefix by itself, the sum of losses and its gradients, in float64."""
    corpus = worlds.corpus_of([[[0, 3, 1, 2, 2], [4, 4], [1, 5, 0]]])
    model = fitted(corpus, attention=attention, gru_reset=reset, hard_sigmoid=hard).double()
    batch = worlds.events_of(model, corpus, corpus.train)
    prefixes = [[0], [0, 3], [0, 3, 1], [0, 3, 1, 2], [4], [1], [1, 5]]
    wanted = torch.stack([by_hand(model, prefix) for prefix in prefixes])
    torch.testing.assert_close(worlds.scores_of(model, batch), wanted.detach(), rtol=1e-10, atol=1e-12)
    parameters = list(model.parameters())
    found_slopes = torch.autograd.grad(model.loss(batch), parameters)
    slopes = torch.autograd.grad(torch.nn.functional.cross_entropy(wanted, batch.target), parameters)
    for found_slope, slope in zip(found_slopes, slopes, strict=True):
        torch.testing.assert_close(found_slope, slope, rtol=1e-9, atol=1e-12)


def test_the_last_items_of_a_long_session_are_read() -> None:
    """Mistake 1: the authors' loader keeps the first ones."""
    corpus = worlds.corpus_of([[[*range(30), 0]]])
    model = fitted(corpus)
    *_, last = worlds.events_singly(model, corpus, corpus.train)
    wanted = by_hand(model, list(range(10, 30))).detach()
    torch.testing.assert_close(worlds.scores_of(model, last)[0], wanted, rtol=1e-4, atol=1e-5)


@of_each_form
def test_padding_gets_no_attention(attention: str) -> None:
    """Mistake 3: the states of padding cells are not zero, so neither would be their weights."""
    corpus = worlds.corpus_of([[[0, 3, 1], [4, 1]]])
    model = fitted(corpus, attention=attention)
    batch = worlds.events_of(model, corpus, corpus.train)
    pad = torch.nn.functional.pad
    padded = replace(batch, items=pad(batch.items, (0, 9), value=2), mask=pad(batch.mask, (0, 9)))
    torch.testing.assert_close(worlds.scores_of(model, padded), worlds.scores_of(model, batch))


def test_the_state_read_is_that_of_the_prefix_not_of_the_row() -> None:
    """Mistake 4: the last column belongs to the longest session alone."""
    corpus = worlds.corpus_of([[[0, 1], [2, 3, 4, 0, 1], [3, 1, 2]]])
    model = fitted(corpus)
    together = worlds.scores_of(model, worlds.events_of(model, corpus, corpus.train))
    for number, events in enumerate((slice(0, 1), slice(1, 5), slice(5, 7))):
        alone = corpus.train.take(torch.tensor([number]).numpy())
        torch.testing.assert_close(worlds.scores_of(model, worlds.events_of(model, corpus, alone)), together[events])


@pytest.mark.parametrize("which", ["dropout_embed", "dropout_session"])
def test_dropout_is_the_share_dropped_of_inputs_and_of_c(which: str) -> None:
    """Mistake 5: not of the scores, and never outside training."""
    corpus = worlds.corpus_of([[[0, 1, 2, 3]] * 50])
    model = fitted(corpus, dim=32, hidden=32, **{which: 0.9})
    batch = worlds.events_of(model, corpus, corpus.train)
    seen: list[Tensor] = []
    layer = model.gru if which == "dropout_embed" else model.decoder
    layer.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    for training in (True, False):
        model.train(training).encode(batch)
    dropped, whole = ((x != 0).float().mean().item() for x in seen)
    assert dropped == pytest.approx(0.1, abs=0.03)
    assert whole == 1.0


def test_parameter_count() -> None:
    """T7, mistake 6 (a decoder of 2H x V): V d + 3 (d H + H² + H) + 2 H² + H + 2 d H, and torch's second bias."""
    corpus = worlds.corpus_of([[[0, 1, 8]]])
    v, d, h = 9, 6, 5
    wanted = v * d + 3 * (d * h + h * h + h) + 2 * h * h + h + 2 * d * h
    assert fitted(corpus).statistics() == {"parameters": wanted}
    assert fitted(corpus, preset="paper_conditions").statistics() == {"parameters": wanted + 3 * h}


@of_each_form
def test_an_empty_prefix_scores_zero(attention: str) -> None:
    corpus = worlds.corpus_of([[[0, 1, 2]]])
    model = fitted(corpus, attention=attention)
    assert torch.equal(worlds.scores_of(model, worlds.request_of(model, [])), torch.zeros(1, 3))


def test_parameters_are_drawn_as_the_authors_draw_them_and_items_by_their_width() -> None:
    corpus = worlds.corpus_of([[[0, 1, 199]]])
    model = worlds.fitted({"model": {"name": "narm", "dim": 50, "hidden": 100}}, corpus)
    assert isinstance(model, NARM)
    weights = {
        model.embedding.weight: 50,
        model.gru.weight_ih_l0: 50,
        model.of_last.weight: 100,
        model.of_each.weight: 100,
        model.energy.weight: 1,
        model.decoder.weight: 50,
    }
    for weight, rows in weights.items():
        # Four standard errors of an estimated standard deviation.
        assert weight.std().item() == pytest.approx((2 / rows) ** 0.5, rel=4 / (2 * weight.numel()) ** 0.5)
    for gate in model.gru.weight_hh_l0.detach().chunk(3):
        torch.testing.assert_close(gate @ gate.t(), torch.eye(100), rtol=0, atol=1e-5)
    assert not model.gru.bias_ih_l0.any()


def test_presets_are_the_authors_settings_and_those_of_hg_gnn() -> None:
    official, other = (models.with_preset({"model": {"name": "narm", "preset": name}}) for name in NARM.presets)
    config = models.build(official).config.model_dump(exclude={"window"})
    assert config == {
        "dim": 50,
        "hidden": 100,
        "attention": "softmax",
        "dropout_embed": 0.25,
        "dropout_session": 0.5,
        "gru_reset": "before",
        "hard_sigmoid": True,
    }
    assert (official.training.max_epochs, official.training.patience) == (30, 30), "theirs never ends early"
    config = models.build(other).config
    assert isinstance(config, NARMConfig)
    assert (config.gru_reset, config.hard_sigmoid) == ("after", False)
    assert (official.training.schedule, official.training.weight_decay) == ("constant", 0.0)
    assert (other.training.schedule, other.training.decay, other.training.decay_every) == ("step", 0.1, 3)
    for settings in (official, other):
        training = settings.training
        assert (training.optimizer, training.batch_events, training.learning_rate) == ("adam", 512, 1e-3)


def test_the_order_of_the_events_changes_no_score() -> None:
    """The events of a batch need not be one run per row: attention reads the states of the row each belongs to."""
    corpus = worlds.busy()
    model = fitted(corpus)
    batch = worlds.events_of(model, corpus, corpus.train)
    shuffled = torch.randperm(len(batch))
    names = ("row", "position", "target", "time")
    other = replace(batch, **{name: getattr(batch, name)[shuffled] for name in names})
    torch.testing.assert_close(worlds.scores_of(model, other), worlds.scores_of(model, batch)[shuffled])
