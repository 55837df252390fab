"""Paired tests over users: known vectors, scipy, sums done by hand, and a verdict that does not overclaim."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from segue.evaluation.metrics import METRICS, averages
from segue.evaluation.significance import (
    Difference,
    UserMeans,
    cluster_bootstrap,
    differences,
    holm,
    paired_t_test,
    user_means,
    verdict,
    wilcoxon,
)

# Student's sleep data (1908): hours gained under two drugs by the same ten patients; t = 4.0621, p = 0.002833.
FIRST = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])
SECOND = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
PROBABILITIES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_the_tests_give_students_published_result() -> None:
    assert paired_t_test(FIRST - SECOND) == pytest.approx(0.002833, abs=5e-7)


@given(seed=st.integers(0, 2**32 - 1), users=st.integers(2, 60))
def test_the_tests_equal_scipy_on_pairs(seed: int, users: int) -> None:
    first, second = np.random.default_rng(seed).normal(size=(2, users))
    assert paired_t_test(first - second) == pytest.approx(stats.ttest_rel(first, second).pvalue, rel=1e-9)
    assert wilcoxon(first - second) == pytest.approx(stats.wilcoxon(first, second).pvalue, rel=1e-9)


def test_wilcoxon_counts_all_sign_patterns() -> None:
    """Five distinct differences: p is the share of the 32 sign patterns at least as extreme."""
    difference = np.array([1.0, 2.0, -3.0, 4.0, 5.0])
    ranks = np.arange(1, 6)
    sums = [abs(sum(ranks * signs)) for signs in itertools.product((-1, 1), repeat=5)]
    assert wilcoxon(difference) == pytest.approx(np.mean(np.array(sums) >= abs(1 + 2 - 3 + 4 + 5)))


def test_wilcoxon_with_ties_and_zeros_equals_scipy() -> None:
    tied = np.array([0.5, 0.5, 0.5, -0.5, 0.25, 0.25, 0.0, 0.0, 1.0, 1.0, 0.5, -0.25, 0.25, 0.5, 0.75, 0.75])
    assert wilcoxon(tied) == pytest.approx(stats.wilcoxon(tied, method="asymptotic").pvalue)
    assert wilcoxon(np.append(FIRST - SECOND, 0.0)) == wilcoxon(FIRST - SECOND)


@pytest.mark.parametrize("difference", [np.zeros(5), np.zeros(1), np.zeros(0)])
def test_no_difference_is_certain_of_nothing(difference: np.ndarray) -> None:
    assert paired_t_test(difference) == 1.0
    assert wilcoxon(difference) == 1.0


def test_one_user_proves_nothing_and_equal_gains_do() -> None:
    assert paired_t_test(np.array([0.5])) == 1.0
    assert paired_t_test(np.full(9, 0.25)) == 0.0


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(PROBABILITIES)
def test_holm_lies_between_the_raw_p_and_bonferroni(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for raw, corrected in zip(p_values, adjusted, strict=True):
        assert raw <= corrected <= min(1.0, len(p_values) * raw)
    assert min(adjusted) == pytest.approx(min(1.0, len(p_values) * min(p_values)))
    for (a, b), (c, d) in itertools.combinations(zip(p_values, adjusted, strict=True), 2):
        assert a == c or (a < c) == (b < d) or b == d


@given(PROBABILITIES, st.randoms(use_true_random=False))
def test_holm_does_not_depend_on_the_order(p_values: list[float], random: Any) -> None:
    order = list(range(len(p_values)))
    random.shuffle(order)
    assert holm([p_values[k] for k in order]) == pytest.approx([holm(p_values)[k] for k in order])


def test_users_count_alike_and_seeds_are_averaged_first() -> None:
    """User 3 has ranks 1 and 30 in one seed, 30 and 30 in the other; user 8 always rank 2."""
    found = user_means([np.array([1, 2, 30]), np.array([30, 2, 30])], np.array([3, 8, 3]))
    assert found.events.tolist() == [2, 1]
    column = list(METRICS).index("HR@10")
    assert found.means[:, column].tolist() == [0.25, 1.0]
    assert found.means[1, list(METRICS).index("MRR@10")] == 0.5


@given(seed=st.integers(0, 2**32 - 1), events=st.integers(1, 40))
def test_user_means_average_to_the_tables_metrics(seed: int, events: int) -> None:
    random = np.random.default_rng(seed)
    rank, user = random.integers(1, 40, size=events), random.integers(5, size=events)
    found = user_means([rank], user)
    assert dict(zip(METRICS, found.means.mean(0), strict=True)) == pytest.approx(averages(rank, user))
    over_events = found.events @ found.means / found.events.sum()
    assert dict(zip(METRICS, over_events, strict=True)) == pytest.approx(averages(rank))


def test_the_bootstrap_is_seeded_and_draws_whole_users() -> None:
    difference = np.array([[0.0], [1.0], [0.0], [1.0]])
    assert (cluster_bootstrap(difference, seed=1) == cluster_bootstrap(difference, seed=1)).all()
    two, events = np.array([[0.0], [1.0]]), np.array([1, 3])
    drawn = {float(cluster_bootstrap(two, events, resamples=1, seed=seed)[0, 0]) for seed in range(30)}
    assert drawn == {0.0, 0.75, 1.0}  # the first user twice, each once, the second twice
    alone = cluster_bootstrap(np.array([[0.3, -0.2]]))
    assert alone == pytest.approx(np.array([[0.3, -0.2], [0.3, -0.2]]))


def test_the_bootstrap_agrees_with_the_normal_interval() -> None:
    difference = np.random.default_rng(4).normal(0.1, 1.0, size=(2000, 1))
    half = 1.96 * difference.std() / math.sqrt(len(difference))
    low, high = cluster_bootstrap(difference)[:, 0]
    assert [low, high] == pytest.approx([difference.mean() - half, difference.mean() + half], abs=half / 8)


def _of(values: np.ndarray, events: np.ndarray | None = None) -> UserMeans:
    means = np.repeat(values[:, None], len(METRICS), axis=1).astype(float)
    return UserMeans(np.ones(len(values), dtype=np.int64) if events is None else events, means)


def test_a_clear_gain_is_called_better_and_its_mirror_worse() -> None:
    random = np.random.default_rng(0)
    base = random.random(200) * 0.5
    gained = _of(base + 0.1 + 0.02 * random.random(200))
    found = differences(gained, {"old": _of(base)})["old"]["HR@10"]
    assert found.significant
    low, high = found.by_user_interval
    assert 0.1 < low < found.by_user < high < 0.12
    assert verdict("new", "old", "HR@10", found).startswith("new is better than old: HR@10 +1")
    mirrored = differences(_of(base), {"new": gained})["new"]["HR@10"]
    assert verdict("old", "new", "HR@10", mirrored).startswith("old is worse than new: HR@10 -1")
    assert mirrored.t_test == pytest.approx(found.t_test)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_model_does_not_differ_from_itself(seed: int) -> None:
    same = _of(np.random.default_rng(seed).random(30))
    found = differences(same, {"itself": same})["itself"]["MRR@20"]
    assert (found.t_test_holm, found.wilcoxon_holm, found.by_user_interval) == (1.0, 1.0, (0.0, 0.0))
    assert verdict("a", "b", "MRR@20", found).startswith("no significant difference between a and b: MRR@20 +0.00")


def test_tests_that_point_apart_decide_nothing() -> None:
    """Most users lose a little, a few gain so much that the mean rises: neither model is simply better."""
    random = np.random.default_rng(1)
    change = np.concatenate([np.full(700, -0.01), np.full(300, 0.5)]) + 1e-6 * random.random(1000)
    found = differences(_of(0.4 + change), {"old": _of(np.full(1000, 0.4))})["old"]["HR@5"]
    assert found.by_user > 0
    opposed = differences(_of(0.4 + np.sort(change)[:730]), {"old": _of(np.full(730, 0.4))})["old"]["HR@5"]
    assert opposed.by_user > 0
    assert max(opposed.t_test_holm, opposed.wilcoxon_holm) < 0.05
    assert not opposed.significant
    assert verdict("new", "old", "HR@5", opposed).startswith("no significant difference")


def test_every_comparison_of_the_table_is_paid_for() -> None:
    random = np.random.default_rng(5)
    subject = _of(random.random(40))
    others = {f"m{k}": _of(random.random(40)) for k in range(4)}
    found = differences(subject, others)
    raw = [found[label][name].t_test for label in others for name in METRICS]
    assert [found[label][name].t_test_holm for label in others for name in METRICS] == holm(raw)
    alone = differences(subject, {"m0": others["m0"]})["m0"]["HR@10"]
    assert alone.t_test_holm <= found["m0"]["HR@10"].t_test_holm


def test_events_weigh_the_difference_over_events() -> None:
    events = np.array([1, 3])
    found = differences(_of(np.array([1.0, 0.0]), events), {"zero": _of(np.zeros(2), events)})["zero"]["HR@10"]
    assert (found.by_user, found.by_event) == (0.5, 0.25)


def test_other_events_are_refused() -> None:
    with pytest.raises(ValueError, match="same users and events"):
        differences(_of(np.zeros(2)), {"other": _of(np.zeros(3))})


def test_significance_needs_both_tests() -> None:
    both: dict[str, Any] = {"users": 9, "by_user": 0.1, "by_event": 0.1, "t_test": 0.0, "wilcoxon": 0.0}
    intervals: dict[str, Any] = {"by_user_interval": (0.0, 0.2), "by_event_interval": (0.0, 0.2)}
    for t_test, signed, agree, expected in [
        (0.01, 0.01, True, True),
        (0.05, 0.01, True, False),
        (0.01, 0.05, True, False),
        (0.01, 0.01, False, False),
    ]:
        found = Difference(**both, **intervals, ranks_agree=agree, t_test_holm=t_test, wilcoxon_holm=signed)
        assert found.significant is expected


def test_no_p_is_said_to_be_zero() -> None:
    events = np.full(3000, 2)
    better, worse = (UserMeans(events, np.full((3000, len(METRICS)), value)) for value in (0.5, 0.25))
    found = differences(better, {"old": worse})["old"]["HR@10"]
    assert found.t_test_holm == 0
    assert "p of under 1e-300 (t-test)" in verdict("new", "old", "HR@10", found)


def test_equal_models_stay_equal_where_sums_differ_in_the_last_bit() -> None:
    events = np.array([3, 2, 1, 4])
    means = np.full((4, len(METRICS)), 0.3)
    off = means + np.array([1e-16, 2e-16, 1e-16, 3e-16])[:, None]
    found = differences(UserMeans(events, off), {"other": UserMeans(events, means)})["other"]["HR@10"]
    assert (found.by_user, found.t_test, found.wilcoxon) == (0.0, 1.0, 1.0)


def test_the_interval_over_events_weighs_users_by_their_events() -> None:
    events = np.array([1000, 1, 1, 1, 1])
    means = np.zeros((5, len(METRICS)))
    better = means + np.array([0.5, 0.0, 0.1, 0.0, 0.1])[:, None]
    found = differences(UserMeans(events, better), {"other": UserMeans(events, means)})["other"]["HR@10"]
    wanted = cluster_bootstrap(better, events)[:, list(METRICS).index("HR@10")]
    assert found.by_event_interval == pytest.approx(tuple(wanted))
    assert found.by_event_interval[1] > found.by_user_interval[1]
