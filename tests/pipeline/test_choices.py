"""What ``segue fit`` chooses from train: the rule of each setting, and what a user leaves open."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from segue import models
from segue.data.corpus import Corpus, Sessions
from segue.pipeline.choices import CHOSEN, EPOCHS, LeftOpen, duration, from_train
from segue.pipeline.settings import left_open
from segue.settings import Nested
from segue.settings.units import milliseconds

HOUR, DAY = 3_600_000, 86_400_000


def corpus(lengths: list[int], *, users: int = 1, between: int = DAY, n_items: int = 50) -> Corpus:
    """Sessions of these lengths, each of the next user, a start every `between` ms and a click every second."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    items = (np.arange(offsets[-1]) % n_items).astype(np.int32)
    times = np.concatenate([between * number + 1000 * np.arange(length) for number, length in enumerate(lengths)])
    user = (np.arange(len(lengths)) % users).astype(np.int32)
    train = Sessions(items, times.astype(np.int64), offsets, user, np.arange(len(lengths)))
    return cast(Corpus, SimpleNamespace(train=train, n_items=n_items, n_users=users))


def chosen(train: Corpus, overrides: Nested | None = None) -> dict[str, Any]:
    settings = models.with_preset(overrides or {})
    return {choice.setting: choice for choice in from_train(train, settings, LeftOpen(frozenset(CHOSEN)))}


@pytest.mark.parametrize(
    ("lengths", "value", "reason"),
    [
        ([3] * 10, 20, "100 % of the prefixes of train are no longer"),
        ([21] * 10, 20, "100 % of the prefixes of train are no longer"),
        ([41] * 10, 40, "100 % of the prefixes of train are no longer"),
        ([401] * 2, 100, "the longest that is chosen; 25 % of the prefixes of train are no longer"),
    ],
)
def test_the_window_holds_the_prefixes_of_train(lengths: list[int], value: int, reason: str) -> None:
    choice = chosen(corpus(lengths))["model.window.length"]
    assert (choice.value, choice.reason) == (value, reason)
    assert choice.line == f"model.window.length = {value}: {reason}"


@pytest.mark.parametrize("seed", range(8))
def test_no_shorter_window_would_hold_as_many(seed: int) -> None:
    lengths = np.random.default_rng(seed).integers(2, 120, 60)
    value = chosen(corpus(list(lengths)))["model.window.length"].value
    prefixes = np.concatenate([np.arange(1, length) for length in lengths])
    assert value == 100 or np.mean(prefixes <= value) >= 0.99
    assert value == 20 or np.mean(prefixes <= value - 1) < 0.99


def test_half_lives_come_from_the_gaps_of_train() -> None:
    found = chosen(corpus([50] * 9, between=DAY))
    assert found["model.history_half_life"].value == "5d"
    assert found["model.history_half_life"].reason == (
        "five times the median gap between two sessions of one user in train, 1d"
    )
    assert found["model.trend_half_life"].value == "5d"
    assert found["model.trend_half_life"].reason.endswith("two events of one item in train, 1d")
    short = chosen(corpus([50] * 9, between=60_000))["model.trend_half_life"]
    assert short.value == "1h"
    assert short.reason.startswith("the shortest; ")


def test_a_log_without_a_second_session_says_nothing_of_a_history() -> None:
    assert "model.history_half_life" not in chosen(corpus([5] * 4, users=4))


def test_the_size_of_the_vectors_grows_with_the_events() -> None:
    assert chosen(corpus([10] * 4, n_items=100))["model.dim"].value == 32
    assert chosen(corpus([10] * 80, n_items=99))["model.dim"].value == 64
    assert chosen(corpus([10] * 200, n_items=99))["model.dim"].value == 128
    many = chosen(corpus([100] * 1000, n_items=99_000))["model.dim"]
    assert (many.value, many.reason) == (128, "the default; train has 100,000 events or more")


@pytest.mark.parametrize("amount", [1, 5, 999, 61_000, HOUR, 11.7 * HOUR, DAY, 230 * DAY, 12_345 * DAY, 1e18])
def test_a_duration_is_a_setting_of_two_digits(amount: float) -> None:
    assert milliseconds(duration(amount)) == pytest.approx(min(amount, 9e14), rel=0.05)


@pytest.mark.parametrize(
    "overrides", [{"model": {"name": "hg_gnn"}}, {"model": {"preset": "segue"}}, {"model": {"name": "popularity"}}]
)
def test_a_model_that_is_named_is_taken_to_the_letter(overrides: Nested) -> None:
    assert left_open("log.csv", overrides) is None


def test_what_is_asked_for_is_not_chosen() -> None:
    left = left_open("log.csv", {"model": {"window": {"length": 9}, "history_half_life": "3d"}})
    assert left is not None
    assert left.settings == {EPOCHS, *CHOSEN} - {"model.window.length", "model.history_half_life"}
    assert left.memory is not None
    assert models.label(left.memory) == "hg_gnn/memory"
    assert left.memory.model.options["history_half_life"] == "3d"
    assert EPOCHS not in cast(LeftOpen, left_open("log.csv", {"training": {"max_epochs": 2}})).settings


@pytest.mark.parametrize("option", [{"dim": 32}, {"dropout": 0.1}, {"layers": 0}, {"user_term": False}])
def test_an_option_of_the_vectors_asks_for_vectors(option: dict[str, Any]) -> None:
    left = left_open("log.csv", {"model": option})
    assert left is not None
    assert left.memory is None


@pytest.mark.parametrize("option", [{"memory_items": 9}, {"pointer": []}, {"window": {"history": 5}}])
def test_an_option_of_the_counts_leaves_the_vectors_open(option: dict[str, Any]) -> None:
    assert cast(LeftOpen, left_open("log.csv", {"model": option})).memory is not None
