"""Ctrl-C inside a block: never lost, and never in the middle of what must not be half done."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

import duckdb
import pytest

from segue.data import engine
from segue.system.interrupts import exit_code, noted, stop, undisturbed


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def swallowed() -> None:
    with suppress(KeyboardInterrupt):
        press()


def renamed() -> None:
    try:
        press()
    except KeyboardInterrupt:
        raise RuntimeError("Query interrupted") from None


@pytest.mark.parametrize("step", [press, swallowed, renamed])
def test_an_interrupt_is_not_lost_on_its_way(step: Callable[[], None]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), engine.guarded("counting"), engine.guarded("reading"):
        step()
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupted_query_is_an_interrupt() -> None:
    """The engine calls it a RuntimeError. The query itself presses Ctrl-C: it is pressed while the query runs."""
    connection = duckdb.connect()

    def press_once(key: int) -> int:
        if key == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return key

    connection.create_function("press_once", press_once, ["BIGINT"], "BIGINT")  # type: ignore[list-item, arg-type]
    with pytest.raises(KeyboardInterrupt), engine.guarded("sorting"):
        connection.execute("CREATE TABLE sorted AS SELECT press_once(range) AS key FROM range(200000) ORDER BY key")


def test_pressed_again_it_does_not_break_into_the_cleaning_up() -> None:
    cleaned = []

    def step() -> None:
        try:
            press()
        finally:
            press()
            cleaned.append(True)

    with pytest.raises(KeyboardInterrupt), engine.guarded("preparing"):
        step()
    assert cleaned


def test_what_must_not_be_half_done_is_done_first() -> None:
    done = []

    def step() -> None:
        with undisturbed():
            press()
            done.append("published")
        done.append("afterwards")

    with pytest.raises(KeyboardInterrupt), engine.guarded("preparing"):
        step()
    assert done == ["published"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_the_process_answers_is_treated_like_ctrl_c(number: int) -> None:
    before = signal.signal(number, stop)
    done = []

    def step() -> None:
        with noted() as pressed:
            signal.raise_signal(number)
            done.append(pressed.number)
        with undisturbed():
            signal.raise_signal(number)
            done.append("published")
        done.append("afterwards")

    try:
        with pytest.raises(KeyboardInterrupt), engine.guarded("preparing"):
            step()
        assert done == [number, "published"]
        assert exit_code() == 128 + number
        assert signal.getsignal(number) is stop
    finally:
        signal.signal(number, before)
        with suppress(KeyboardInterrupt):
            stop(signal.SIGINT)


def test_a_signal_that_the_process_does_not_answer_is_left_to_the_system() -> None:
    with noted(), undisturbed():
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_ctrl_c_that_is_ignored_is_not_noted() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with noted() as pressed:
            press()
        assert not pressed.is_set()
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_another_thread_the_main_thread_keeps_its_answer() -> None:
    found = []

    def work() -> None:
        with engine.guarded("counting"), undisturbed():
            found.append(signal.getsignal(signal.SIGINT))

    thread = Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGINT)]
