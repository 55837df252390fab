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
from segue.serving.recommender import Answer, Recommender

_BASKET = 3
_POPULAR = 20
_HOUSEHOLDS = 60
_WIDTH = 90


def show(recommender: Recommender, corpus: Corpus, k: int) -> None:
    """Print the basket, and for each of the two households what it usually buys and its k recommendations."""
    basket = usual_basket(corpus)
    first, second = unlike_households(recommender, corpus, basket, k)
    out.print("\nTwo households, the same basket, two lists. In the basket:")
    _print_text(" + ".join(map(recommender.name, basket)))
    for user in (first, second):
        answer = recommender.recommend(user, basket, k=k, exclude_seen="session")
        often = " + ".join(map(recommender.name, _favourites(corpus, user, basket)))
        out.print()
        _print_text(f"Household {user}, which often buys {often}:")
        _print_list(recommender, answer)


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
    """Of the households with the most train baskets, the two whose lists of k for `basket` share the fewest items."""
    baskets = np.bincount(corpus.train.user, minlength=corpus.n_users)[: corpus.n_users]
    known = [corpus.user_ids[user] for user in np.argsort(-baskets, kind="stable")[:_HOUSEHOLDS]]
    lists = {
        user: {entry.item for entry in recommender.recommend(user, basket, k=k, exclude_seen="session")}
        for user in known
    }
    return min(itertools.combinations(known, 2), key=lambda two: len(lists[two[0]] & lists[two[1]]))


def _favourites(corpus: Corpus, user: str, basket: list[str], most: int = 3) -> list[str]:
    """The items that a household has most often bought in train, those of `basket` aside."""
    own = corpus.user_ids.index(user)
    train = corpus.train
    bought = np.bincount(train.items[np.repeat(train.user, train.lengths) == own], minlength=corpus.n_items)
    ordered = [corpus.item_ids[item] for item in np.argsort(-bought, kind="stable") if bought[item]]
    return [item for item in ordered if item not in basket][:most]


def _print_text(text: str) -> None:
    """Print a text in lines that fit a terminal."""
    out.print(textwrap.fill(text, _WIDTH))


def _print_list(recommender: Recommender, answer: Answer) -> None:
    table = Table("", Column("recommended", max_width=40), Column("because of", max_width=52), box=None)
    for rank, entry in enumerate(answer, start=1):
        table.add_row(f"{rank}", recommender.name(entry.item), reason(entry.because, recommender))
    out.print(table)


def reason(because: Mapping[str, Any], recommender: Recommender) -> str:
    """What raised an item's score most: the household's earlier baskets, an item of this basket, or both.

    The ``text`` of a recommendation also says what comes right after what. The products of these baskets are shuffled,
    so the demo leaves that out.
    """
    top = max(because["session"], key=lambda part: part["contribution"], default=None)
    near = top["contribution"] if top is not None else 0.0
    here = [recommender.name(top["item"])] if top is not None and near > 0 else []
    if because["user"] > max(near, 0.0):
        return " + ".join(["its earlier baskets", *here])
    return here[0] if here else "popular with everybody"
