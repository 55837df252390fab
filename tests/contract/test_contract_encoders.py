"""What every trained model must keep to besides the contract of all models. T numbers: the test catalogue."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import worlds

from segue import models
from segue.contract.encoder import SessionEncoder
from segue.data.loader import Loader
from segue.training.optimizers import optimizer_of

ENCODERS = [name for name in models.names() if issubclass(models.load(name), SessionEncoder)]
CASES = [(name, preset) for name in ENCODERS for preset in models.load(name).presets]
COUNTS_ALONE = {("hg_gnn", "memory")}

OWN_OPTIMIZER = [
    (name, preset)
    for name, preset in CASES
    if models.with_preset({"model": {"name": name, "preset": preset}}).training.optimizer != "adam"
]

trained = pytest.mark.parametrize(("name", "preset"), CASES)


@trained
def test_one_pass_equals_prefix_augmentation(name: str, preset: str) -> None:
    corpus = worlds.busy()
    model = worlds.fitted(worlds.small(name, preset), corpus)
    assert isinstance(model, SessionEncoder)
    model.double().eval()
    found = []
    for shuffle in ("sessions", "events"):
        model.zero_grad()
        loader = Loader(corpus, corpus.train, model.config.window.length, shuffle=shuffle)
        total = torch.zeros((), dtype=torch.float64)
        for batch in loader.batches(40, (1,)):
            loss = model.loss(batch) * len(batch)
            loss.backward()
            total += loss.detach()
        found.append((total, {key: p.grad.clone() for key, p in model.named_parameters() if p.grad is not None}))
    (one_pass, gradients), (augmented, wanted) = found
    torch.testing.assert_close(one_pass, augmented, rtol=1e-9, atol=1e-9)
    assert gradients.keys() == wanted.keys()
    for key in wanted:
        torch.testing.assert_close(gradients[key], wanted[key], rtol=1e-9, atol=1e-9, msg=lambda m, k=key: f"{k}: {m}")


@trained
def test_a_gradient_reaches_every_parameter(name: str, preset: str) -> None:  # T9
    corpus = worlds.busy()
    model = worlds.fitted(worlds.small(name, preset), corpus)
    assert isinstance(model, SessionEncoder)
    model.train()
    reached: set[str] = set()
    loader = Loader(corpus, corpus.train, model.config.window.length)
    for epoch in range(5):
        for batch in loader.batches(32, (epoch,)):
            model.zero_grad()
            model.loss(batch).backward()
            reached |= {key for key, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert {key for key, p in model.named_parameters() if p.requires_grad} - reached == set()


@trained
def test_it_can_learn_32_events_by_heart(name: str, preset: str) -> None:  # T8
    if (name, preset) in COUNTS_ALONE:
        pytest.skip("counts never hold the running session, and here everything happens once")
    random = np.random.default_rng(4)
    items = random.permutation(48).reshape(4, 4, 3)
    corpus = worlds.corpus_of(items.tolist())
    model = worlds.fitted(worlds.small(name, preset), corpus)
    assert isinstance(model, SessionEncoder)
    by_heart = worlds.events_of(model, corpus, corpus.train)
    losses: list[float] = []
    while len(losses) < 8 and (not losses or losses[-1] >= 0.05):
        worlds.train(model, corpus, epochs=40, lr=0.02)
        with torch.no_grad():
            losses.append(float(model.loss(by_heart)))
        if model.ranking_loss and torch.equal(worlds.scores_of(model, by_heart).argmax(1), by_heart.target):
            return
    assert losses[-1] < 0.05, losses


@pytest.mark.parametrize(("name", "preset"), OWN_OPTIMIZER)
def test_the_cycle_is_learned_with_its_own_optimizer(name: str, preset: str) -> None:
    corpus = worlds.cycle()
    overrides = worlds.small(name, preset)
    model = worlds.fitted(overrides, corpus)
    assert isinstance(model, SessionEncoder)
    own = optimizer_of(model.parameter_groups(), models.with_preset(overrides).training)
    worlds.train(model, corpus, epochs=60, optimizer=own)
    assert worlds.hit_rate(model, corpus, 1) >= 0.9
