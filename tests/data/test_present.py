"""The present of a log is its last time, but for a few stray ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.data.present import present

DAY = 86_400_000
START = 1_400_000_000_000
YEAR_2038 = 2_145_916_800_000
TIMES = st.lists(st.integers(0, 400 * DAY), min_size=1, max_size=60)


@given(TIMES)
def test_where_nothing_is_far_apart_it_is_the_greatest_time(offsets: list[int]) -> None:
    dense = np.array([START + offset % (90 * DAY) for offset in offsets])
    assert present(dense) == dense.max()


@given(st.lists(st.integers(0, 40 * DAY), min_size=500, max_size=600), st.integers(1, 5))
def test_a_handful_of_stray_events_does_not_move_it(offsets: list[int], stray: int) -> None:
    times = np.array([START + offset for offset in offsets])
    with_stray = np.concatenate([times, YEAR_2038 + np.arange(stray) * 400 * DAY])
    np.random.default_rng(0).shuffle(with_stray)
    assert present(with_stray) == times.max()


@pytest.mark.parametrize("years", [1, 5, 20])
def test_a_long_log_has_stray_events_too(years: int) -> None:
    times = START - np.linspace(0, years * 365 * DAY, 1000).astype(np.int64)
    assert present(np.append(times, YEAR_2038)) == START


def test_zeros_in_the_past_do_not_hide_stray_events() -> None:
    times = START + np.arange(1000) * 3_600_000
    assert present(np.concatenate([np.zeros(5, dtype=np.int64), times, [YEAR_2038]])) == times.max()


def test_many_events_after_a_pause_are_the_present() -> None:
    times = START + np.arange(1000) * 3_600_000
    later = YEAR_2038 + np.arange(50)
    assert present(np.concatenate([times, later])) == later.max()


@pytest.mark.parametrize("times", [[5], [0, 10**15], [1, 2, 3, 10**15]])
def test_a_few_events_alone_are_never_stray(times: list[int]) -> None:
    assert present(np.array(times)) == max(times)


def test_no_events() -> None:
    assert present(np.zeros(0, dtype=np.int64)) == 0
