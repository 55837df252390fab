"""Warnings about a log that is hard to believe: an order inside sessions that nobody clicked, impossible times, ids.

They are computed once for each log that is read: ``segue check`` shows them, ``segue prepare`` and ``segue fit`` say
them too, and the corpus keeps them in its manifest.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from segue.data.engine import one_row
from segue.data.log.facts import LogFacts
from segue.data.log.ids_of_log import count_ids, id_warnings, number_of, shown
from segue.data.log.moments import iso
from segue.data.log.order_evidence import OrderEvidence, order_evidence
from segue.data.log.session_ids import session_id_warnings
from segue.data.log.tabular import counted
from segue.data.log.timestamp_units import YEAR_1980
from segue.data.tables import Engine
from segue.settings.units import DAY

_NEARLY_ALL = 0.9
_ENOUGH = 5
_SHUFFLE = "shuffle the events inside each session with a fixed seed, and draw no conclusion about order from this log"


def count_duplicates(connection: Engine) -> int:
    """Rows of ``log`` that repeat an earlier row in every column that Segue reads."""
    (duplicates,) = one_row(
        connection,
        """
        SELECT (SELECT count(*) FROM log) - count(*)
        FROM (SELECT DISTINCT user_id, item_id, time, session_id, event_type FROM log)
        """,
    )
    return int(duplicates)


def log_warnings(connection: Engine, facts: LogFacts, null_words: Sequence[str]) -> list[str]:
    """All warnings about the table ``log``, whose sessions ``session_steps`` describes; makes ``id_counts``."""
    count_ids(connection)
    warnings = Warnings(connection, facts, int(time.time() * 1000), null_words)
    return warnings.collect(order_evidence(connection), duplicates=count_duplicates(connection))


@dataclass(frozen=True)
class Warnings:
    """Collects the warnings about one log, from the tables ``log`` and ``id_counts``.

    Attributes:
        now: the present in epoch milliseconds.
        null_words: the words that the log was read with as missing values.
    """

    connection: Engine
    facts: LogFacts
    now: int
    null_words: Sequence[str] = ()

    def collect(self, evidence: OrderEvidence, *, duplicates: int) -> list[str]:
        """All warnings about the log; each says what is wrong and what to do."""
        return [
            *self._rows(duplicates),
            *self._order(evidence),
            *self._times(),
            *self._session_ids(),
            *id_warnings(self.connection, self.null_words),
        ]

    def _rows(self, duplicates: int) -> Iterator[str]:
        yield from self.facts.notes
        if self.facts.rows_dropped:
            dropped = f"{self.facts.rows_dropped:,} of {self.facts.rows_read:,} rows"
            reasons = counted(self.facts.dropped)
            yield f"{dropped} are no events and left out ({reasons}); prepare and fit do so only with --drop-invalid"
        if duplicates:
            yield (
                f"{duplicates:,} rows repeat an earlier row exactly: if they were logged twice, remove them; "
                "sessions.drop_repeats removes those that follow each other"
            )
        if number_of(self.connection, "user_id") < 2:
            yield "all events are of one user: a log of two users or more is needed; is columns.user_id right?"

    def _order(self, evidence: OrderEvidence) -> Iterator[str]:
        ordered = self.facts.has_order
        if self.facts.dates_only and not ordered:
            yield (
                "timestamps are dates only: the order inside a day is not known; give times, or name a column that "
                f"orders the events of a day with columns.order, or give session ids and {_SHUFFLE}"
            )
        if evidence.of_two and evidence.one_time >= _NEARLY_ALL and not ordered:
            yield (
                f"in {evidence.one_time:.1%} of the sessions of two events or more all events carry one timestamp, so "
                "their order is only that of the rows: unless the rows are known to stand in true order, name a column "
                f"that orders them with columns.order, or {_SHUFFLE}"
            )
        if evidence.of_three >= _ENOUGH and evidence.sorted_by_id >= _NEARLY_ALL:
            yield (
                f"{evidence.sorted_by_id:.1%} of the sessions of three events or more are sorted by item id "
                f"({evidence.sorted_by_chance:.1%} would be by chance): this order was made, not clicked, and gives "
                f"the next item away; {_SHUFFLE}"
            )

    def _times(self) -> Iterator[str]:
        if self.facts.relative_times:
            yield (
                "times count from an unknown start and are read as seconds: if they count something else, set "
                "columns.timestamp_unit (such as ms or minutes); gaps between events are right then, calendar times "
                "are not; add the start if it is known"
            )
            return
        for condition, where, advice in (
            ("time < 0", "lie before 1970 (negative epoch times)", "mend or remove them"),
            (
                f"time >= 0 AND time < {YEAR_1980}",
                "lie in the years 1970 to 1979",
                "this is often a sign of missing times: mend or remove them",
            ),
            (
                f"time > {self.now + DAY}",
                "lie in the future",
                "is the unit of the timestamps right? mend or remove them",
            ),
        ):
            count, user, item, moment = one_row(
                self.connection,
                "SELECT count(*), min_by(user_id, event_row), min_by(item_id, event_row), min_by(time, event_row) "
                f"FROM log WHERE {condition}",
            )
            if count:
                of_user = f" of user {shown(user)}" if user is not None else ""
                yield (
                    f"{count:,} events {where}, such as that{of_user} with item {shown(item)} at {iso(moment)}: "
                    f"{advice}"
                )

    def _session_ids(self) -> Iterator[str]:
        if self.facts.has_session_id:
            yield from session_id_warnings(self.connection, self.facts.nulls["session_id"])
