"""Against a transformer written out prefix by prefix, and what reading the history adds to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import worlds
from torch import Tensor
from torch.nn.functional import layer_norm
from worlds import TEST, TRAIN

from segue import models
from segue.data.corpus import Corpus
from segue.errors import ConfigError
from segue.models import sasrec
from segue.models.sasrec import Block, SASRec

HISTORY = {"window": {"length": 5, "history": 4}}
SESSION = {"window": {"length": 5}}
SIZES = [{"heads": 1, "layers": 1}, {"heads": 2, "layers": 2}]


def fitted(corpus: Corpus, **options: Any) -> SASRec:
    model = worlds.fitted({"model": {"name": "sasrec", "dim": 6, "dropout": 0.0, **options}}, corpus)
    assert isinstance(model, SASRec)
    for name, parameter in model.named_parameters():
        if "norm" in name or name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    return model.eval()


def norm(x: Tensor, layer: torch.nn.LayerNorm) -> Tensor:
    return layer_norm(x, x.shape[-1:], layer.weight, layer.bias)


def by_hand(model: SASRec, prefix: list[int], past: list[list[int]] | None = None) -> Tensor:
    """The scores after one prefix; `past`: the earlier sessions, cut to the window, None where none are read."""
    zero = model.config.window.history
    rows, places = [], []
    place = zero - sum(map(len, past or []))
    for session in [*past, prefix] if past is not None else [prefix]:
        if past is not None:
            rows.append(model.boundary)
            places.append(place)
        for item in session:
            rows.append(model.embedding.weight[item])
            places.append(place)
            place += 1
    x = 6**0.5 * torch.stack(rows) + model.position.weight[places]
    for block in model.blocks:
        assert isinstance(block, Block)
        x = x + attended(block, norm(x, block.norm_attention))
        inner, _, outer = block.feed
        x = x + outer(inner(norm(x, block.norm_feed)).clamp(min=0))
    return model.embedding.weight @ norm(x, model.norm)[-1]


def attended(block: Block, x: Tensor) -> Tensor:
    size = 6 // block.heads
    queries, keys, values = (x @ w.t() for w in (block.queries.weight, *block.keys_values.weight.chunk(2)))
    out = torch.zeros_like(x)
    for head in range(block.heads):
        part = slice(head * size, (head + 1) * size)
        for t in range(len(x)):
            weights = torch.softmax(keys[: t + 1, part] @ queries[t, part] / size**0.5, 0)
            out[t, part] = weights @ values[: t + 1, part]
    return out


def same_scores_and_slopes(model: SASRec, corpus: Corpus, wanted: Tensor) -> None:
    batch = worlds.events_of(model, corpus, corpus.train)
    torch.testing.assert_close(worlds.scores_of(model, batch), wanted.detach(), rtol=1e-9, atol=1e-11)
    parameters = list(model.parameters())
    found = torch.autograd.grad(model.loss(batch), parameters)
    slopes = torch.autograd.grad(torch.nn.functional.cross_entropy(wanted, batch.target), parameters)
    for found_slope, slope in zip(found, slopes, strict=True):
        torch.testing.assert_close(found_slope, slope, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("sizes", SIZES)
def test_the_session_in_one_pass_equals_the_written_out_prefixes_with_gradients(sizes: dict[str, int]) -> None:
    corpus = worlds.corpus_of([[[0, 3, 1, 2], [4, 4]]])
    model = fitted(corpus, **SESSION, **sizes).double()
    prefixes = [[0], [0, 3], [0, 3, 1], [4]]
    same_scores_and_slopes(model, corpus, torch.stack([by_hand(model, prefix) for prefix in prefixes]))


@pytest.mark.parametrize("sizes", SIZES)
def test_the_history_in_one_pass_equals_the_written_out_prefixes_with_gradients(sizes: dict[str, int]) -> None:
    """Histories of none, one and two sessions in one batch; the last is cut to four items, inside a session."""
    corpus = worlds.corpus_of([[[0, 3, 1], [4, 4], [2, 3, 0]]])
    model = fitted(corpus, **HISTORY, **sizes).double()
    events: list[tuple[list[int], list[list[int]]]] = [
        ([0], []),
        ([0, 3], []),
        ([4], [[0, 3, 1]]),
        ([2], [[3, 1], [4, 4]]),
        ([2, 3], [[3, 1], [4, 4]]),
    ]
    same_scores_and_slopes(model, corpus, torch.stack([by_hand(model, prefix, past) for prefix, past in events]))


def test_an_empty_prefix_is_read_at_the_boundary_and_scores_zero_where_there_is_none() -> None:
    corpus = worlds.corpus_of([[[0, 1, 2], [2, 0]]])
    model = fitted(corpus, **HISTORY)
    for past in ([], [2, 0]):
        wanted = by_hand(model, [], [past] if past else []).detach()
        torch.testing.assert_close(worlds.scores_of(model, worlds.request_of(model, [], 0, past))[0], wanted)
    model = fitted(corpus, **SESSION)
    assert torch.equal(worlds.scores_of(model, worlds.request_of(model, [])), torch.zeros(1, 3))


def test_where_a_session_of_the_history_ends_makes_a_difference() -> None:
    split = worlds.corpus_of([[[0, 3, 1, 2], [4, 0]]])
    other = worlds.corpus_of([[[0, 3], [1, 2], [4, 0]]])
    model = fitted(split, **HISTORY)
    found, others = (
        worlds.scores_of(model, worlds.events_of(model, world, world.train))[-1] for world in (split, other)
    )
    assert not torch.allclose(found, others, atol=1e-3)


@pytest.mark.parametrize(("preset", "hits"), [("session", 0.5), ("history", 1.0)])
def test_only_the_history_tells_two_tastes_apart(preset: str, hits: float) -> None:
    """The same first two items lead to another one for each user: half of the last events are a guess without it."""
    corpus = worlds.two_tastes()
    model = worlds.fitted(worlds.small("sasrec", preset), corpus)
    worlds.train(model, corpus, epochs=30)
    batch = worlds.events_of(model, corpus)
    last = worlds.scores_of(model, batch)[batch.position == 1]
    assert (last.argmax(1) == torch.tensor([2, 3])).double().mean() == hits


def test_a_history_that_rolls_is_read_and_a_frozen_one_ends_with_train() -> None:
    corpus = worlds.corpus_of([[[0, 1], [2, 3], [4, 0]]], [[TRAIN, TEST, TEST]])
    model = fitted(corpus, **HISTORY)
    test = corpus.select(TEST)
    frozen, rolling = (
        worlds.scores_of(model, worlds.events_of(model, corpus, test, policy=policy))
        for policy in ("frozen", "rolling")
    )
    torch.testing.assert_close(frozen[1], by_hand(model, [4], [[0, 1]]).detach())
    torch.testing.assert_close(rolling[1], by_hand(model, [4], [[0, 1], [2, 3]]).detach())


@pytest.mark.parametrize("window", [SESSION, HISTORY])
def test_what_pads_a_row_changes_nothing(window: dict[str, Any]) -> None:
    """On the right other items, on the left the longer history of a batch mate."""
    corpus = worlds.corpus_of([[[0, 3, 1], [4, 2], [2, 1]], [[3, 3]]])
    model = fitted(corpus, **window)
    batch = worlds.events_of(model, corpus, corpus.train)
    alone = [worlds.scores_of(model, event) for event in worlds.events_singly(model, corpus, corpus.train)]
    torch.testing.assert_close(torch.cat(alone), worlds.scores_of(model, batch))
    pad = torch.nn.functional.pad
    padded = replace(batch, items=pad(batch.items, (0, 9), value=2), mask=pad(batch.mask, (0, 9)))
    torch.testing.assert_close(worlds.scores_of(model, padded), worlds.scores_of(model, batch))


@pytest.mark.parametrize(("window", "boundary"), [(SESSION, 0), (HISTORY, 6)])
def test_parameter_count(window: dict[str, Any], boundary: int) -> None:
    """T7: V d + (length + history) d + a boundary + per layer 3 d² + 2 (d² + d) + 4 d, and 2 d at the end."""
    corpus = worlds.corpus_of([[[0, 1, 8]]])
    d, positions = 6, sum(window["window"].values())
    wanted = 9 * d + positions * d + boundary + 3 * (3 * d * d + 2 * (d * d + d) + 4 * d) + 2 * d
    assert fitted(corpus, **window, layers=3).statistics() == {"parameters": wanted}


def test_dropout_is_the_share_dropped_of_the_input_the_weights_and_both_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = worlds.corpus_of([[[0, 1, 2, 3]] * 50])
    model = fitted(corpus, dim=64, layers=1, dropout=0.9)
    batch = worlds.events_of(model, corpus, corpus.train)
    (block,) = model.blocks
    assert isinstance(block, Block)
    seen: dict[str, Tensor] = {}
    block.register_forward_pre_hook(lambda module, arguments: seen.update(input=arguments[0]))
    block.norm_feed.register_forward_pre_hook(lambda module, arguments: seen.update(middle=arguments[0]))
    block.register_forward_hook(lambda module, arguments, output: seen.update(output=output))
    shares: list[float] = []
    attention = sasrec.scaled_dot_product_attention

    def noted(*arguments: Any, dropout_p: float, **options: Any) -> Tensor:
        shares.append(dropout_p)
        return attention(*arguments, dropout_p=0.0, **options)

    monkeypatch.setattr(sasrec, "scaled_dot_product_attention", noted)
    for training, kept in ((True, 0.1), (False, 1.0)):
        model.train(training).encode(batch)
        for added in (seen["input"], seen["middle"] - seen["input"], seen["output"] - seen["middle"]):
            assert (added != 0).float().mean().item() == pytest.approx(kept, abs=0.03)
    assert shares == [0.9, 0.0]


def test_history_is_needed_where_it_is_read() -> None:
    needs = {
        preset: models.build(models.with_preset(worlds.small("sasrec", preset))).needs for preset in SASRec.presets
    }
    assert needs == {"session": set(), "history": {"history"}}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dim": 10, "heads": 4}, r"setting 'model\.heads': must divide dim = 10, found 4"),
        ({"window": {"history": 20_000}}, r"setting 'model\.window': length \+ history must not exceed 16,384"),
    ],
)
def test_sizes_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        models.with_preset({"model": {"name": "sasrec", **options}})


def test_no_softmax_is_over_nothing_and_padding_is_seen_by_itself_alone() -> None:
    """Some implementations of attention answer a row without a key with NaN, which every later block would spread."""
    corpus = worlds.corpus_of([[[0, 3, 1], [4, 2]]])
    model = fitted(corpus, **HISTORY)
    tokens = model._tokens(worlds.events_of(model, corpus, corpus.train))
    assert tokens.shown is not None
    assert tokens.shown.tolist() == [[False] * 4 + [True] * 3, [True] * 7]
    mask = tokens.visible()
    assert mask is not None
    assert mask.any(-1).all()
    seen_by = mask[0, 0].nonzero().tolist()
    assert [t for t, cell in seen_by if cell == 0] == [0]
