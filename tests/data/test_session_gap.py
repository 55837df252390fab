"""`segue check` counts exactly the sessions that `segue prepare` forms, whatever the log."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import costly
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from segue.data import engine
from segue.data.log.check import GAPS, SessionFigures, check_log
from segue.data.log.order_evidence import mark_sessions
from segue.data.log.read import read_log
from segue.data.preparation.sessions import form_sessions
from segue.settings import Settings, compose
from segue.settings.units import milliseconds

START = 1_700_000_000_000
# Waits at, just below and just above every gap, and none at all: a tie.
WAITS = sorted({0, 1, *(milliseconds(gap) + off for gap in GAPS for off in (-1, 0, 1))})

rows = st.lists(
    st.tuples(st.sampled_from("uvw"), st.sampled_from("abc"), st.sampled_from(WAITS), st.sampled_from("st")),
    min_size=1,
    max_size=30,
)


def table_of(drawn: list[tuple[str, str, int, str]], shift: int, *, with_ids: bool) -> pa.Table:
    """Events whose times rise by the drawn waits, user by user; `shift` turns the rows, so that none is sorted."""
    times: dict[str, int] = {}
    events = []
    for user, item, wait, session in drawn:
        times[user] = times.get(user, START) + wait
        events.append({"user_id": user, "item_id": item, "timestamp": times[user], "session_id": session})
    turned = pa.Table.from_pylist(events[shift % len(events) :] + events[: shift % len(events)])
    return turned if with_ids else turned.drop_columns(["session_id"])


def prepared(log: pa.Table, settings: Settings, cut: str, scratch: Path) -> tuple[SessionFigures, int]:
    """The figures of the sessions that the preparation forms, and the sessions that the warnings are about."""
    with engine.connect(settings.preparation, scratch) as connection:
        read_log(connection, log, settings.columns)
        gap = milliseconds(settings.sessions.gap)
        mark_sessions(connection, gap)
        marked = engine.one_row(connection, "SELECT count(DISTINCT visit) FROM visits")
        ledger = form_sessions(connection, settings.sessions, settings.filters)
        (step,) = [step for step in ledger.steps if step.step == "sessions"]
        figures = engine.one_row(
            connection,
            """
            SELECT count(*), avg(events), count(*) FILTER (events >= 3) / count(*)
            FROM (SELECT count(*) AS events FROM events GROUP BY session_key)
            """,
        )
    assert step.sessions == figures[0]
    return SessionFigures(cut, *figures), int(marked[0])


@costly.examples(15)
@given(drawn=rows, shift=st.integers(0, 30), with_ids=st.booleans())
def test_check_counts_the_sessions_that_prepare_forms(
    drawn: list[tuple[str, str, int, str]], shift: int, with_ids: bool
) -> None:
    log = table_of(drawn, shift, with_ids=with_ids)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        checked = {each.cut: each for each in check_log(log, compose({}), scratch).sessions}
        assert set(checked) == ({"session_id"} if with_ids else set(GAPS))
        for cut, figures in checked.items():
            whole: dict[str, Any] = {"drop_repeats": False, "max_length": 1000}
            settings = compose({"sessions": whole if with_ids else {**whole, "gap": cut}})
            expected, marked = prepared(log, settings, cut, scratch)
            assert figures == expected
            assert marked == expected.sessions
