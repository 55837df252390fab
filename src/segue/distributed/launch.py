"""How processes that ``torchrun`` has started find each other: the environment they read, and the group they form."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from segue.errors import UserMistake, first_line

if TYPE_CHECKING:  # the command line asks who it is before torch is loaded
    from segue.distributed.processes import Processes

MINUTES = "SEGUE_WAIT_MINUTES"
"""The variable of the environment that says how long the processes wait for each other."""
_DEFAULT_MINUTES = 30.0
_PAUSE = 0.02
"""Seconds between two looks for the others."""
_NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class Place(NamedTuple):
    """Which of the processes of a group this one is, and how many there are."""

    rank: int
    size: int


def place_in(environment: Mapping[str, str]) -> Place:
    """The place that ``torchrun`` gave to this process, or the only one. Raises UserMistake where it makes no sense."""
    if not all(environment.get(name) for name in _NEEDED):
        return Place(0, 1)
    try:
        place = Place(int(environment["RANK"]), int(environment["WORLD_SIZE"]))
    except ValueError:
        place = Place(0, 0)
    if not 0 <= place.rank < place.size:
        raise UserMistake(
            f"RANK and WORLD_SIZE must be a number and a larger one, found {environment['RANK']!r} and"
            f" {environment['WORLD_SIZE']!r}; start with torchrun, which sets them, or unset them"
        )
    return place


def was_restarted(environment: Mapping[str, str]) -> bool:
    """Whether ``torchrun`` has started this process again because one of the group had ended."""
    return environment.get("TORCHELASTIC_RESTART_COUNT", "0") not in ("", "0")


@contextmanager
def joined() -> Iterator[Processes]:
    """The processes that this one was started with, which have found each other; itself alone where there are none.

    Raises UserMistake where one of them does not come in time.
    """
    from segue.distributed.processes import ALONE, Processes

    place = place_in(os.environ)
    if place.size == 1:
        yield ALONE
        return
    import torch
    import torch.distributed.nn  # imported later, its functions would have the group as a default and keep it for good
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    minutes = _minutes(os.environ)
    limit = timedelta(minutes=minutes)
    try:
        store, rank, size = next(iter(rendezvous("env://", timeout=limit)))
        backend = "gloo"
        if torch.cuda.is_available():
            backend = "cpu:gloo,cuda:nccl"
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        name = _meeting(store, rank, size, 60 * minutes)
        store = distributed.PrefixStore(name, store)  # type: ignore[attr-defined]
        distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=limit)
    except (RuntimeError, ValueError) as error:
        raise UserMistake(
            f"rank {place.rank} of {place.size} has waited {minutes:g} minutes for the others and not met them all"
            f" ({first_line(error)[:200]}); see that all are started and reach {os.environ['MASTER_ADDR']}:"
            f"{os.environ['MASTER_PORT']}; {MINUTES} sets the minutes"
        ) from None
    processes = Processes(rank, size, minutes, store)
    try:
        yield processes
    finally:
        processes.leave()


def _meeting(store: Any, rank: int, size: int, seconds: float) -> str:
    """A name for this meeting, the same in all processes, under which they leave word for each other.

    torchrun keeps one store for all its starts, and what a killed process has left there would mislead those of the
    next start. So each says a word that nobody has said before, and waits for an answer to that very word.

    Raises RuntimeError where one does not come in time.
    """
    word = uuid4().hex
    if rank > 0:
        store.set(f"segue/hello/{rank}", word)
        name: str = store.get(f"segue/answer/{word}").decode()  # waits
        store.set(f"segue/here/{name}/{rank}", "")
        return name
    missing, until = set(range(1, size)), time.monotonic() + seconds
    while missing:
        for other in sorted(missing):
            hello = f"segue/hello/{other}"
            if store.check([hello]):
                store.set(f"segue/answer/{store.get(hello).decode()}", word)
            if store.check([f"segue/here/{word}/{other}"]):
                missing.remove(other)
        if time.monotonic() > until:
            raise RuntimeError(f"rank {min(missing)} did not come")
        time.sleep(_PAUSE)
    return word


def _minutes(environment: Mapping[str, str]) -> float:
    asked = environment.get(MINUTES) or str(_DEFAULT_MINUTES)
    try:
        minutes = float(asked)
    except ValueError:
        minutes = math.nan
    if not 0 < minutes <= 1e6:
        raise UserMistake(f"{MINUTES} must be a number of minutes above 0, found {asked!r}")
    return minutes
