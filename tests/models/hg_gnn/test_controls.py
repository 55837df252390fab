"""The control presets do without exactly what they question; `memory` does without every vector."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
import worlds

from segue import models
from segue.contract.memory_sources import FACTS, SOURCES
from segue.data.corpus import Corpus
from segue.data.loader import Loader
from segue.errors import ConfigError
from segue.graph.tables import ITEM, USER
from segue.models.hg_gnn import HGGNN
from segue.models.hg_gnn.config import HGGNNConfig
from segue.models.hg_gnn.presets import POINTED, PRESETS, SPACE, SPACES
from segue.settings.search_space import Between, Choice


def model_of(corpus: Corpus, preset: str, **options: Any) -> HGGNN:
    overrides = worlds.small("hg_gnn", preset)
    overrides["model"] |= {"mask_users": 0.0, **options}
    model = worlds.fitted(overrides, corpus)
    assert isinstance(model, HGGNN)
    return model.eval()


def differences(one: str, other: str) -> dict[str, tuple[Any, Any]]:
    """Options of the model and settings of training and graph in which two presets differ, as (one, other)."""
    both = []
    for preset in (one, other):
        settings = models.with_preset({"model": {"preset": preset}})
        config = models.build(settings).config
        both.append({**dict(config), **dict(settings.training), **dict(settings.graph)})
    return {key: (both[0][key], both[1][key]) for key in both[0] if both[0][key] != both[1][key]}


def test_a_control_differs_from_its_model_in_what_it_questions_alone() -> None:
    assert differences("paper", "no-users") == {"user_nodes": (True, False)}
    no_hgnn = {"layers": (1, 0), "dropout": (0.5, 0.2)}
    assert differences("paper", "no-graph") == {**no_hgnn, "add_user": (False, True)}
    assert differences("segue", "segue-no-graph") == no_hgnn
    trained_in_less = {
        "learning_rate": (3e-3, 4e-3), "max_epochs": (5, 3), "pass_events": (0, 60_000),
        "validation_events": (0, 20_000),
    }  # fmt: skip
    no_vectors = {"embeddings": (True, False), "user_term": (True, False)}
    assert differences("segue", "memory") == {**no_vectors, **trained_in_less}


def test_without_layers_as_much_noise_is_on_the_embeddings_as_with_one() -> None:
    """Var of α_0 + α_1 m / (1 - p), the factor that dropout puts on P⁰ where a layer passes its input on."""
    with_layer, without = (
        models.build(models.with_preset({"model": {"preset": p}})).config for p in ("paper", "no-graph")
    )
    by_layer = with_layer.alphas[1] ** 2 * with_layer.dropout / (1 - with_layer.dropout)
    assert without.dropout / (1 - without.dropout) == pytest.approx(by_layer)


@pytest.mark.parametrize("preset", ["no-graph", "segue-no-graph"])
def test_without_layers_the_graph_changes_nothing(preset: str) -> None:
    corpus = worlds.busy()
    model = model_of(corpus, preset)
    assert not model.needs
    batch = worlds.events_of(model, corpus)
    before = worlds.scores_of(model, batch)
    model.graph = model_of(worlds.cycle(12, 6), preset).graph
    assert torch.equal(worlds.scores_of(model, batch), before)
    one, other = (worlds.scores_of(model, worlds.request_of(model, [4], user)) for user in (1, 2))
    assert not torch.allclose(one, other), "the user is there from the first item"


def test_memory_has_no_vectors_and_scores_by_counts() -> None:
    corpus = worlds.busy()
    model = model_of(corpus, "memory")
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {"popularity_weight", "memory", "pointer"}
    parameters = (FACTS + 1) * (1 + 2 * len(SOURCES) + 1 + len(POINTED))
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert model.item_vectors().shape == (corpus.n_items, 1)
    assert not model.needs
    batch = worlds.events_of(model, corpus)
    terms = model.terms(batch)
    wanted = terms.encoding.vectors @ model.item_vectors().t()
    for source, value in terms.values.items():
        entries = terms.recalled[source]
        wanted = wanted.index_put((entries.event, entries.item), value, accumulate=True)
    mixture = terms.encoding.mixture
    assert mixture is not None
    mixed = mixture.log_dense.exp()[:, None] * wanted.softmax(1)
    mixed = mixed.index_put((mixture.event, mixture.item), mixture.probability, accumulate=True)
    found = worlds.scores_of(model, batch).softmax(1)
    torch.testing.assert_close(found, mixed.detach(), rtol=1e-4, atol=1e-6)


def test_memory_ranks_by_popularity_where_nothing_is_recalled() -> None:
    corpus = worlds.busy()
    model = model_of(corpus, "memory", memory=[], pointer=[])
    scores = worlds.scores_of(model, worlds.events_of(model, corpus))
    torch.testing.assert_close(scores, 0.3 * model.log_share.expand_as(scores))
    model.snapshot()
    assert torch.equal(worlds.scores_of(model, worlds.events_of(model, corpus)), scores)


def test_memory_learns_nothing_from_a_log_in_which_everything_happens_once() -> None:
    """Every other preset learns such a log by heart. Here the best is to name one of the items not in the session."""
    corpus = worlds.once()
    model = model_of(corpus, "memory")
    worlds.train(model, corpus, epochs=60, lr=0.02)
    (batch,) = Loader(corpus, corpus.train, 20).batches(10**9)
    targets = len(batch.target.unique())
    with torch.no_grad():
        assert float(model.loss(batch)) > math.log(targets - 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embeddings": False}, "'model.embeddings'.*popularity and the memory remain; set popularity = true"),
        *(
            ({"embeddings": False, "popularity": True, name: True}, f"there is no user vector; set {name} = false")
            for name in ("user_term", "add_user", "user_classes")
        ),
        ({"attention": "hard"}, "'model.attention'.*'softmax' or 'raw'"),
        ({"gate": "vectro"}, "'model.gate'.*'vector' or 'scalar'"),
        ({"hidden": "relu"}, "'model.hidden'.*'linear' or 'tanh'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        HGGNNConfig.parse(options, "model")
    assert re.search(message, str(refusal.value)), refusal.value
    assert "\n" not in str(refusal.value)


def values_of(space: Choice | Between) -> list[Any]:
    return list(space.values) if isinstance(space, Choice) else [space.low, space.high]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_value_a_search_may_try_is_a_setting_and_leaves_the_preset_what_it_is(preset: str) -> None:
    space = SPACES.get(preset, SPACE)
    base = models.build(models.with_preset({"model": {"preset": preset}})).config
    for key, values in space.items():
        section, name = key.split(".")
        for value in values_of(values):
            overrides: dict[str, dict[str, Any]] = {"model": {"preset": preset}}
            overrides.setdefault(section, {})[name] = value
            settings = models.with_preset(overrides)
            config = models.build(settings).config
            assert bool(config.layers) == bool(base.layers)
            assert config.embeddings == base.embeddings
            found = getattr(config if section == "model" else getattr(settings, section), name)
            assert found == value
    assert SPACES.keys() < PRESETS.keys()
    assert HGGNN.space is SPACE
    assert HGGNN.spaces is SPACES


def test_what_a_search_varies_in_memory_changes_it() -> None:
    """Sizes and layers would be searched for nothing: there are no vectors."""
    assert not any(key.startswith(("model.", "graph.")) for key in SPACES["memory"])
    assert "graph.sample_size" not in SPACES["authors-code"]


def test_tables_exist_only_for_what_is_read() -> None:
    corpus = worlds.busy()
    assert set(model_of(corpus, "no-users").hgnn.embedding) == {ITEM}
    assert set(model_of(corpus, "no-graph").hgnn.embedding) == {ITEM, USER}
    assert not hasattr(model_of(corpus, "memory"), "hgnn")
