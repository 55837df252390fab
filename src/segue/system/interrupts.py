"""Handling of Ctrl-C, SIGTERM and SIGHUP: when they leave a block at once, and when they have to wait.

They are answered alike, by KeyboardInterrupt, wherever this process has an answer to them: the command line answers all
three, a program that imports Segue only Ctrl-C unless it says otherwise. Only the main thread can receive them.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, NoReturn

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that ask a process to end."""
_Answer = Callable[[int, FrameType | None], Any]


class Pressed(threading.Event):
    """Whether a signal has come, which one came last, and how many were answered."""

    number: int = signal.SIGINT
    answered: int = 0


_last = Pressed()


def stop(number: int, frame: FrameType | None = None) -> NoReturn:
    """Answer a signal by KeyboardInterrupt; :func:`exit_code` tells afterwards which one it was."""
    _last.number = number
    _last.answered += 1
    raise KeyboardInterrupt


def answered() -> int:
    """How many signals :func:`stop` has answered so far: an import in C may turn its answer into another error."""
    return _last.answered


def exit_code() -> int:
    """The exit code of a process that was asked to end: 130 by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP."""
    return 128 + _last.number


@contextmanager
def interruptible() -> Iterator[None]:
    """Leave the block as KeyboardInterrupt when Ctrl-C is pressed, whatever error it turned into on the way.

    The query engine ends a query with an error of its own, or drops the interrupt. A second Ctrl-C does not disturb
    the cleaning up. Where the parent process ignores Ctrl-C, it stays ignored.
    """
    pressed = threading.Event()

    def press(before: _Answer, number: int, frame: FrameType | None) -> None:
        first = not pressed.is_set()
        pressed.set()
        if first:
            before(number, frame)

    with _answering(press):
        try:
            yield
        except Exception:
            if not pressed.is_set():
                raise
    if pressed.is_set():
        raise KeyboardInterrupt


@contextmanager
def undisturbed() -> Iterator[None]:
    """Make Ctrl-C wait until the block is left: for steps that must not be half done."""
    with noted() as pressed:
        yield
    if pressed.is_set():
        signal.raise_signal(pressed.number)


@contextmanager
def noted() -> Iterator[Pressed]:
    """Make Ctrl-C set the event and interrupt nothing: the block looks at the event, and leaves where it may."""
    pressed = Pressed()

    def press(before: _Answer, number: int, frame: FrameType | None) -> None:
        pressed.number = _last.number = number
        pressed.set()

    with _answering(press):
        yield pressed


@contextmanager
def _answering(press: Callable[[_Answer, int, FrameType | None], None]) -> Iterator[None]:
    """Let `press` answer the signals that this process answers, given the answer that each had before."""
    before: dict[int, _Answer] = {}
    if threading.current_thread() is threading.main_thread():
        answers = {number: signal.getsignal(number) for number in STOPS}
        before = {number: answer for number, answer in answers.items() if callable(answer)}
    for number, answer in before.items():
        signal.signal(number, partial(press, answer))
    try:
        yield
    finally:
        for number, answer in before.items():
            signal.signal(number, answer)
