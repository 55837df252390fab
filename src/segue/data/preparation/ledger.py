"""The ledger of the preparation: how much each step left and how much it removed."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import Any

from segue.data.engine import one_row
from segue.data.tables import Engine
from segue.errors import CorpusError

logger = logging.getLogger("segue")


@dataclass(frozen=True)
class Step:
    """What is left after one step of the preparation, and how much the step removed.

    Attributes:
        step: the settings key of the step (``"filters.min_item_support"``), or ``"log"`` for the beginning.
        sessions: number of sessions; None before sessions are formed.
        users: number of users with an id; a session without a user has none.
    """

    step: str
    sessions: int | None
    events: int
    users: int
    items: int
    removed_events: int
    removed_sessions: int


class Ledger:
    """Counts the table ``events`` after each step, logs it, and stops the preparation when nothing is left.

    The table has user_key and item_key, and session_key once sessions are formed. `named_users` is the number of
    users with an id: keys from there on belong to sessions without a user.
    """

    def __init__(self, engine: Engine, named_users: int) -> None:
        self.steps: list[Step] = []
        self._engine = engine
        self.named_users = named_users

    def record(self, step: str, *, in_sessions: bool = True) -> Step:
        """Enter the step just done. Raises CorpusError, naming all steps so far, when no event is left."""
        key = "session_key" if in_sessions else "NULL"
        events, sessions, users, items = one_row(
            self._engine,
            f"""
            SELECT count(*), count(DISTINCT {key}),
                   count(DISTINCT CASE WHEN user_key < {self.named_users} THEN user_key END), count(DISTINCT item_key)
            FROM events
            """,
        )
        before = self.steps[-1] if self.steps else None
        done = Step(
            step=step,
            sessions=sessions if in_sessions else None,
            events=events,
            users=users,
            items=items,
            removed_events=before.events - events if before else 0,
            removed_sessions=before.sessions - sessions if before and before.sessions is not None else 0,
        )
        self.steps.append(done)
        _report(done)
        if not events:
            raise CorpusError(self._nothing_left())
        return done

    def refuse_one_user(self) -> None:
        """Raises CorpusError when fewer than two users with an id are left: there is nobody to tell apart."""
        first, left = self.steps[0].users, self.steps[-1].users
        if left < 2:
            reason = f" of {first:,}; {self._what_took()}; relax these settings, or" if left < first else ";"
            raise CorpusError(f"{left} user is left{reason} give a log of two users or more")

    def as_dicts(self) -> list[dict[str, Any]]:
        """The steps as they stand in the manifest."""
        return [asdict(step) for step in self.steps]

    def _nothing_left(self) -> str:
        log = self.steps[0]
        if not log.events:
            return "the log has no events"
        contents = f"{log.events:,} events ({log.users:,} users, {log.items:,} items)"
        advice = f"relax these settings{self._of_sessions_alone()}"
        return f"nothing is left of the log's {contents}: {self._what_took()}; {advice}"

    def _of_sessions_alone(self) -> str:
        """Advice for a log whose users have one session each, as where the sessions are the users."""
        formed = [step for step in self.steps if step.sessions is not None]
        if not formed or formed[0].sessions != formed[0].users:
            return ""
        return (
            " (each user has one session: --set filters.min_user_sessions=1 --set split.protocol=global_time prepares "
            "such a log)"
        )

    def _what_took(self) -> str:
        return "; ".join(
            f"{step.step} took {step.removed_events:,} events"
            + (f" and {step.removed_sessions:,} sessions" if step.removed_sessions else "")
            for step in self.steps
            if step.removed_events
        )


def _report(step: Step) -> None:
    sessions = "" if step.sessions is None else f"{step.sessions:,} sessions, "
    logger.info(
        "%s: %s%s events, %s users, %s items (removed %s events, %s sessions)",
        step.step,
        sessions,
        *(f"{count:,}" for count in (step.events, step.users, step.items)),
        f"{step.removed_events:,}",
        f"{step.removed_sessions:,}",
    )
