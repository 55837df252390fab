"""Against the written-out cell, and the traps that Hidasi & Czapp (2023) found in other implementations, as far as they
concern full back-propagation; the authors' own training is in test_gru4rec_official.py."""

from __future__ import annotations

import pytest
import torch
import worlds
from torch import Tensor

from segue.data.corpus import Corpus
from segue.data.loader import Loader
from segue.models.gru4rec import GRU4Rec


def fitted(corpus: Corpus, **options: object) -> GRU4Rec:
    sizes = {"dim": 6, "dropout_embed": 0.0, "dropout_hidden": 0.0, **options}
    model = worlds.fitted({"model": {"name": "gru4rec", **sizes}}, corpus)
    assert isinstance(model, GRU4Rec)
    torch.nn.init.normal_(model.bias)
    return model.eval()


def by_hand(model: GRU4Rec, items: list[int]) -> Tensor:
    """h_t = (1 − z) n + z h_{t−1}, gate by gate, from zero; scores of the state after the last item."""
    w, u, b, c = (p.detach() for p in model.gru.parameters())
    h = torch.zeros(model.config.dim)
    for item in items:
        gates_x, gates_h = w @ model.embedding.weight[item].detach() + b, u @ h + c
        (rx, zx, nx), (rh, zh, nh) = gates_x.chunk(3), gates_h.chunk(3)
        r, z = torch.sigmoid(rx + rh), torch.sigmoid(zx + zh)
        h = (1 - z) * torch.tanh(nx + r * nh) + z * h
    return (model.embedding.weight @ h + model.bias).detach()


def test_scores_are_those_of_the_written_out_cell() -> None:
    corpus = worlds.corpus_of([[[0, 3, 1, 2], [4, 4]]])
    model = fitted(corpus)
    found = worlds.scores_of(model, worlds.events_of(model, corpus, corpus.train))
    wanted = torch.stack([by_hand(model, prefix) for prefix in ([0], [0, 3], [0, 3, 1], [4])])
    torch.testing.assert_close(found, wanted)


def test_no_state_crosses_from_one_session_to_the_next() -> None:
    """Trap 1: session B after A is as session B alone, in training as in evaluation."""
    both = worlds.corpus_of([[[0, 1, 2], [3, 4, 1]]])
    model = fitted(both)
    alone = both.sessions.take(torch.tensor([1]).numpy())
    for train in (False, True):
        model.train(train)
        of_both = worlds.scores_of(model, worlds.events_of(model, both, both.sessions))
        torch.testing.assert_close(of_both[2:], worlds.scores_of(model, worlds.events_of(model, both, alone)))


def test_one_table_for_input_and_output_and_a_bias() -> None:
    """Trap 6."""
    corpus = worlds.corpus_of([[[0, 1, 2]]])
    model = fitted(corpus)
    vectors = model.item_vectors()
    assert torch.equal(vectors[:, :-1], model.embedding.weight)
    assert torch.equal(vectors[:, -1], model.bias)
    assert model.bias.requires_grad
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {"embedding", "bias", "gru"}


def test_parameter_count() -> None:
    """T7: V·d + V + per layer 3 (d² + d² + 2 d)."""
    corpus = worlds.corpus_of([[[0, 1, 8]]])
    assert fitted(corpus, layers=2).statistics() == {"parameters": 9 * 6 + 9 + 2 * 3 * (2 * 36 + 12)}


@pytest.mark.parametrize("which", ["dropout_embed", "dropout_hidden"])
def test_dropout_is_the_share_dropped(which: str) -> None:
    """Trap 7: 0.9 leaves a tenth, 0.0 leaves all."""
    corpus = worlds.corpus_of([[[0, 1, 2, 3]] * 50])
    model = fitted(corpus, dim=32, **{which: 0.9}).train()
    batch = worlds.events_of(model, corpus, corpus.train)
    if which == "dropout_hidden":
        kept = (model.encode(batch).vectors[:, :-1] != 0).float().mean().item()
    else:
        seen: list[Tensor] = []
        model.gru.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
        model.encode(batch)
        kept = (seen[0] != 0).float().mean().item()
    assert kept == pytest.approx(0.1, abs=0.03)
    assert torch.equal(model.encode(batch).vectors[:, -1], torch.ones(len(batch)))


def test_every_position_is_a_target() -> None:
    """Trap 8: not the last one alone."""
    corpus = worlds.corpus_of([[[0, 1, 2, 3, 4]]])
    model = fitted(corpus)
    batch = worlds.events_of(model, corpus, corpus.train)
    wanted = torch.stack([-torch.log_softmax(by_hand(model, list(range(t))), 0)[t] for t in range(1, 5)]).mean()
    torch.testing.assert_close(model.loss(batch).detach(), wanted)


@pytest.mark.parametrize("batch_events", [1, 7, 512])
def test_the_size_of_the_batch_changes_no_score(batch_events: int) -> None:
    """Trap 9."""
    corpus = worlds.busy()
    model = fitted(corpus)
    batches = Loader(corpus, corpus.sessions, 20).batches(batch_events)
    found = torch.cat([worlds.scores_of(model, batch) for batch in batches])
    torch.testing.assert_close(found, worlds.scores_of(model, worlds.events_of(model, corpus, corpus.sessions)))


def test_an_empty_prefix_is_scored_by_the_bias() -> None:
    corpus = worlds.corpus_of([[[0, 1, 2]]])
    model = fitted(corpus)
    batch = worlds.request_of(model, [])
    torch.testing.assert_close(worlds.scores_of(model, batch)[0], model.bias.detach())
