"""Check of what a model needs against what a corpus holds, before anything is built."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from segue.contract.model import Need, SessionModel
from segue.data.corpus import Corpus
from segue.data.log.attributes import categorical, check_names
from segue.errors import ConfigError, CorpusError


def check_needs(model: SessionModel, corpus: Corpus) -> None:
    """Raise CorpusError when the train part of the corpus lacks what the model says it needs, naming the need."""
    if not len(corpus.train):
        raise CorpusError("the corpus has no train sessions; prepare it with weaker filters")
    for need in sorted(model.needs):
        found = _LACKS[need](model, corpus)
        if found:
            raise CorpusError(f"the model needs {need}: {found}; choose another model, or prepare another corpus")


def _lacks_history(_: SessionModel, corpus: Corpus) -> str:
    sessions = np.bincount(corpus.train.user, minlength=corpus.n_users)[: corpus.n_users]
    if (sessions > 1).any():
        return ""
    return (
        f"none of the {corpus.n_users:,} known users has two train sessions" if corpus.n_users else "no user is known"
    )


def _lacks_time(_: SessionModel, corpus: Corpus) -> str:
    times = corpus.train.times
    return "" if times.min() < times.max() else f"all {len(times):,} train events carry the same timestamp"


def _lacks_graph(_: SessionModel, corpus: Corpus) -> str:
    """Say so if no session holds two different items, which transitions and co-occurrences both need."""
    train = corpus.train
    first = np.repeat(train.items[train.offsets[:-1]], train.lengths)
    return (
        "" if (train.items != first).any() else f"none of the {len(train):,} train sessions holds two different items"
    )


def _lacks_attributes(model: SessionModel, corpus: Corpus) -> str:
    tables = {"item": corpus.items, "user": corpus.users}
    known = [f"{owner}.{column}" for owner, table in tables.items() for column in categorical(table.column_names)]
    try:
        check_names(model.attribute_columns, known)
    except ConfigError as error:
        return str(error)
    return ""


_LACKS: dict[Need, Callable[[SessionModel, Corpus], str]] = {
    "history": _lacks_history,
    "time": _lacks_time,
    "graph": _lacks_graph,
    "attributes": _lacks_attributes,
}
