"""A graph that is prepared with the corpus is the one that training would build, and is taken as it is."""

from __future__ import annotations

import logging
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_corpora import log_of, small, visits

from segue.data.corpus import Corpus, Part, load
from segue.data.corpus_folder import GRAPH
from segue.data.preparation.prepare import prepare
from segue.errors import CorpusError
from segue.graph.in_preparation import prepare_graph
from segue.graph.relations import build_relations
from segue.graph.stored import relations_of
from segue.graph.tables import CountTable, CsrTable, EdgeTables
from segue.settings import GraphSettings, PreparationSettings

LOG = log_of(
    [
        row
        for number in range(9)
        for row in visits(f"u{number}", *["a b c d", f"b c {'defgh'[number % 5]}", "e f a c", "g h a b", "c a d"])
    ]
)
SMALL_GRAPH = GraphSettings(sample_size=2, top_k_similar=3)
PREPARATION = PreparationSettings(memory_limit="256MiB")


def assert_equal(one: Any, other: Any, name: str = "tables") -> None:
    """Compare two tables, or whatever is inside of them."""
    if isinstance(one, EdgeTables | CsrTable | CountTable):
        for field in fields(one):
            assert_equal(getattr(one, field.name), getattr(other, field.name), f"{name}.{field.name}")
    elif isinstance(one, dict):
        assert list(one) == list(other), name
        for key in one:
            assert_equal(one[key], other[key], f"{name}[{key}]")
    elif isinstance(one, np.ndarray):
        assert one.flags.writeable == other.flags.writeable, name
        assert one.dtype == other.dtype, name
        np.testing.assert_array_equal(one, other, name)
    else:
        assert one == other, name


def prepared(folder: Path, settings: GraphSettings = SMALL_GRAPH) -> Corpus:
    prepare(LOG, folder / "corpus", small(), graph=partial(prepare_graph, settings=settings))
    return load(folder / "corpus", (Part.TRAIN, Part.VALIDATION))


def asked(corpus: Corpus, settings: GraphSettings, top: int) -> EdgeTables:
    return relations_of(corpus, settings, preparation=PREPARATION, memory_top=top)


def built(corpus: Corpus, settings: GraphSettings, top: int) -> EdgeTables:
    return build_relations(
        corpus.train, corpus.n_items, corpus.n_users, settings,
        preparation=PREPARATION, items=corpus.items, users=corpus.users, memory_top=top,
    )  # fmt: skip


@pytest.mark.parametrize("top", [0, 1, 3, 101])
def test_taken_as_built(tmp_path: Path, caplog: pytest.LogCaptureFixture, top: int) -> None:
    corpus = prepared(tmp_path)
    with caplog.at_level(logging.INFO):
        taken = asked(corpus, SMALL_GRAPH, top)
    assert "taken as it was prepared" in caplog.text
    assert_equal(taken, built(corpus, SMALL_GRAPH, top))


def test_fewer_relations_and_a_bound(tmp_path: Path) -> None:
    settings = GraphSettings(relations=("adjacent_out", "interacted_by"), max_users_per_item=2)
    corpus = prepared(tmp_path, settings)
    assert_equal(asked(corpus, settings, 5), built(corpus, settings, 5))


@pytest.mark.parametrize("change", ["settings", "train", "top"])
def test_another_graph_is_built_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture, change: str) -> None:
    corpus, settings, top = prepared(tmp_path), SMALL_GRAPH, 3
    if change == "settings":
        settings = GraphSettings(sample_size=1, top_k_similar=3)
    elif change == "train":
        corpus = corpus.with_train((Part.TRAIN, Part.VALIDATION))
    else:
        top = 102
    with caplog.at_level(logging.INFO):
        found = asked(corpus, settings, top)
    assert {"settings": "other settings (graph.sample_size)", "train": "other train sessions", "top": "102"}[
        change
    ] in caplog.text
    assert_equal(found, built(corpus, settings, top))


def test_damage_is_refused(tmp_path: Path) -> None:
    corpus = prepared(tmp_path)
    file = tmp_path / "corpus" / GRAPH / "similar.parquet"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(CorpusError, match=r"graph/similar\.parquet has changed"):
        asked(corpus, SMALL_GRAPH, 3)
    file.unlink()
    with pytest.raises(CorpusError, match="damaged"):
        asked(corpus, SMALL_GRAPH, 3)


def test_a_corpus_in_memory_has_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    corpus = replace(prepared(tmp_path), folder=None)
    with caplog.at_level(logging.INFO):
        assert_equal(asked(corpus, SMALL_GRAPH, 3), built(corpus, SMALL_GRAPH, 3))
    assert "taken" not in caplog.text


def test_a_corpus_with_a_graph_is_replaced(tmp_path: Path) -> None:
    prepared(tmp_path)
    prepare(LOG, tmp_path / "corpus", small(), overwrite=True)
    assert not (tmp_path / "corpus" / GRAPH).exists()
