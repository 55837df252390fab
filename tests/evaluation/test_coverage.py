"""Coverage against lists sorted event by event."""

from __future__ import annotations

import pytest
import torch
from scorers import Scorer, constant
from torch import Tensor
from worlds import TEST, busy

from segue.data.batches import Batch
from segue.data.loader import Loader
from segue.evaluation.coverage import Coverage
from segue.evaluation.full_ranking import evaluate


def _mostly_the_same(n_items: int) -> Scorer:
    """Distinct scores; half of the order is the same for every event."""

    def scores(batch: Batch) -> Tensor:
        key = (batch.session[batch.row] * 31 + batch.position * 17)[:, None]
        items = torch.arange(n_items)
        return torch.where(items < n_items // 2, items + 1000, (key + items * 7919) % 997 + items / n_items).double()

    return Scorer(scores)


@pytest.mark.parametrize("mask_session", [True, False])
def test_the_share_of_items_in_any_list(mask_session: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = busy(n_items=60)
    model = _mostly_the_same(60)
    monkeypatch.setattr("segue.evaluation.ranking.events_per_chunk", lambda n_items: 5)
    measured = evaluate(model, corpus, TEST, mask_session=mask_session, coverage=True)
    (batch,) = Loader(corpus, corpus.select(TEST), 100).batches(10_000)
    scores, prefixes = model.scores(batch), batch.prefixes()
    shown: dict[int, set[int]] = {10: set(), 20: set()}
    for event, row in enumerate(scores.tolist()):
        barred = set(prefixes.items[event][prefixes.mask[event]].tolist()) if mask_session else set()
        ranked = sorted(set(range(60)) - barred, key=lambda item, row=row: -row[item])
        for k, items in shown.items():
            items.update(ranked[:k])
    assert measured.coverage == {f"coverage@{k}": len(items) / 60 for k, items in shown.items()}
    assert measured.as_dict()["coverage"] == measured.coverage
    assert 0 < measured.coverage["coverage@10"] < measured.coverage["coverage@20"] < 1


def test_coverage_changes_no_rank_and_is_left_out_unasked() -> None:
    corpus = busy(n_items=60)
    plain = evaluate(_mostly_the_same(60), corpus, TEST)
    covered = evaluate(_mostly_the_same(60), corpus, TEST, coverage=True)
    assert plain.rank.tolist() == covered.rank.tolist()
    assert plain.coverage is None
    assert "coverage" not in plain.as_dict()


def test_one_list_for_everybody_covers_its_own_length() -> None:
    corpus = busy(n_items=40)
    measured = evaluate(constant(40), corpus, TEST, mask_session=False, coverage=True)
    assert measured.coverage == {"coverage@10": 0.25, "coverage@20": 0.5}


def test_lists_longer_than_what_may_be_shown() -> None:
    coverage = Coverage(6)
    coverage.add(torch.arange(6.0)[None], torch.tensor([0, 0]), torch.tensor([2, 5]))
    assert coverage.shares() == {"coverage@10": 4 / 6, "coverage@20": 4 / 6}


def test_scoring_takes_time() -> None:
    assert evaluate(constant(40), busy(n_items=40), TEST).seconds > 0
