"""SLIS, SLIT and SLIST: against a weighted ridge regression in plain loops, and against the authors' program.

The program is algorithms/slist/slist.py of github.com/jin530/SLIST at 629400a, with pandas' groupby called by one name
(``groupby('SessionIdx')``), which newer versions of pandas need; it computes in float32.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import worlds
from torch import Tensor
from worlds import DAY, SECOND

from segue.contract.model import SessionModel
from segue.data.arrays import FloatArray
from segue.data.corpus import Corpus
from segue.models import slist

SESSIONS = [[0, 1, 1, 2], [0, 2], [1, 3], [3, 0, 1, 2, 4], [5, 0]]
EXACT = {"rtol": 0.0, "atol": 1e-9}


def log() -> Corpus:
    """Session s ends after s days, a second between its events."""
    starts = [day * DAY - SECOND * (len(session) - 1) for day, session in enumerate(SESSIONS)]
    return worlds.corpus_of([SESSIONS], starts=[starts])


def fitted(name: str, **options: object) -> SessionModel:
    return worlds.fitted({"model": {"name": name, "n_weights": 0, "recent_items": None, **options}}, log())


def weights(model: SessionModel) -> Tensor:
    """B, read from the scores after each single item."""
    return torch.cat([worlds.scores_of(model, worlds.request_of(model, [item])) for item in range(6)])


def whole(recent: float | None) -> list[tuple[FloatArray, FloatArray, float]]:
    """Input, target and weight of the rows of SLIS."""
    rows = [np.bincount(session, minlength=6).clip(max=1).astype(float) for session in SESSIONS]
    return [(row, row, ages(recent)[day]) for day, row in enumerate(rows)]


def partial(near: float | None, past: str, recent: float | None, reach: int = 20) -> list[tuple[FloatArray, ...]]:
    """Input, target and weight of the rows of SLIT, item by item."""
    rows = []
    for day, session in enumerate(SESSIONS):
        for t in range(len(session) - 1):
            before, after = np.zeros(6), np.zeros(6)
            for s, item in enumerate(session):
                if s <= t and t - s < (1 if past == "last" else reach):
                    before[item] += 1 if near is None else math.exp((s - t) / near)
                if t < s <= t + reach:
                    after[item] += 1 if near is None else math.exp((t + 1 - s) / near)
            rows.append((before, after, ages(recent)[day]))
    return rows


def ages(recent: float | None) -> list[float]:
    return [1.0 if recent is None else math.exp((day - 4) / recent) for day in range(5)]


def ridge(rows: list[tuple[FloatArray, ...]], reg: float, *, normalise: bool) -> Tensor:
    """Weighted least squares with √λ I under the rows, all columns at once."""
    given = [np.sqrt(weight) * (x / x.sum() if normalise else x) for x, _, weight in rows]
    target = [np.sqrt(weight) * y for _, y, weight in rows]
    left = np.vstack([*given, np.sqrt(reg) * np.eye(6)])
    return torch.from_numpy(np.linalg.lstsq(left, np.vstack([*target, np.zeros((6, 6))]))[0])


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize(("text", "recent"), [(None, None), ("2d", 2.0)])
def test_slis_is_a_weighted_ridge_regression_where_no_bound_binds(
    normalise: bool, text: str | None, recent: float | None
) -> None:
    found = weights(fitted("slis", reg=0.5, bound=1e9, normalise=normalise, recent=text))
    torch.testing.assert_close(found, ridge(whole(recent), 0.5, normalise=normalise), **EXACT)


@pytest.mark.parametrize("bound", [0.0, 0.3])
@pytest.mark.parametrize("normalise", [True, False])
def test_no_item_of_slis_explains_itself_by_more_than_the_bound(normalise: bool, bound: float) -> None:
    diagonal = weights(fitted("slis", reg=0.1, bound=bound, normalise=normalise)).diagonal()
    assert (diagonal <= bound).all()
    assert diagonal.max() == pytest.approx(bound)


def test_slis_with_bound_0_on_plain_sessions_is_ease() -> None:
    plain = fitted("slis", reg=0.5, bound=0.0, normalise=False)
    ease = worlds.fitted({"model": {"name": "ease", "n_weights": 0, "reg": 0.5}}, log())
    torch.testing.assert_close(weights(plain), weights(ease), **EXACT)


@pytest.mark.parametrize("past", ["all", "last"])
@pytest.mark.parametrize(("near", "normalise"), [(None, True), (1.5, True), (1.5, False)])
def test_slit_is_a_weighted_ridge_regression(past: str, near: float | None, normalise: bool) -> None:
    options = {"preset": "slit", "reg": 0.5, "past": past, "near": near, "normalise": normalise, "recent": "3d"}
    found = weights(fitted("slist", **options))
    torch.testing.assert_close(found, ridge(partial(near, past, 3.0), 0.5, normalise=normalise), **EXACT)


def test_slist_shares_its_rows_between_both() -> None:
    found = weights(fitted("slist", reg=0.5, share=0.3, past="all", near=1.5, recent="2d"))
    rows = [(x, y, 0.3 * weight) for x, y, weight in whole(2.0)]
    rows += [(x, y, 0.7 * weight) for x, y, weight in partial(1.5, "all", 2.0)]
    torch.testing.assert_close(found, ridge(rows, 0.5, normalise=True), **EXACT)


def test_past_and_future_reach_as_far_as_the_window() -> None:
    found = weights(fitted("slist", preset="slit", reg=0.5, past="all", near=None, window={"length": 2}))
    torch.testing.assert_close(found, ridge(partial(None, "all", None, 2), 0.5, normalise=True), **EXACT)


def test_small_blocks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    one = weights(fitted("slist", past="all"))
    monkeypatch.setattr(slist, "PAIRS_PER_BLOCK", 5)
    torch.testing.assert_close(weights(fitted("slist", past="all")), one, **EXACT)


@pytest.mark.parametrize("name", ["slis", "slist"])
def test_a_click_loses_weight_with_the_clicks_after_it(name: str) -> None:
    model = fitted(name, recent_items=2.0, window={"length": 20, "history": 10})
    b = weights(model)
    (found,) = worlds.scores_of(model, worlds.request_of(model, [0, 2], past=[4, 4, 1]))
    known = [(2, 0), (0, 1), (1, 2), (4, 3), (4, 4)]
    wanted = sum((math.exp(-after / 2) * b[item] for item, after in known), torch.zeros(6).double())
    torch.testing.assert_close(found, wanted, **EXACT)


def test_slit_learns_what_follows() -> None:
    corpus = worlds.cycle()
    model = worlds.fitted({"model": {"name": "slist", "preset": "slit"}}, corpus)
    assert worlds.hit_rate(model, corpus, 1) >= 0.9


# SLIST(alpha=1.0, reg=0.1, epsilon=0.5, session_weight=2).enc_w after fit, by item.
SLIS = [
    [0.5, 0.25405, 0.73917, 0.13274, 0.2167, 0.94708],
    [0.32352, 0.5, 0.3648, 0.94186, 0.20763, -0.07405],
    [1.02452, 0.43551, 0.5, 0.22756, 0.37149, -0.43523],
    [0.15029, 1.00405, 0.15487, 0.5, 0.3273, -0.00822],
    [0.58606, 0.54793, 0.63282, 0.62436, 0.5, -0.08387],
    [1.07143, -0.18146, -0.52798, -0.09482, -0.15479, 0.5],
]
# SLIST(alpha=0.3, reg=0.5, train_weight=1.5, session_weight=2, direction="part").
BOTH = [
    [0.11287, 0.40857, 0.45295, -0.01379, 0.1517, 0.13327],
    [-0.00627, 0.07709, 0.30178, 0.32076, 0.20124, -0.01435],
    [0.10346, 0.01693, 0.04663, 0.0191, 0.35872, -0.01008],
    [0.43592, 0.38807, 0.19963, 0.06593, 0.14789, -0.01497],
    [0.06247, 0.05896, 0.05738, 0.06612, 0.05941, -0.00135],
    [0.66003, -0.02403, -0.02664, 0.00081, -0.00892, 0.10981],
]
# SLIST(alpha=0.0, reg=0.5, train_weight=2, direction="sr").
SLIT = [
    [0.0, 0.74472, 0.56412, 0.0, 0.10511, 0.0],
    [0.0, 0.22222, 0.57923, 0.22222, 0.13478, 0.0],
    [0.0, 0.0, 0.0, 0.0, 0.66667, 0.0],
    [0.66667, 0.40435, 0.24525, 0.0, 0.14875, 0.0],
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    [0.66667, 0.0, 0.0, 0.0, 0.0, 0.0],
]


@pytest.mark.parametrize(
    ("name", "options", "wanted"),
    [
        ("slis", {"reg": 0.1, "bound": 0.5, "recent": "2d"}, SLIS),
        ("slist", {"share": 0.3, "reg": 0.5, "near": 1.5, "recent": "2d", "past": "all"}, BOTH),
        ("slist", {"preset": "slit", "reg": 0.5, "near": 2.0, "past": "last"}, SLIT),
    ],
)
def test_numbers_of_the_authors_program(name: str, options: dict[str, object], wanted: list[list[float]]) -> None:
    found = weights(fitted(name, **options))
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-5)
