"""The scale of eq. (1)'s reciprocals: exact while it fits, as fine as it can be beyond."""

import math

from hypothesis import given
from hypothesis import strategies as st

from segue.graph.reciprocals import scale_of_reciprocals


def test_sessions_of_up_to_twenty_items_are_exact_however_many_they_are():
    assert scale_of_reciprocals(20, 10**10) == math.lcm(*range(1, 21)) == 232_792_560
    assert scale_of_reciprocals(30, 100_000) == math.lcm(*range(1, 31))


def test_the_scale_is_no_larger_than_the_sizes_ask_for():
    assert scale_of_reciprocals(4, 10) == 12
    assert scale_of_reciprocals(0, 0) == 1


@given(st.integers(1, 400), st.integers(1, 10**9))
def test_sums_fit_and_reciprocals_are_exact_or_nearly_so(longest, n_sessions):
    scale = scale_of_reciprocals(longest, n_sessions)
    assert scale * n_sessions <= 2**62
    sizes = range(1, longest + 1)
    assert all(scale % size == 0 for size in sizes if size <= 20)
    if any(scale % size for size in sizes):
        assert scale * n_sessions > 2**60, "as fine as it can be, but for a power of two"
