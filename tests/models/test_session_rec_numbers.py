"""Scores that session-rec's own programs give, on a log that is written out here.

Program: github.com/rn5l/session-rec at 5dcd583, files algorithms/knn/{vsknn,stan,vstan,uvsknn,uvstan,iknn}.py and
algorithms/extensions/reminder.py, unchanged, under numpy 2.4 and pandas 3.1 (np.in1d as np.isin, pympler as an empty
module). The train sessions below went in as one row per event in order of user and session, times in seconds; then each
running session was played item by item through predict_next, and the scores of items 0 to 6 after its last item were
rounded to twelve digits. The constructors' arguments stand beside the numbers.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import worlds
from worlds import DAY, SECOND, TEST, TRAIN

from segue.data.corpus import Corpus

# Users, their sessions and the day on which each starts; an event per minute. Several sessions repeat items.
USERS = [
    [[0, 1, 2, 1], [2, 3, 0], [4, 1, 4]],
    [[1, 2, 2, 5], [0, 5, 3]],
    [[3, 4, 0], [2, 1, 0, 6]],
]
DAYS = [[0, 3, 6], [1, 4], [2, 5]]
# Users 0 and 1 go on, on days 9 and 8. The item after each running session is only there to make it an event.
RUNNING, ON_DAY = [[2, 1, 0, 6], [5, 0, 6]], [9, 8]

NUMBERS: dict[str, tuple[dict[str, Any], list[list[float]]]] = {
    # VMContextKNN(100, 1000, similarity="vec", weighting="quadratic", weighting_score="quadratic", idf_weighting=1)
    "official_v_sknn": (
        {},
        [
            [
                2.771942416696, 1.497343894733, 1.942834640273, 1.915716299661,
                0.684184392736, 0.855215571373, 1.527508966177,
            ],
            [
                3.508239621131, 1.378236994016, 2.046473112326, 3.001859023129,
                0.923648930194, 1.478375698075, 1.472955074528,
            ],
        ],
    ),
    # STAN(500, 2500, lambda_spw=1.02, lambda_snh=5, lambda_inh=2.05)
    "official_stan": (
        {},
        [
            [
                0.860718359889, 0.484626556131, 0.326894557382, 0.237194683499,
                0.16411601176, 0.155327137842, 0.194126274948,
            ],
            [
                0.932987907855, 0.194629812469, 0.243714983739, 0.388598846515,
                0.099977089763, 0.384082912687, 0.157785877788,
            ],
        ],
    ),
    # VSKNN_STAN(500, 2500, lambda_spw=1.02, lambda_snh=5, lambda_inh=2.05, lambda_ipw=1.02, lambda_idf=1)
    "official_vstan": (
        {},
        [
            [
                1.150326191542, 0.517259647649, 0.39026287821, 0.438169231323,
                0.207397068648, 0.301664783389, 0.571878563569,
            ],
            [
                1.246912435951, 0.250449108024, 0.300070573639, 0.717857817717,
                0.184687464007, 0.794834323687, 0.464823018754,
            ],
        ],
    ),
    # UVMContextKNN(50, 500, similarity="vec", weighting="quadratic", weighting_score="quadratic", idf_weighting=1,
    # extend_session_length=3, boost_own_sessions=2.5, reminders=True, remind_strategy="hybrid", remind_sessions_num=3,
    # weight_base=7, weight_IRec=1, weight_SSim=1)
    "vsknn_ebr": (
        {},
        [
            [8.5, 5.838130641055, 7.489108423976, 5.337327763729, 2.209289063067, 1.04260420779, 1.86220565771],
            [
                8.162876313752, 2.371507356014, 3.10557999064, 8.777777777778,
                1.014492753623, 8.494941075009, 1.456042421103,
            ],
        ],
    ),
    # U_VSKNN_STAN(1000, 10000, lambda_spw=1.4525, lambda_snh=100, lambda_inh=3.62, lambda_ipw=0.4525, lambda_idf=5,
    # extend_session_length=7, boost_own_sessions=3.7, reminders=True, remind_strategy="hybrid",
    # remind_sessions_num=10, weight_base=9, weight_IRec=2, weight_SSim=0)
    "vstan_ebr, by age alone": (
        {"remind": {"sessions": 10, "base": 9.0, "recency": 2.0, "similarity": 0.0}},
        [
            [10.0, 8.573464324627, 8.191142007031, 8.655054778857, 3.689757891927, 1.545277882797, 3.242931228746],
            [6.038981527104, 1.853708177592, 2.263080363418, 11.0, 0.846063950121, 10.211312129437, 1.255176137988],
        ],
    ),
    # The same with weight_IRec=0, weight_SSim=2, but for two lines of uvstan.py: predict_next reuses the name `items`
    # for the items that have a score, and so compares those with the user's sessions instead of the running session.
    # Here they are called `scored`.
    "vstan_ebr": (
        {},
        [
            [
                10.407350269213, 8.573927180447, 8.598723704154, 8.251575679925,
                2.445977509961, 1.545277882797, 3.242931228746,
            ],
            [
                5.594022041321, 1.156816604875, 2.011615882381, 10.554346190315,
                0.846063950121, 10.21165935166, 1.255176137988,
            ],
        ],
    ),
    # The same with remind_sessions_num=2, weight_IRec=3.
    "vstan_ebr, the last two sessions": (
        {"remind": {"sessions": 2, "base": 9.0, "recency": 3.0, "similarity": 2.0}},
        [
            [
                12.077333249491, 10.573232896716, 10.268359542567, 10.732330164675,
                6.689757891927, 1.545277882797, 3.242931228746,
            ],
            [
                8.592980555468, 2.870634678479, 3.725774032991, 13.554346190315,
                0.846063950121, 13.211138518326, 1.255176137988,
            ],
        ],
    ),
}  # fmt: skip

# ItemKNN(n_sims=100, lmbd=20, alpha=0.5): scores after item 0, 1, ..., 6.
ITEM_KNN = [
    [0.0, 0.08, 0.12, 0.125108648434, 0.041702882811, 0.042640143271, 0.043643578047],
    [0.12, 0.0, 0.16, 0.0, 0.041702882811, 0.042640143271, 0.043643578047],
    [0.12, 0.16, 0.0, 0.041702882811, 0.0, 0.085280286542, 0.043643578047],
    [0.125108648434, 0.0, 0.041702882811, 0.0, 0.04347826087, 0.044455422447, 0.0],
    [0.041702882811, 0.083405765623, 0.0, 0.04347826087, 0.0, 0.0, 0.0],
    [0.042640143271, 0.042640143271, 0.042640143271, 0.044455422447, 0.0, 0.0, 0.0],
    [0.043643578047, 0.043643578047, 0.043643578047, 0.0, 0.0, 0.0, 0.0],
]


def log() -> Corpus:
    users = [[*own, *RUNNING[number : number + 1]] for number, own in enumerate(USERS)]
    starts = [[day * DAY for day in [*days, *ON_DAY[number : number + 1]]] for number, days in enumerate(DAYS)]
    parts = [[*([TRAIN] * len(own)), *([TEST] * (number < len(RUNNING)))] for number, own in enumerate(USERS)]
    return worlds.corpus_of(users, parts, starts=starts, step=60 * SECOND)


@pytest.mark.parametrize("name", NUMBERS)
def test_session_neighbours(name: str) -> None:
    options, wanted = NUMBERS[name]
    corpus = log()
    model = worlds.fitted({"model": {"name": "session_knn", "preset": name.split(",")[0], **options}}, corpus)
    found = worlds.scores_of(model, worlds.events_of(model, corpus))[[2, 4]]  # the last event of either session
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-10)


@pytest.mark.parametrize("item", range(7))
def test_item_neighbours(item: int) -> None:
    model = worlds.fitted({"model": {"name": "item_knn", "preset": "official"}}, log())
    found = worlds.scores_of(model, worlds.request_of(model, [item]))[0]
    torch.testing.assert_close(found, torch.tensor(ITEM_KNN[item], dtype=torch.float64), rtol=0, atol=1e-11)
