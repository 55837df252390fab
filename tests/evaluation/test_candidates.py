"""Masked items are no candidates, whatever the window and however small the catalogue."""

from __future__ import annotations

import pytest
import torch
from scorers import Scorer, arbitrary, oracle
from worlds import TEST, TRAIN, busy, corpus_of

from segue.data.corpus import Corpus
from segue.data.loader import Loader
from segue.evaluation.full_ranking import evaluate
from segue.evaluation.metrics import CUTOFFS, METRICS

MISSED = max(CUTOFFS) + 1
"""The rank of a masked target among fewer items than the longest list holds."""


def masking_corpus(train: list[int]) -> Corpus:
    return corpus_of([[train, [5, 6, 7, 8, 5]]], [[TRAIN, TEST]], n_items=10)


def prefers_small_items(length: int = 20) -> Scorer:
    return Scorer(lambda batch: -torch.arange(10).float().expand(len(batch), 10), length)


@pytest.mark.parametrize("length", [1, 20])
def test_masked_items_are_no_candidates_whatever_the_window(length: int) -> None:
    model, corpus = prefers_small_items(length), masking_corpus([0, 1, 2])
    assert evaluate(model, corpus, TEST, mask_session=False).rank.tolist() == [7, 8, 9, 6]
    masked = evaluate(model, corpus, TEST, mask_session=True)
    assert masked.rank.tolist() == [6, 6, 6, MISSED], "the last target is masked itself"
    assert masked.standard_rank.tolist() == [6, 6, 6, MISSED]
    assert evaluate(oracle(10), corpus, TEST, mask_session=True).rank.tolist() == [1, 1, 1, MISSED]


@pytest.mark.parametrize(("n_items", "rank"), [(9, MISSED), (20, MISSED), (21, 21), (30, 30)])
def test_a_masked_target_is_a_miss_on_any_catalogue(n_items: int, rank: int) -> None:
    corpus = corpus_of([[[0, 1, 2], [5, 6, 5]]], [[TRAIN, TEST]], n_items=n_items)
    measured = evaluate(oracle(n_items), corpus, TEST, mask_session=True)
    assert measured.rank.tolist() == measured.standard_rank.tolist() == [1, rank]
    assert measured.as_dict()["metrics"] == dict.fromkeys(METRICS, 0.5)


def test_masking_is_automatic_where_train_sessions_never_repeat() -> None:
    model = prefers_small_items()
    alone, repeats = masking_corpus([0, 1, 2]), masking_corpus([0, 1, 0])
    assert evaluate(model, alone, TEST).as_dict()["masked"] is True
    assert evaluate(model, alone, TEST).rank.tolist() == [6, 6, 6, MISSED]
    assert evaluate(model, repeats, TEST).as_dict()["masked"] is False
    assert evaluate(model, repeats, TEST).rank.tolist() == [7, 8, 9, 6]


def test_masking_equals_taking_the_items_out_of_the_scores() -> None:
    corpus = busy()
    model = arbitrary(corpus.n_items)
    measured = evaluate(model, corpus, TEST, mask_session=True)
    (batch,) = Loader(corpus, corpus.select(TEST), 100).batches(10_000)
    scores, prefixes = model.scores(batch), batch.prefixes()
    for event, target in enumerate(batch.target.tolist()):
        prefix = prefixes.items[event][prefixes.mask[event]]
        own = scores[event, target].item()
        scores[event, prefix] = -1
        expected = MISSED if target in prefix else int((scores[event] >= own).sum())
        assert measured.rank[event] == expected
    assert measured.events.repeated.any()
    assert not measured.events.repeated.all()
