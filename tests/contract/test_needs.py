"""What models need, and what is said of a corpus that cannot offer it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import runs
import small_logs
import worlds
from worlds import TEST, TRAIN, VALIDATION

from segue import models
from segue.contract.model import SessionModel
from segue.contract.needs import check_needs
from segue.data.corpus import Corpus
from segue.errors import CorpusError
from segue.settings import Nested


def asking(name: str, attributes: Sequence[str] = (), **options: object) -> Nested:
    """Settings of a model."""
    return {"model": {"name": name, **options}, "graph": {"attributes": list(attributes)}}


def model_of(settings: Nested) -> SessionModel:
    return models.build(models.with_preset(settings))


ATTRIBUTES = ("item.kind", "user.town")


@pytest.mark.parametrize(
    ("settings", "needs"),
    [
        (asking("popularity"), set()),
        (asking("popularity", preset="session"), set()),
        (asking("popularity", preset="personal"), {"history"}),
        (asking("popularity", preset="mixed", half_life="2d"), {"history", "time"}),
        (asking("popularity", half_life="2d"), set()),
        (asking("popularity", preset="recent"), {"time"}),
        (asking("markov"), set()),
        (asking("item_knn"), set()),
        (asking("item_knn", preset="history"), {"history"}),
        (asking("ease"), set()),
        (asking("ease", preset="history"), {"history"}),
        (asking("slis", recent="4d"), {"time"}),
        (asking("slist", preset="history", recent="4d"), {"history", "time"}),
        (asking("gru4rec"), set()),
        (asking("hg_gnn"), {"graph"}),
        (asking("hg_gnn", layers=0), set()),
        (asking("hg_gnn", ATTRIBUTES), {"graph", "attributes"}),
        (asking("hg_gnn", ["user.town"], user_nodes=False), {"graph"}),
        (asking("gru4rec", ATTRIBUTES), set()),
        (asking("reminder", ATTRIBUTES, inner={"name": "hg_gnn"}), {"history", "graph", "attributes"}),
    ],
)
def test_a_configuration_needs_what_it_uses(settings: Nested, needs: set[str]) -> None:
    assert model_of(settings).needs == needs


def one_session_each() -> Corpus:
    """Sessions of users whom train does not know make no history, however many there are."""
    users = [[[0, 1], [1, 2], [0, 2]], [[0, 1], [2, 1]]]
    return worlds.corpus_of(users, [[TRAIN, VALIDATION, TEST], [TRAIN, TEST]])


def nobody_known() -> Corpus:
    corpus = worlds.busy()
    return replace(corpus, n_users=0)


def all_at_once() -> Corpus:
    corpus = worlds.busy()
    return replace(corpus, sessions=replace(corpus.sessions, times=np.full_like(corpus.sessions.times, 7)))


def validation_alone() -> Corpus:
    return worlds.corpus_of([[[0, 1]]], [[VALIDATION]])


def without_transitions() -> Corpus:
    return worlds.corpus_of([[[0, 0], [1, 1, 1]], [[2, 2], [0, 0]]])


HISTORY = asking("popularity", preset="personal")
TIME = asking("popularity", preset="recent")
GRAPH = asking("hg_gnn")


@pytest.mark.parametrize(
    ("settings", "corpus", "says"),
    [
        (HISTORY, one_session_each, "needs history: none of the 2 known users has two train sessions"),
        (HISTORY, nobody_known, "needs history: no user is known"),
        (TIME, all_at_once, "needs time: all [0-9]+ train events carry the same timestamp"),
        (GRAPH, without_transitions, "needs graph: none of the 4 train sessions holds two different items"),
        (asking("hg_gnn", ["item.kind"]), worlds.busy, "needs attributes: .*no column 'item.kind'"),
        (
            asking("reminder", ["item.kind"], inner={"name": "hg_gnn"}),
            worlds.busy,
            "needs attributes: .*no column 'item.kind'",
        ),
        (asking("markov"), validation_alone, "no train sessions"),
    ],
)
def test_a_corpus_that_cannot_offer_it_is_refused_in_one_line(
    settings: Nested, corpus: Callable[[], Corpus], says: str
) -> None:
    with pytest.raises(CorpusError, match=says) as caught:
        check_needs(model_of(settings), corpus())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("settings", [HISTORY, TIME, GRAPH, asking("popularity", preset="mixed")])
def test_a_corpus_that_offers_it_is_taken(settings: Nested) -> None:
    check_needs(model_of(settings), worlds.busy())


def test_one_user_with_a_history_is_enough() -> None:
    corpus = worlds.corpus_of([[[0, 1], [1, 2]], [[0, 1]]])
    check_needs(model_of(HISTORY), corpus)
    with pytest.raises(CorpusError, match="none of the 1 known users"):
        check_needs(model_of(HISTORY), worlds.corpus_of([[[0, 1]], [[2, 1]]], [[TRAIN], [TEST]]))


def test_markov_takes_a_corpus_without_time_history_or_transitions() -> None:
    for corpus in (one_session_each(), all_at_once(), without_transitions(), nobody_known()):
        check_needs(model_of(asking("markov")), corpus)


def test_training_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    wanting = small_logs.with_settings(graph={"attributes": ["user.town"]})
    with pytest.raises(CorpusError, match=r"needs attributes: .*'user\.town'"):
        runs.train(small_logs.corpus(), tmp_path / "m", wanting)
    assert list(tmp_path.iterdir()) == []
