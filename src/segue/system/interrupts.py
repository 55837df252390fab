"""Handling of Ctrl-C: when it leaves a block at once, and when it has to wait. Only the main thread can receive it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruptible() -> Iterator[None]:
    """Leave the block as KeyboardInterrupt when Ctrl-C is pressed, whatever error it turned into on the way.

    The query engine ends a query with an error of its own, or drops the interrupt. A second Ctrl-C does not disturb
    the cleaning up. Where the parent process ignores Ctrl-C, it stays ignored.
    """
    pressed = threading.Event()
    before = signal.getsignal(signal.SIGINT)
    if not callable(before):
        yield
        return

    def press(number: int, frame: FrameType | None) -> None:
        first = not pressed.is_set()
        pressed.set()
        if first:
            before(number, frame)

    with _handler(press):
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
        signal.raise_signal(signal.SIGINT)


@contextmanager
def noted() -> Iterator[threading.Event]:
    """Make Ctrl-C set the event and interrupt nothing: the block looks at the event, and leaves where it may."""
    pressed = threading.Event()
    with _handler(lambda *_: pressed.set()):
        yield pressed


@contextmanager
def _handler(press: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is None:  # None: not Python's to put back
        yield
        return
    signal.signal(signal.SIGINT, press)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
