"""The order of rows for models that carry a state from batch to batch.

Jobs (sessions, or the lives of users) are played on slots, one row per step; a slot that is done takes the next job.
All rows of a step are one batch, so a slot's state passes from each batch to the next.
"""

from __future__ import annotations

import heapq
from typing import Literal, NamedTuple

import numpy as np

from segue.data.arrays import IntArray
from segue.data.corpus import Sessions

Order = Literal["shuffled", "session_parallel", "user_sequential"]


class Schedule(NamedTuple):
    """Step and slot of each row, all [rows]; `continues`: whether the slot played the same job in the step before."""

    step: IntArray
    slot: IntArray
    continues: np.ndarray[tuple[int], np.dtype[np.bool_]]


def session_parallel(sessions: Sessions, session: IntArray, slots: int) -> Schedule:
    """Every session on one slot, the oldest first (Hidasi et al. 2016); `session` [rows] is
    ascending, one event per row."""
    jobs, first, length = _runs(session)
    start = sessions.times[sessions.offsets[jobs]]
    return _schedule(first, length, np.argsort(start, kind="stable"), slots)


def user_sequential(user: IntArray, unknown: int, slots: int) -> Schedule:
    """Every user on one slot, the longest life first, so that slots end together; `user` [rows] ascending.

    Sessions of unknown users have nothing to do with one another: each is a life of its own.
    """
    life = np.where(user == unknown, unknown + np.arange(len(user)), user)
    _, first, length = _runs(life)
    return _schedule(first, length, np.argsort(-length, kind="stable"), slots)


def _runs(key: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """The distinct values of an ascending key, the first row of each, and how many rows it has."""
    values, first, length = np.unique(key, return_index=True, return_counts=True)
    return values, first, length


def _schedule(first: IntArray, length: IntArray, order: IntArray, slots: int) -> Schedule:
    """Jobs in `order`, each on the slot that is free first; a job's rows follow one another from `first` on."""
    slot, begin = np.empty_like(first), np.empty_like(first)
    free = [(0, number) for number in range(min(slots, len(order)))]
    for job in order.tolist():
        begin[job], slot[job] = free[0]
        heapq.heapreplace(free, (int(begin[job] + length[job]), int(slot[job])))
    within = np.arange(int(length.sum())) - np.repeat(first, length)
    return Schedule(np.repeat(begin, length) + within, np.repeat(slot, length), within > 0)
