"""Similarities by hand, and the traps of MODELS section 2: fill, diagonal, norms, leaks, ties."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import worlds
from torch import Tensor
from worlds import TEST, TRAIN

from segue.contract.model import SessionModel
from segue.data import arrays
from segue.data.arrays import IntArray
from segue.data.corpus import Corpus, Part
from segue.errors import ConfigError
from segue.models import item_knn

COSINE = {"lam": 0.0, "a": 0.5}


def fitted(corpus: Corpus, **options: object) -> SessionModel:
    return worlds.fitted({"model": {"name": "item_knn", **options}}, corpus)


def scores(corpus: Corpus, **options: object) -> Tensor:
    model = fitted(corpus, **options)
    return worlds.scores_of(model, worlds.events_of(model, corpus))


def similarities(model: SessionModel) -> Tensor:
    """The kept neighbours, dense [items, items]."""
    arrays = model.arrays()
    rows = torch.repeat_interleave(torch.diff(arrays["offsets"]))
    dense = torch.zeros(model.n_items, model.n_items, dtype=torch.float64)
    dense[rows, arrays["items"].long()] = arrays["values"]
    return dense


def random_log(seed: int = 0) -> Corpus:
    random = np.random.default_rng(seed)
    return worlds.corpus_of([[random.integers(30, size=int(n)).tolist() for n in random.integers(2, 9, size=60)]])


def world(test: list[int], part: Part = TEST) -> Corpus:
    """Sessions {0,1}, {0,1,2}, {0,2,2}, {1}: support 3, 3, 2; C01 = 2, C02 = 2, C12 = 1. Items 3 and 4 are alone."""
    return worlds.corpus_of([[[0, 1], [0, 1, 2], [0, 2, 2], [1], [3], test]], [[TRAIN] * 5 + [part]], n_items=5)


def test_cosine_of_sessions() -> None:
    wanted = torch.zeros(5, 5, dtype=torch.float64)
    for i, j, sim in ((0, 1, 2 / 3), (0, 2, 2 / 6**0.5), (1, 2, 1 / 6**0.5)):
        wanted[i, j] = wanted[j, i] = sim
    torch.testing.assert_close(similarities(fitted(world([0, 1]), **COSINE)), wanted)


def test_lam_shrinks_and_a_shifts_the_norm() -> None:
    found = similarities(fitted(world([0, 1]), lam=2.0, a=0.25))
    torch.testing.assert_close(found[0, 2].item(), 2 / (5**0.25 * 4**0.75))
    torch.testing.assert_close(found[2, 0].item(), 2 / (4**0.25 * 5**0.75))
    confidence = similarities(fitted(world([0, 1]), lam=0.0, a=1.0))
    torch.testing.assert_close(confidence[2], torch.tensor([1.0, 0.5, 0, 0, 0], dtype=torch.float64))


@pytest.mark.parametrize(
    ("options", "weights"),
    [({"mode": "last"}, [0, 0, 1]), ({"mode": "sum"}, [1, 1, 1]), ({"mode": "decay", "w": 0.5}, [0.25, 0.5, 1])],
)
def test_how_the_items_of_a_prefix_combine(options: dict[str, object], weights: list[float]) -> None:
    corpus = world([0, 0, 1, 4])
    sim = similarities(fitted(corpus, **COSINE))
    wanted = weights[0] * sim[0] + weights[1] * sim[0] + weights[2] * sim[1]
    torch.testing.assert_close(scores(corpus, **COSINE, **options)[-1], wanted)


def test_without_neighbours_nothing_is_a_hit() -> None:
    """Trap 1: item 3 shares no session, so no fill of arbitrary items may score."""
    corpus = world([3, 0])
    assert not scores(corpus).any()
    assert worlds.hit_rate(fitted(corpus), corpus, 4) == 0


def test_the_declared_fill_ranks_below_every_similarity() -> None:
    corpus = worlds.corpus_of(
        [[[0, 1], [2], [2], [3], [0, 0]]], [[TRAIN] * 4 + [TEST]], n_items=5
    )  # support 1, 1, 2, 1, 0
    (found,) = scores(corpus, fill="popularity")
    assert found.argsort(descending=True, stable=True).tolist() == [1, 2, 0, 3, 4]
    assert (found > 0).tolist() == [False, True, False, False, False]


def test_no_item_is_its_own_neighbour() -> None:
    """Trap 2."""
    assert not similarities(fitted(random_log(), **COSINE)).diagonal().any()
    assert scores(world([0, 0]), mode="last")[0, 0] == 0


def test_a_cosine_is_at_most_one() -> None:
    """Trap 3: repeats inside sessions must not count in C and be missing in the norm."""
    sim = similarities(fitted(random_log(), **COSINE))
    assert sim.max() <= 1 + 1e-12
    torch.testing.assert_close(sim, sim.t())


def test_events_instead_of_sessions() -> None:
    """{0,1}, {0,1,2}, {0,2,2}: pairs of events C02 = 1 + 2, support of 2 in events 3."""
    sim = similarities(fitted(world([0, 1]), binary=False, **COSINE))
    torch.testing.assert_close(sim[0, 2].item(), 3 / (3 * 3) ** 0.5)


def test_the_official_count() -> None:
    """{0,1}, {0,1,2}, {0,2,2}, support 3, 3, 3 in events: item 2 twice beside 0 in one session, 0 once beside 2."""
    corpus = world([0, 1])
    sim = similarities(fitted(corpus, preset="official", lam=0.0))
    torch.testing.assert_close(sim[2, 0].item(), (1 + 2) / 3)
    torch.testing.assert_close(sim[0, 2].item(), (1 + 1) / 3)
    assert torch.equal(similarities(fitted(corpus, preset="official", lam=0.0, binary=False)), sim)
    unrepeated = worlds.corpus_of([[[0, 1], [0, 2, 1]]])
    plain = similarities(fitted(unrepeated, preset="public"))
    assert torch.equal(similarities(fitted(unrepeated, preset="official", lam=0.0)), plain)


def test_other_parts_are_not_counted() -> None:
    """Trap 4."""
    for part in (Part.VALIDATION, TEST):
        found = [fitted(world(test, part)).arrays() for test in ([3, 4, 0], [1, 4, 2, 2])]
        assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])


def test_ties_at_the_cut_go_to_the_smaller_item() -> None:
    """Trap 5: item 0 is as close to 1 as to 2 and 3, and keeps two of them."""
    corpus = worlds.corpus_of([[[0, 3], [0, 2], [0, 1]]])
    assert similarities(fitted(corpus, n_sims=2))[0].nonzero().flatten().tolist() == [1, 2]


def test_equal_fractions_are_equal_similarities() -> None:
    """1 / √(3 · 1) = 3 / √(3 · 9), though double precision gives two values."""
    corpus = worlds.corpus_of([[[0, 1, 2], [0, 2], [0, 2], *[[2]] * 6]])
    sim = similarities(fitted(corpus, **COSINE))
    assert sim[0, 1] == sim[0, 2] == pytest.approx(3**-0.5)


def test_the_nearest_stay() -> None:
    corpus = random_log()
    everything = similarities(fitted(corpus, **COSINE))
    kept = similarities(fitted(corpus, n_sims=3, **COSINE))
    order = torch.sort(-everything, dim=1, stable=True).indices[:, :3]
    wanted = torch.zeros_like(everything).scatter(1, order, everything.gather(1, order))
    assert torch.equal(kept, wanted)


def test_small_blocks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = random_log()
    whole = fitted(corpus).arrays()
    seen: list[slice] = []

    def watched(sizes: IntArray, bound: int) -> Iterator[slice]:
        seen.extend(arrays.blocks(sizes, bound))
        return iter(seen)

    monkeypatch.setattr(item_knn, "PAIRS_PER_BLOCK", 40)
    monkeypatch.setattr(item_knn, "blocks", watched)
    in_blocks = fitted(corpus).arrays()
    assert all(torch.equal(whole[key], in_blocks[key]) for key in whole)
    assert len(seen) > 5


def test_counts_equal_brute_force() -> None:
    corpus = random_log(seed=7)
    sets = [set(np.split(corpus.train.items, corpus.train.offsets[1:-1])[s].tolist()) for s in range(len(corpus.train))]
    support = [sum(i in s for s in sets) for i in range(corpus.n_items)]
    sim = similarities(fitted(corpus, lam=20.0))
    for i in range(corpus.n_items):
        for j in range(corpus.n_items):
            both = sum(i in s and j in s for s in sets) * (i != j)
            assert sim[i, j].item() == pytest.approx(both / ((support[i] + 20) * (support[j] + 20)) ** 0.5)


# github.com/benfred/implicit 0.7.3 on the sessions of `documents`: `similarity` after fit of the sessions x items
# matrix of counts by TFIDFRecommender(K=7), BM25Recommender(K=7) and BM25Recommender(K=7, K1=100, B=0.3); pairs i < j.
TFIDF = {
    (0, 1): 0.299655429401, (0, 2): 0.771382164724, (0, 3): 0.020723295788, (0, 4): 0.1157765283,
    (0, 5): 0.63637218351, (1, 2): 0.388465592159, (1, 3): 0.7363115133, (1, 4): 0.131795291383,
    (2, 3): 0.0268651477, (2, 4): 0.150089713756, (3, 4): 0.178993929882,
}  # fmt: skip
BM25 = {
    (0, 1): 0.268548121815, (0, 2): 0.669234254909, (0, 3): 0.018034587487, (0, 4): 0.022438382106,
    (0, 5): 0.677911295226, (1, 2): 0.31260679805, (1, 3): 0.5628978715, (1, 4): 0.022438382106,
    (2, 3): 0.020993386996, (2, 4): 0.02611967917, (3, 4): 0.031245971344,
}  # fmt: skip
BM25_OTHER = {
    (0, 1): 0.408070872878, (0, 2): 0.749807211717, (0, 3): 0.019279453572, (0, 4): 0.022454892984,
    (0, 5): 0.678410124009, (1, 2): 0.458628326155, (1, 3): 0.601752792368, (1, 4): 0.022454892984,
    (2, 3): 0.021668058439, (2, 4): 0.025236915124, (3, 4): 0.028805771808,
}  # fmt: skip


def documents() -> Corpus:
    return worlds.corpus_of([[[0, 1, 1, 2], [0, 2], [1, 3], [0, 1, 2, 3, 4], [5, 0]]], n_items=7)


@pytest.mark.parametrize(
    ("options", "pairs"),
    [
        ({"weighting": "tfidf", "lam": 0.0}, TFIDF),
        ({"preset": "bm25"}, BM25),
        ({"preset": "bm25", "k1": 100.0, "b": 0.3, "lam": 3.0, "a": 1.0}, BM25_OTHER),
    ],
)
def test_weightings_of_implicit(options: dict[str, object], pairs: dict[tuple[int, int], float]) -> None:
    wanted = torch.zeros(7, 7, dtype=torch.float64)
    for (i, j), value in pairs.items():
        wanted[i, j] = wanted[j, i] = value
    found = similarities(fitted(documents(), binary=False, **options))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-11)


def test_a_session_of_all_items_but_one_says_nothing() -> None:
    """Its idf is 0, and 0 / 0 is no similarity."""
    corpus = worlds.corpus_of([[[0, 1, 2]]], n_items=4)
    for weighting in ("tfidf", "bm25"):
        assert not similarities(fitted(corpus, weighting=weighting, lam=0.0)).any()


def test_an_item_may_be_its_own_neighbour() -> None:
    sim = similarities(fitted(world([0, 1]), itself=True, **COSINE))
    assert sim.diagonal().tolist() == [1, 1, 1, 1, 0]


def test_shrinking_lowers_tfidf_similarities_too() -> None:
    plain, shrunk = (similarities(fitted(documents(), weighting="tfidf", lam=lam)) for lam in (0.0, 5.0))
    assert (shrunk[plain > 0] < plain[plain > 0]).all()


@pytest.mark.parametrize(
    ("options", "weights"),
    [({"mode": "last"}, [0, 0, 1]), ({"mode": "sum"}, [1, 1, 1]), ({"mode": "decay", "w": 0.5}, [0.25, 0.5, 1])],
)
def test_the_history_stands_before_the_session(options: dict[str, object], weights: list[float]) -> None:
    model = fitted(world([0, 1]), window={"length": 20, "history": 2}, **COSINE, **options)
    sim = similarities(model)
    (found,) = worlds.scores_of(model, worlds.request_of(model, [1], past=[1, 2, 0]))
    torch.testing.assert_close(found, weights[0] * sim[2] + weights[1] * sim[0] + weights[2] * sim[1])


def test_the_official_count_is_of_the_cosine() -> None:
    with pytest.raises(ConfigError, match="the official count is one of the weighting"):
        fitted(documents(), preset="official", weighting="bm25")
