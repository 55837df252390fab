"""The reference of settings says of each what it may be, what it is by default, and what it means."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field

from segue.data.batches import UserWindow, Window
from segue.settings import Settings
from segue.settings.base import Config
from segue.settings.reference import Entry, assignments, entries, table
from segue.settings.units import Count, Duration, Fraction

SECTIONS = {name: type(getattr(Settings(), name)) for name in Settings.model_fields}


class Inner(Config):
    """A table of keys. Its second sentence.

    Its second paragraph.
    """

    size: int = Field(3, ge=1, le=1_000)
    """Size of something."""


class Outer(Config):
    """Every kind of setting."""

    needed: str
    """Text that must be set."""
    rate: float | None = Field(None, gt=0, lt=1)
    """A rate | of
    something."""
    kind: Literal["one", "other"] = "one"
    bounded: tuple[Count, ...] = (1, 2)
    gap: Duration | None = None
    share: Fraction = 0.25
    inner: Inner = Inner(size=7)
    unset: Inner | None = None
    """A table that may be unset."""


def test_the_entries_say_values_default_and_meaning() -> None:
    found = {entry.key: entry for entry in entries(Outer, "outer")}
    assert found["outer.needed"] == Entry("outer.needed", "text", "must be set", "Text that must be set.")
    assert found["outer.rate"].values == "a number, above 0 and below 1; or unset"
    assert found["outer.rate"].default == "unset"
    assert (found["outer.kind"].values, found["outer.kind"].default) == ('"one" or "other"', '`"one"`')
    assert (found["outer.bounded"].values, found["outer.bounded"].default) == (
        "a list of a whole number, 1 to 1,000,000,000",
        "`[1, 2]`",
    )
    assert found["outer.gap"].values == "a duration such as 30min or 8h (units ms, s, min, h, d); or unset"
    assert found["outer.share"].values == "a number, above 0 and below 1"


def test_a_table_of_keys_is_followed_by_its_keys_with_the_values_that_it_is_given() -> None:
    found = {entry.key: entry for entry in entries(Outer, "outer")}
    assert found["outer.inner"] == Entry(
        "outer.inner", "a table of keys", "see its keys", "A table of keys. Its second sentence."
    )
    assert found["outer.inner.size"] == Entry(
        "outer.inner.size", "a whole number, 1 to 1,000", "`7`", "Size of something."
    )
    assert found["outer.unset"].values == "a table of keys; or unset"
    assert found["outer.unset.size"].default == "`3`"


def test_a_cell_of_the_table_is_one_line_without_columns_of_its_own() -> None:
    (row,) = [line for line in table(Outer, "outer").splitlines() if "outer.rate" in line]
    assert row == "| `outer.rate` | a number, above 0 and below 1; or unset | unset | A rate \\| of something. |"


def test_nested_keys_become_assignments() -> None:
    nested = {"model": {"window": {"length": 2}, "memory": ("session",)}, "training": {"shuffle": "events"}}
    assert list(assignments(nested)) == [
        "model.window.length = 2",
        'model.memory = ["session"]',
        'training.shuffle = "events"',
    ]


def test_a_setting_without_a_sentence_is_noticed() -> None:
    assert [entry.key for entry in entries(Outer, "outer") if not entry.meaning] == [
        "outer.kind",
        "outer.bounded",
        "outer.gap",
        "outer.share",
    ]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_of_a_section_has_a_sentence(section: str) -> None:
    silent = [entry.key for entry in entries(SECTIONS[section], section) if not entry.meaning]
    assert not silent, f"write a docstring under {', '.join(silent)}"


@pytest.mark.parametrize("window", [Window, UserWindow])
def test_every_setting_of_a_window_has_a_sentence(window: type[Window]) -> None:
    assert all(entry.meaning for entry in entries(window, "window"))


def test_every_section_has_a_sentence() -> None:
    assert all(field.description for field in Settings.model_fields.values())
