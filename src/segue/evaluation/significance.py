"""Tests of whether one model is better than another or was merely lucky with its users. Pure functions.

The unit is the user: a user's events depend on one another, so with events as units every difference of 0.1 points
would look certain. Each user counts with the mean metric of their events, averaged over the seeds of a model first;
both models have seen identical events. Two tests look at the differences, the paired t-test and Wilcoxon's signed
ranks; Holm's correction pays for all comparisons of a table; an interval comes from sampling whole users with
replacement.

scipy.stats is imported where it is needed: a second of every command's start, and few commands test anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from segue.data.arrays import FloatArray, IntArray
from segue.evaluation.metrics import METRICS

ALPHA = 0.05
"""Level of significance: a difference counts when the p of both tests, corrected for all comparisons, is below it."""
FEWEST = 6
"""Least users for a verdict: five that all differ to one side do so by chance in one of 16 cases, six in one of 32."""
RESAMPLES = 2_000
"""Number of samples of users behind an interval."""
_DRAWN_AT_ONCE = 100_000
"""Users that are drawn together, in as many samples as that makes."""


@dataclass(frozen=True, eq=False)
class UserMeans:
    """The metrics of one model, user by user.

    Attributes:
        events: number of events of each user, [users], users in ascending order.
        means: [users, metrics], in the order of METRICS.
    """

    events: IntArray
    means: FloatArray


@dataclass(frozen=True)
class Gain:
    """Model minus reference in one metric.

    Attributes:
        users: number of users.
        by_user, by_event: the mean difference over users and over events.
        by_user_interval, by_event_interval: 95 % interval of these means, from samples of users with replacement.
    """

    users: int
    by_user: float
    by_user_interval: tuple[float, float]
    by_event: float
    by_event_interval: tuple[float, float]


@dataclass(frozen=True)
class Difference(Gain):
    """A gain, tested.

    Attributes:
        t_test, wilcoxon: two-sided p.
        t_test_holm, wilcoxon_holm: p after Holm's correction over the family.
        ranks_agree: whether the signed ranks point where the mean does.
    """

    t_test: float
    wilcoxon: float
    ranks_agree: bool
    t_test_holm: float = 1.0
    wilcoxon_holm: float = 1.0

    @property
    def significant(self) -> bool:
        """Whether both tests agree that there is a difference, in the direction of the mean."""
        return self.ranks_agree and max(self.t_test_holm, self.wilcoxon_holm) < ALPHA


def user_means(seeds: Sequence[IntArray], user: IntArray) -> UserMeans:
    """The metrics of each user, averaged over seeds and over the user's events.

    Args:
        seeds: the ranks of one model on identical events, one array [events] per seed.
        user: user of each event, [events].
    """
    _, index, events = np.unique(user, return_inverse=True, return_counts=True)
    sums = np.zeros((len(events), len(METRICS)))
    for rank in seeds:
        sums += np.stack([np.bincount(index, metric(rank), len(events)) for metric in METRICS.values()], axis=1)
    return UserMeans(events, sums / (len(seeds) * events[:, None]))


def paired_t_test(difference: FloatArray) -> float:
    """Two-sided p of Student's paired t-test; 1 where nothing varies from zero, or there is a single user."""
    if len(difference) < 2 or not difference.any():
        return 1.0
    if np.ptp(difference) == 0:
        return 0.0  # the same non-zero difference with every user: t is infinite
    from scipy import stats

    return float(stats.ttest_1samp(difference, 0.0).pvalue)


def wilcoxon(difference: FloatArray) -> float:
    """Two-sided p of Wilcoxon's signed-rank test, zero differences left out; 1 where nothing else is left.

    Exact for up to 50 differences of distinct size; else by the normal approximation, corrected for ties.
    """
    apart = difference[difference != 0]
    if not len(apart):
        return 1.0
    from scipy import stats

    exact = len(apart) <= 50 and len(np.unique(np.abs(apart))) == len(apart)
    test = stats.wilcoxon(apart, method="exact") if exact else stats.wilcoxon(apart, method="approx")
    return float(test.pvalue)


def cluster_bootstrap(
    difference: FloatArray, weight: IntArray | None = None, *, resamples: int = RESAMPLES, seed: int = 0
) -> FloatArray:
    """95 % intervals of weighted means, whole users sampled with replacement.

    Args:
        difference: [users, metrics]. weight: [users], such as the number of events of each user; unset: all equal.

    Returns:
        [2, metrics]: the 2.5th and the 97.5th percentile.
    """
    users = len(difference)
    weights = np.ones(users) if weight is None else weight.astype(np.float64)
    random = np.random.default_rng(seed)
    means = np.empty((resamples, difference.shape[1]))
    block = max(1, _DRAWN_AT_ONCE // users)
    for first in range(0, resamples, block):
        rows = min(block, resamples - first)
        drawn = random.integers(users, size=(rows, users)) + users * np.arange(rows)[:, None]
        sampled = np.bincount(drawn.ravel(), minlength=rows * users).reshape(rows, users) * weights
        means[first : first + rows] = sampled @ difference / sampled.sum(1, keepdims=True)
    return np.percentile(means, [2.5, 97.5], axis=0)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979): each p times the number of hypotheses not yet rejected, never decreasing."""
    order = np.argsort(p_values, kind="stable")
    remaining = len(p_values) - np.arange(len(p_values))
    stepped = np.maximum.accumulate(np.minimum(np.asarray(p_values)[order] * remaining, 1.0))
    adjusted = np.empty(len(p_values))
    adjusted[order] = stepped
    return [float(p) for p in adjusted]


def gain(metric: str, subject: IntArray, other: IntArray, user: IntArray) -> Gain:
    """Subject minus other in one metric, untested, from the ranks of both on the same events.

    Args:
        subject, other: rank of the target of each event, [events]. user: user of each event, [events].
    """
    own, others = (user_means([rank], user) for rank in (subject, other))
    return _gains(_apart(own, others), own.events, seed=0)[metric]


def differences(
    subject: UserMeans, others: Mapping[str, UserMeans], *, seed: int = 0
) -> dict[str, dict[str, Difference]]:
    """Subject minus each other model, metric by metric; Holm's family is everything that is returned."""
    raw = {label: _differences(subject, other, seed) for label, other in others.items()}
    flat = [(label, name) for label, by_metric in raw.items() for name in by_metric]
    t_tests = holm([raw[label][name].t_test for label, name in flat])
    ranks = holm([raw[label][name].wilcoxon for label, name in flat])
    for (label, name), t_test, signed in zip(flat, t_tests, ranks, strict=True):
        raw[label][name] = replace(raw[label][name], t_test_holm=t_test, wilcoxon_holm=signed)
    return raw


def verdict(subject: str, other: str, metric: str, difference: Difference) -> str:
    """One sentence, in points (percent): which of the two is better, or that there is no significant difference."""
    low, high = (100 * bound for bound in difference.by_user_interval)
    numbers = (
        f"{metric} {100 * difference.by_user:+.2f} points over {difference.users:,} users [{low:+.2f}, {high:+.2f}],"
        f" p of {_text(difference.t_test_holm)} (t-test) and {_text(difference.wilcoxon_holm)} (Wilcoxon) after Holm"
    )
    if difference.significant:
        return f"{subject} is {'better' if difference.by_user > 0 else 'worse'} than {other}: {numbers}"
    return f"no significant difference between {subject} and {other}: {numbers}"


def _text(p: float) -> str:
    """The p as text: none is zero, and one too small for a float is said to be small."""
    return f"{p:.2g}" if p else "under 1e-300"


def _apart(subject: UserMeans, other: UserMeans) -> FloatArray:
    """Subject minus other, [users, metrics]."""
    if not np.array_equal(subject.events, other.events):
        raise ValueError("the two models were not measured on the same users and events")
    apart = subject.means - other.means
    # Sums of equal values may differ in the last bit from seed to seed; a tie must not become a rank.
    apart[np.abs(apart) < 1e-12] = 0.0
    return apart


def _gains(apart: FloatArray, events: IntArray, seed: int) -> dict[str, Gain]:
    by_user = cluster_bootstrap(apart, seed=seed)
    by_event = cluster_bootstrap(apart, events, seed=seed)
    return {
        name: Gain(
            users=len(events),
            by_user=float(apart[:, k].mean()),
            by_user_interval=(float(by_user[0, k]), float(by_user[1, k])),
            by_event=float(events @ apart[:, k] / events.sum()),
            by_event_interval=(float(by_event[0, k]), float(by_event[1, k])),
        )
        for k, name in enumerate(METRICS)
    }


def _differences(subject: UserMeans, other: UserMeans, seed: int) -> dict[str, Difference]:
    apart = _apart(subject, other)
    gains = _gains(apart, subject.events, seed)
    return {
        name: Difference(
            **vars(gains[name]),
            t_test=paired_t_test(apart[:, k]),
            wilcoxon=wilcoxon(apart[:, k]),
            ranks_agree=bool(_signed_ranks(apart[:, k]) * apart[:, k].mean() > 0),
        )
        for k, name in enumerate(METRICS)
    }


def _signed_ranks(difference: FloatArray) -> float:
    """Wilcoxon's statistic with its sign: ranks of the increases minus ranks of the decreases."""
    from scipy import stats

    apart = difference[difference != 0]
    return float(np.sign(apart) @ stats.rankdata(np.abs(apart)))
