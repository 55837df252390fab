"""Every score is the sum of its parts, whatever the switches and whoever asks."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
import worlds
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from segue.contract.memory_sources import SOURCES, TABLE
from segue.models.hg_gnn import HGGNN
from segue.models.hg_gnn.config import HGGNNConfig
from segue.nn.encoding import ScoreParts

ITEMS = torch.arange(12)

sources = st.lists(st.sampled_from(SOURCES), unique=True).map(tuple)
configs = st.fixed_dictionaries(
    {
        "layers": st.integers(0, 2),
        "preferences": st.sampled_from([(True, True), (True, False), (False, True)]),
        "user_nodes": st.booleans(),
        "user_term": st.booleans(),
        "popularity": st.booleans(),
        "memory": sources,
        "pointer": sources,
        "accumulate": st.sampled_from(["mean", "sum"]),
        "homogeneous": st.booleans(),
        "hidden": st.sampled_from(["linear", "tanh"]),
        "attention": st.sampled_from(["softmax", "raw"]),
        "gate": st.sampled_from(["vector", "scalar"]),
        "add_user": st.booleans(),
        "user_classes": st.booleans(),
    }
)
without_embeddings = st.fixed_dictionaries(
    {"embeddings": st.just(False), "popularity": st.just(True), "memory": sources, "pointer": sources}
)
requests = st.tuples(
    st.lists(st.integers(0, 11), max_size=7),  # the prefix: empty, repeats and item 11, which occurs nowhere
    st.integers(0, 6),  # user 6 is the unknown one
    st.lists(st.integers(0, 11), max_size=5),  # the history
    st.booleans(),  # fresh
    st.booleans(),  # by snapshot
)


@cache
def fitted() -> HGGNN:
    """A model with everything, for its graph and counts."""
    model = worlds.fitted(worlds.small("hg_gnn", "segue"), worlds.busy())
    assert isinstance(model, HGGNN)
    return model


def with_switches(chosen: dict) -> HGGNN:
    """Random weights, double precision, no dropout, over the graph and counts of `fitted`."""
    options = {key: value for key, value in chosen.items() if key != "preferences"}
    options["current_preference"], options["general_preference"] = chosen.get("preferences", (True, True))
    config = HGGNNConfig.parse({"dim": 6, "dropout": 0.0, **options})
    model, source = HGGNN(config), fitted()
    torch.manual_seed(1)
    model._build(source.graph, source.recall if config.reads_counts else None)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return model.double().eval()


def explained(model: HGGNN, prefix: list[int], user: int, past: list[int], fresh: bool) -> tuple[ScoreParts, Tensor]:
    batch = worlds.request_of(model, prefix, user, past)
    batch = replace(batch, fresh=torch.tensor([fresh or user == 6]))
    with torch.no_grad():
        return model.parts(batch, ITEMS), worlds.scores_of(model, batch)[0]


@settings(max_examples=100)
@given(chosen=configs | without_embeddings, asked=requests)
def test_parts_sum_to_the_score_for_every_switch(chosen: dict, asked: tuple) -> None:
    model = with_switches(chosen)
    prefix, user, past, fresh, cached = asked
    if cached:
        with torch.no_grad():
            model.snapshot()
    parts, scores = explained(model, prefix, user, past, fresh)
    assert all(part.shape == (12, len(prefix)) for part in parts.session.values())
    assert all(part.shape == (12,) for part in parts.user.values())
    torch.testing.assert_close(parts.total(), scores, rtol=1e-9, atol=1e-9)
    config = model.config
    vectors = config.embeddings
    terms = {"current": vectors and config.current_preference, "general": vectors and config.general_preference}
    asked = {source: source in config.memory for source in SOURCES}
    asked |= {f"pointer_{source}": source in config.pointer for source in SOURCES}
    who = {name: TABLE[name.removeprefix("pointer_")].speaks_for for name in asked}
    terms |= {name: on for name, on in asked.items() if who[name] == "session"}
    assert parts.session.keys() == {name for name, on in terms.items() if on}
    users = {"user_term": config.user_term, "add_user": config.add_user}
    users |= {name: on for name, on in asked.items() if who[name] == "user"}
    assert parts.user.keys() == {name for name, on in users.items() if on}
    assert parts.everybody.keys() == {name for name, on in asked.items() if on and who[name] == "everybody"}
    assert parts.words.keys() >= asked.keys()
    assert config.popularity or not parts.base.any()


EVERYTHING = {
    "preferences": (True, True), "user_term": True, "popularity": True, "memory": SOURCES, "pointer": SOURCES,
}  # fmt: skip


def test_parts_stand_at_the_item_they_come_from() -> None:
    model = with_switches(dict(EVERYTHING))
    prefix = [3, 0, 3, 5]
    parts, _ = explained(model, prefix, 2, [1, 1, 8], fresh=False)
    # The session source gives an item of the prefix to itself, at each of its places.
    wanted = torch.zeros(12, 4, dtype=torch.bool)
    wanted[[3, 0, 3, 5], [0, 1, 2, 3]] = True
    assert torch.equal(parts.session["session"] != 0, wanted)
    assert torch.equal(parts.session["pointer_session"] != 0, wanted)
    # Transitions come from the last item alone, what shares sessions with the prefix from all of it.
    assert not parts.session["transition"][:, :3].any()
    assert parts.session["transition"][:, 3].any()
    assert (parts.session["basket"] != 0).any(0).all()
    assert not parts.session["order_before"][:, [0, 1, 3]].any()
    assert parts.session["order_before"][:, 2].any()
    # History is the user's: the items 1 and 8 are pushed, the others are not.
    assert parts.user["history"].nonzero().flatten().tolist() == [1, 8]
    assert parts.user["pointer_history"].nonzero().flatten().tolist() == [1, 8]
    assert all(part.sum(1).ge(0).all() for name, part in parts.session.items() if name.startswith("pointer"))


def test_an_empty_session_is_explained_by_the_user_and_the_base() -> None:
    model = with_switches(dict(EVERYTHING))
    parts, scores = explained(model, [], 2, [1, 8], fresh=False)
    assert all(part.shape == (12, 0) for part in parts.session.values())
    everybody = sum(parts.everybody.values())
    torch.testing.assert_close(parts.base + everybody + sum(parts.user.values()), scores, rtol=1e-9, atol=1e-9)
    assert parts.user["user_term"].abs().min() > 0


@pytest.mark.parametrize("prefix", [[4], [4, 4], [1, 2]])
def test_attention_parts_are_the_products_of_eq_13_16_and_18(prefix: list[int]) -> None:
    model = with_switches({"preferences": (True, True)})
    batch = worlds.request_of(model, prefix, 2)
    with torch.no_grad():
        reading = model.terms(batch).reading
        parts = model.parts(batch, ITEMS)
    initial = model.item_vectors().detach()
    for name, part in [("current", reading.gate * reading.current), ("general", (1 - reading.gate) * reading.general)]:
        torch.testing.assert_close(parts.session[name].sum(1), initial @ part[0], rtol=1e-9, atol=1e-9)
