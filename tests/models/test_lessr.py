"""LESSR against a reading node by node, and the mistakes its other implementations made."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
import worlds
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from segue import models
from segue.data.batches import Batch
from segue.data.corpus import Corpus
from segue.data.loader import Loader
from segue.graph.session import SessionGraph, prefix_graph
from segue.models.lessr import EOPA, LESSR, SGAT, arrivals
from segue.training.optimizers import optimizer_of

N_ITEMS, DIM = 6, 4
sessions_of_items = st.lists(st.lists(st.integers(0, N_ITEMS - 1), min_size=2, max_size=7), min_size=1, max_size=4)


def fitted(corpus: Corpus, **options: object) -> LESSR:
    """In evaluation mode, with nothing left at a value such as 0 or 1 that would hide a mistake."""
    model = worlds.fitted({"model": {"name": "lessr", "dim": DIM, "layers": 3, "dropout": 0.0, **options}}, corpus)
    assert isinstance(model, LESSR)
    model.double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            assert module.running_mean is not None
            assert module.running_var is not None
            for tensor in (module.running_mean, module.bias.data):
                tensor.normal_()
            for tensor in (module.running_var, module.weight.data):
                tensor.uniform_(0.5, 2)
        if isinstance(module, nn.PReLU):
            nn.init.uniform_(module.weight, 0.1, 0.9)
    return model


def world(*sessions: list[int]) -> Corpus:
    return worlds.corpus_of([list(sessions)], n_items=N_ITEMS)


def graph_of(items: Sequence[int]) -> SessionGraph:
    return prefix_graph(worlds.request_of(fitted(world([0, 1])), items).prefixes(), N_ITEMS)[0]


def normed(norm: nn.Module, x: Tensor) -> Tensor:
    """By the running statistics, written out; x [..., features]."""
    assert isinstance(norm, nn.BatchNorm1d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return (x - norm.running_mean) / (norm.running_var + 1e-5).sqrt() * norm.weight + norm.bias


def prelu(activation: nn.PReLU, x: Tensor) -> Tensor:
    return torch.where(x > 0, x, activation.weight * x)


def gru_state(gru: nn.GRU, inputs: Sequence[Tensor]) -> Tensor:
    """The last state over a sequence of vectors, gate by gate, from zero."""
    w, u, b, c = gru.parameters()
    h = torch.zeros(gru.hidden_size, dtype=torch.float64)
    for x in inputs:
        (rx, zx, nx), (rh, zh, nh) = (w @ x + b).chunk(3), (u @ h + c).chunk(3)
        r, z = torch.sigmoid(rx + rh), torch.sigmoid(zx + zh)
        h = (1 - z) * torch.tanh(nx + r * nh) + z * h
    return h


def eopa_by_hand(layer: EOPA, features: dict[int, Tensor], items: Sequence[int]) -> dict[int, Tensor]:
    f = {item: normed(layer.norm, x) for item, x in features.items()}
    out = {}
    for item in f:
        message = gru_state(layer.gru, [f[before] for before, after in itertools.pairwise(items) if after == item])
        summed = layer.by_self.weight @ f[item] + layer.by_neighbours.weight @ message
        out[item] = prelu(layer.activation, summed)
    return out


def sgat_by_hand(layer: SGAT, features: dict[int, Tensor], items: Sequence[int]) -> dict[int, Tensor]:
    f = {item: normed(layer.norm, x) for item, x in features.items()}
    out = {}
    for item in f:
        until = len(items) - 1 - list(reversed(items)).index(item)
        sources = sorted(set(items[: until + 1]))
        query = [layer.query.weight @ f[u] + layer.query.bias for u in sources]
        logits = [layer.score.weight[0] @ torch.sigmoid(q + layer.key.weight @ f[item]) for q in query]
        weights = torch.softmax(torch.stack(logits), 0)
        mixed = torch.stack([a * (layer.value.weight @ f[u]) for a, u in zip(weights, sources, strict=True)]).sum(0)
        out[item] = prelu(layer.activation, mixed)
    return out


def by_hand(model: LESSR, items: Sequence[int]) -> Tensor:
    """s of one session, node by node."""
    x = {item: model.embedding.weight[item] for item in set(items)}
    for layer in model.layers:
        out = eopa_by_hand(layer, x, items) if isinstance(layer, EOPA) else sgat_by_hand(layer, x, items)
        x = {item: torch.cat([out[item], x[item]]) for item in x}
    read = model.readout
    f = {item: normed(read.norm, features) for item, features in x.items()}
    of_last = read.of_last.weight @ f[items[-1]] + read.of_last.bias
    logits = [read.score.weight[0] @ torch.sigmoid(read.of_each.weight @ f[item] + of_last) for item in f]
    weights = torch.softmax(torch.stack(logits), 0)
    mixed = torch.stack([a * features for a, features in zip(weights, f.values(), strict=True)]).sum(0)
    both = torch.cat([x[items[-1]], prelu(read.activation, read.out.weight @ mixed)])
    return (read.session.weight @ normed(read.session_norm, both)).detach()


def layer_out(layer: nn.Module, model: LESSR, items: Sequence[int]) -> dict[int, Tensor]:
    """What the first EOPA or SGAT makes of the plain item vectors, by item."""
    graph = graph_of(items)
    x = model.embedding(graph.item)
    out = layer(x, arrivals(graph) if isinstance(layer, EOPA) else graph.shortcuts()).detach()
    return dict(zip(graph.item.tolist(), out, strict=True))


@given(sessions_of_items, st.integers(1, 4))
def test_scores_are_those_of_the_written_out_model(sessions: list[list[int]], layers: int) -> None:
    corpus = world(*sessions)
    model = fitted(corpus, layers=layers)
    batch = worlds.events_of(model, corpus, corpus.train)
    prefixes = [items[:length] for items in sessions for length in range(1, len(items))]
    wanted = torch.stack([model.embedding.weight.detach() @ by_hand(model, prefix) for prefix in prefixes])
    torch.testing.assert_close(worlds.scores_of(model, batch), wanted)


@given(sessions_of_items)
def test_eopa_is_a_gru_over_each_nodes_predecessors(sessions: list[list[int]]) -> None:
    """T37, over the union of many graphs."""
    corpus = world(*sessions)
    model = fitted(corpus)
    layer = model.layers[0]
    assert isinstance(layer, EOPA)
    graph, _ = prefix_graph(worlds.events_of(model, corpus, corpus.train).prefixes(), N_ITEMS)
    found = layer(model.embedding(graph.item), arrivals(graph))
    prefixes = [items[:length] for items in sessions for length in range(1, len(items))]
    wanted = []
    for event, item in zip(graph.event.tolist(), graph.item.tolist(), strict=True):
        features = {i: model.embedding.weight[i] for i in prefixes[event]}
        wanted.append(eopa_by_hand(layer, features, prefixes[event])[item])
    torch.testing.assert_close(found, torch.stack(wanted))


def test_predecessors_are_read_by_time() -> None:
    """Mistake 1: the same nodes and edges, in another order."""
    model = fitted(world([0, 1]))
    one, other = (layer_out(model.layers[0], model, items) for items in ([1, 3, 2, 3], [2, 3, 1, 3]))
    assert not torch.allclose(one[3], other[3])
    same = layer_out(model.layers[0], model, [4, 1, 3, 2, 3])
    torch.testing.assert_close(one[3], same[3])


def test_a_transition_made_twice_arrives_twice() -> None:
    """Mistake 2: (1, 2, 1, 2) feeds item 1 twice into the recurrence of node 2."""
    into = arrivals(graph_of([1, 2, 1, 2]))
    assert into.node.tolist() == [1, 0]
    assert into.sizes.tolist() == [2, 1]
    assert into.source.tolist() == [0, 1, 0]
    model = fitted(world([0, 1]))
    once, twice = (layer_out(model.layers[0], model, items)[2] for items in ([1, 2], [1, 2, 1, 2]))
    assert not torch.allclose(once, twice)


def test_every_item_vector_stays_in_the_unit_ball() -> None:
    """Mistake 3: also those of items that no batch has looked up; the softmax moves all of them."""
    corpus = world([0, 1, 2])
    model = fitted(corpus)
    assert model.embedding.weight.norm(dim=1).max() <= 1 + 1e-5
    worlds.train(model, corpus, epochs=1, lr=100.0)
    norms = model.embedding.weight.norm(dim=1)
    torch.testing.assert_close(norms, torch.ones_like(norms), atol=1e-5, rtol=0)
    with torch.no_grad():
        model.embedding.weight[2] *= 0.25
    before = model.embedding.weight.clone()
    model.after_step()
    torch.testing.assert_close(model.embedding.weight, before, atol=1e-6, rtol=0)


def test_a_node_attends_to_itself_and_to_what_came_before() -> None:
    """Mistakes 4 and 5: (1, 2) joins 1 to 1, and both to 2."""
    source, target = graph_of([1, 2]).shortcuts()
    assert list(zip(source.tolist(), target.tolist(), strict=True)) == [(0, 0), (0, 1), (1, 1)]
    model = fitted(world([0, 1]))
    layer = SGAT(DIM, DIM, 0.0).double().eval()
    alone, followed, preceded = (layer_out(layer, model, items) for items in ([1], [1, 2], [2, 1]))
    torch.testing.assert_close(followed[1], alone[1])
    assert not torch.allclose(preceded[1], alone[1])


@pytest.mark.parametrize("train", [False, True])
def test_padding_reaches_no_statistic(train: bool) -> None:
    """Mistake 6: neither the scores nor, in training, what is remembered for evaluation."""
    corpus = world([0, 1, 2, 1], [3, 4])
    found = []
    for cells in (0, 5):
        model = fitted(corpus).train(train)
        batch = worlds.events_of(model, corpus, corpus.train)
        pad = (0, cells)
        items, mask = nn.functional.pad(batch.items, pad, value=5), nn.functional.pad(batch.mask, pad)
        vectors = model.encode(replace(batch, items=items, mask=mask)).vectors
        found.append((vectors, dict(model.named_buffers())))
    (vectors, buffers), (padded, of_padded) = found
    torch.testing.assert_close(padded, vectors)
    for name, buffer in buffers.items():
        torch.testing.assert_close(of_padded[name], buffer)
    tracked = {name for name in buffers if name.endswith("num_batches_tracked")}
    assert {int(buffers[name]) for name in tracked} == {int(train)}


def test_training_normalises_by_the_batch() -> None:
    """Mean 0 and variance 1 over real nodes, whatever the running statistics are."""
    model = fitted(world([0, 1])).train()
    norm = model.layers[0].norm
    assert isinstance(norm, nn.BatchNorm1d)
    nn.init.ones_(norm.weight)
    nn.init.zeros_(norm.bias)
    out = norm(torch.randn(40, DIM, dtype=torch.float64) * 3 + 2)
    torch.testing.assert_close(out.mean(0), torch.zeros(DIM, dtype=torch.float64))
    torch.testing.assert_close(out.var(0, unbiased=False), torch.ones(DIM, dtype=torch.float64), atol=1e-4, rtol=0)


def test_one_pass_equals_prefix_augmentation_in_training_too() -> None:
    """The same events give the same nodes, so batch normalisation sees the same, however the rows are cut."""
    corpus = worlds.busy()
    found = []
    for shuffle in ("sessions", "events"):
        model = fitted(corpus).train()
        (batch,) = Loader(corpus, corpus.train, 20, shuffle=shuffle).batches(10**9)
        found.append((model.loss(batch), dict(model.named_buffers())))
    (loss, buffers), (augmented, others) = found
    torch.testing.assert_close(loss, augmented)
    for name in buffers:
        torch.testing.assert_close(buffers[name], others[name])


def test_a_batch_of_one_node_is_trained_on_by_the_running_statistics() -> None:
    corpus = world([3, 1])
    model = fitted(corpus)
    batch = worlds.events_of(model, corpus, corpus.train)
    wanted, before = model.encode(batch).vectors, {k: b.clone() for k, b in model.named_buffers()}
    model.train()
    model.loss(batch).backward()
    torch.testing.assert_close(model.encode(batch).vectors, wanted)
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


def test_the_last_click_counts_not_the_last_node() -> None:
    """Mistake 7: also where its item was clicked before."""
    model = fitted(world([0, 1]))
    seen: list[Tensor] = []
    model.readout.session_norm.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0][0]))
    for items in ([5, 3], [3, 5], [3, 5, 3]):
        model.encode(worlds.request_of(model, items))
        # The features of the last node, not normalised; they end with the item vector.
        assert torch.equal(seen[-1][3 * DIM : 4 * DIM], model.embedding.weight[items[-1]])


def test_only_matrices_decay() -> None:
    """Mistake 8: with no gradient at all, AdamW leaves biases, batch normalisation and PReLU alone."""
    settings = models.with_preset({"model": {"name": "lessr"}, "training": {"weight_decay": 0.5}})
    model = fitted(world([0, 1]))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer_of(model.parameter_groups(), settings.training).step()
    decayed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    spared = {name for name in before if "bias" in name or "norm" in name or "activation" in name}
    assert decayed == set(before) - spared
    assert spared


def test_parameter_count() -> None:
    """T7: a layer reads d more features than the one before; the readout all of them."""
    d, layers = DIM, 3

    def eopa(c: int) -> int:
        return 2 * c + 6 * c * c + 6 * c + 2 * c * d + d

    def sgat(c: int) -> int:
        return 2 * c + 3 * c * d + d + d + d

    c = d * (layers + 1)
    readout = 2 * c + 2 * c * d + d + d + c * d + d + 2 * (c + d) + (c + d) * d
    wanted = N_ITEMS * d + eopa(d) + sgat(2 * d) + eopa(3 * d) + readout
    assert fitted(world([0, 1]), layers=layers).statistics() == {"parameters": wanted}


def dropped(module: nn.Module, model: LESSR, batch: Batch) -> float:
    seen: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    model.encode(batch)
    handle.remove()
    data = seen[0].data if not isinstance(seen[0], Tensor) else seen[0]
    return float((data == 0).double().mean())


def test_dropout_is_the_share_of_features_dropped() -> None:
    """Of what a neighbour or the session reads; what a node knows of itself is whole."""
    corpus = worlds.corpus_of([[[0, 1, 2, 3, 4, 5]] * 40])
    model = fitted(corpus, dropout=0.3, dim=16)
    batch = worlds.events_of(model, corpus, corpus.train)
    eopa, sgat, read = model.layers[0], model.layers[1], model.readout
    droppers = [eopa.gru, sgat.query, sgat.key, sgat.value, read.of_each, read.of_last, read.session]
    for module in droppers:
        assert isinstance(module, nn.Module)
        assert dropped(module, model.eval(), batch) == 0
        assert dropped(module, model.train(), batch) == pytest.approx(0.3, abs=0.04)
    assert isinstance(eopa.by_self, nn.Module)
    assert dropped(eopa.by_self, model.train(), batch) == 0


def test_the_presets_are_the_settings_of_the_two_papers() -> None:
    official, paper_conditions = (
        models.with_preset({"model": {"name": "lessr", "preset": preset}})
        for preset in ("official", "paper_conditions")
    )
    training = official.training
    assert (training.optimizer, training.learning_rate, training.weight_decay) == ("adamw", 1e-3, 1e-4)
    assert (training.batch_events, training.max_epochs, training.patience) == (512, 30, 2)
    assert training.schedule == "constant"
    training = paper_conditions.training
    assert (training.optimizer, training.batch_events, training.learning_rate) == ("adam", 512, 1e-3)
    assert (training.schedule, training.decay, training.decay_every) == ("step", 0.1, 3)
    assert LESSR.Config.parse(official.model.options).dropout == 0.2
