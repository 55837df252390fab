"""Two households, the same basket, two lists: which basket and which households, by rules over the train data."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.table import Column, Table

from segue.cli.console import out
from segue.data.corpus import Corpus
from segue.serving.answer import Answer
from segue.serving.recommender import Recommender

_BASKET = 3
_POPULAR = 20
_HOUSEHOLDS = 60
_FAVOURITES = 3
_WIDTH = 90


def show(recommender: Recommender, corpus: Corpus, k: int) -> None:
    """Print the basket, and for each of the two households what it usually buys and its k recommendations."""
    basket = usual_basket(corpus)
    first, second = unlike_households(recommender, corpus, basket, k)
    out.print(f"\nThe same basket, two lists: those of the two households, among the {_HOUSEHOLDS} with the most")
    out.print("baskets, whose lists differ most. In the basket, the three most often bought together:")
    _print_text(" + ".join(map(recommender.name, basket)))
    for user in (first, second):
        times, baskets = bought_before(recommender, corpus, user)
        favourites = [item for item in sorted(times, key=lambda item: -times[item]) if item not in basket][:_FAVOURITES]
        out.print()
        _print_text(f"Household {user}, which often buys {' + '.join(map(recommender.name, favourites))}:")
        answer = recommender.recommend(user, basket, k=k, exclude_seen="session")
        _print_list(recommender, answer, times, baskets)


def usual_basket(corpus: Corpus) -> list[str]:
    """The three of the twenty most popular items that are most often in one train basket together, most popular first.

    Items of fewer than three: all of them.
    """
    train = corpus.train
    popular = np.argsort(-np.bincount(train.items, minlength=corpus.n_items), kind="stable")[:_POPULAR]
    session = np.repeat(np.arange(len(train.lengths)), train.lengths)
    holds = np.zeros((len(train.lengths), corpus.n_items), dtype=bool)
    holds[session, train.items] = True
    size = min(_BASKET, len(popular))
    together = max(itertools.combinations(popular, size), key=lambda items: int(holds[:, items].all(axis=1).sum()))
    return [corpus.item_ids[item] for item in together]


def unlike_households(recommender: Recommender, corpus: Corpus, basket: list[str], k: int) -> tuple[str, str]:
    """The two households whose lists of k for `basket` share the fewest items, of those with the most train baskets."""
    baskets = np.bincount(corpus.train.user, minlength=corpus.n_users)[: corpus.n_users]
    known = [corpus.user_ids[user] for user in np.argsort(-baskets, kind="stable")[:_HOUSEHOLDS]]
    lists = {
        user: {entry.item for entry in recommender.recommend(user, basket, k=k, exclude_seen="session")}
        for user in known
    }
    return min(itertools.combinations(known, 2), key=lambda two: len(lists[two[0]] & lists[two[1]]))


def bought_before(recommender: Recommender, corpus: Corpus, user: str) -> tuple[dict[str, int], int]:
    """Item → in how many of the baskets that the model learned from a household bought it; and how many these are."""
    history = recommender.artifact.history
    own = history.user == corpus.user_ids.index(user)
    times = np.bincount(history.items[np.repeat(own, history.lengths)], minlength=corpus.n_items)
    return {corpus.item_ids[item]: int(times[item]) for item in np.flatnonzero(times)}, int(own.sum())


def _print_text(text: str) -> None:
    """Print a text in lines that fit a terminal."""
    out.print(textwrap.fill(text, _WIDTH))


def _print_list(recommender: Recommender, answer: Answer, times: Mapping[str, int], baskets: int) -> None:
    columns = Column("recommended", max_width=40), Column("bought before", justify="right"), "mostly because of"
    table = Table("", *columns, box=None)
    for rank, entry in enumerate(answer, start=1):
        before = f"{times.get(entry.item, 0)} of {baskets} baskets"
        table.add_row(f"{rank}", recommender.name(entry.item), before, reason(entry.because, recommender))
    out.print(table)


def reason(because: Mapping[str, Any], recommender: Recommender) -> str:
    """What raised an item's score most: the household's earlier baskets, or an item of this basket.

    The ``text`` of a recommendation also says what comes right after what. The products of these baskets are shuffled,
    so the demo leaves that out.
    """
    top = max(because["session"], key=lambda part: part["contribution"], default=None)
    near = top["contribution"] if top is not None else 0.0
    if because["user"] > max(near, 0.0):
        return "its earlier baskets"
    return recommender.name(top["item"]) if top is not None and near > 0 else "its popularity"
