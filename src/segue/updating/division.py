"""From the joined log to sessions with numbers; the newest may be set apart, for two models to be compared on."""

from __future__ import annotations

from duckdb import DuckDBPyConnection

from segue.data.corpus import Corpus
from segue.data.engine import one_row
from segue.data.log.moments import iso
from segue.data.preparation.filters import Passed, apply_filters
from segue.data.preparation.ledger import Ledger
from segue.data.preparation.sessions import form_sessions
from segue.data.preparation.split import split
from segue.data.preparation.write import number_users_and_sessions
from segue.errors import CorpusError
from segue.evaluation.significance import FEWEST
from segue.settings import Settings, SplitSettings
from segue.settings.units import DAY
from segue.updating.join import KEPT, SAME_EVENT
from segue.updating.source import Source


def divide(
    connection: DuckDBPyConnection, settings: Settings, whole: Corpus, source: Source, *, apart: bool
) -> tuple[Ledger, dict[str, int | None]]:
    """From the joined log to numbered sessions; returns the ledger, and what the split removed.

    Where sessions are set `apart`, test are those that end in the time `source.newest` before the newest event. Where
    none is named, they are the newest third of the new sessions, but of the last 24 hours only: so the candidate knows
    most of what is new by then. Where these are of fewer than six users, so many more that six can be compared.
    """
    # No share is test: a setting may not say so, since a preparation without test is of no use elsewhere.
    none = SplitSettings(protocol="global_time", validation=settings.split.validation).model_copy(update={"test": 0.0})
    ledger, scope = form_sessions(connection, settings.sessions, settings.filters, none), settings.filters.scope
    old, chosen = int(whole.sessions.times.max()), none
    if apart and scope == "train":  # which sessions are test has to be known before anything is counted
        named = f"(SELECT * FROM events WHERE user_key < {ledger.named_users})"
        chosen = _with_test(connection, none, cut_of(connection, old, source.newest, named), "events", old)
        ledger = form_sessions(connection, settings.sessions, settings.filters, chosen)
    apply_filters(connection, ledger, settings.sessions, settings.filters, _passed(settings))
    ledger.refuse_one_user()
    if apart and scope == "all":
        regular = "(SELECT * FROM events ANTI JOIN rare_users USING (user_key))"
        chosen = _with_test(connection, none, cut_of(connection, old, source.newest, regular), regular, old)
    removed = split(connection, ledger, chosen, scope, validate_late=True)
    number_users_and_sessions(connection, scope, kept=True)
    _refuse_lost(connection, whole)
    return ledger, removed


def _passed(settings: Settings) -> Passed:
    """The items, sessions and users of the corpus: what the filters let pass then may be rarer in it than it was in its
    log, and would be lost. A user who was rare then, and taught anonymously, may still be."""
    users = "kept_users ON user_id = id"
    if settings.filters.rare_users == "drop":
        users = f"(SELECT DISTINCT user_id FROM {KEPT}) AS known USING (user_id)"
    return Passed(
        items="SELECT item_key FROM item_codes JOIN kept_items ON item_id = id",
        sessions=f"""
            SELECT session_key FROM (
                SELECT session_key, item_id, time, user_id, session_id FROM events JOIN item_codes USING (item_key)
                JOIN user_codes USING (user_key) LEFT JOIN session_ids USING (session_key)
            ) AS log SEMI JOIN {KEPT} ON {SAME_EVENT}
        """,
        users=f"SELECT user_key FROM user_codes JOIN {users}",
    )


def cut_of(connection: DuckDBPyConnection, old: int, newest: int | None, events: str) -> int:
    """After which time (epoch ms) a session has to end to be test, see :func:`divide`.

    Args:
        old: the time of the corpus's newest event. events: SQL of those events that can be compared on.
    """
    (last,) = one_row(connection, f"SELECT max(time) FROM {events} AS e")
    if newest is not None:
        return max(int(last) - newest, old)
    share, sixth = one_row(
        connection,
        f"""
        WITH begun AS (
            SELECT user_key, max(time) AS finish FROM {events} AS e GROUP BY user_key, session_key
            HAVING count(*) > 1 AND min(time) > {old}
        )
        SELECT
            (SELECT finish FROM begun ORDER BY finish DESC LIMIT 1
             OFFSET (SELECT (count(*) + 2) // 3 FROM begun)),
            (SELECT max(finish) AS own FROM begun GROUP BY user_key ORDER BY own DESC LIMIT 1 OFFSET {FEWEST - 1})
        """,
    )
    cut = max(old if share is None else int(share), int(last) - DAY)
    return max(old, cut if sixth is None else min(cut, int(sixth) - 1))


def _with_test(connection: DuckDBPyConnection, chosen: SplitSettings, cut: int, events: str, old: int) -> SplitSettings:
    """The split whose test are the sessions that end after `cut`, of those in the SQL `events`; `old`: the newest event
    of the corpus (both epoch ms).

    Validation are new sessions only, at most half of those that are not test: the weights of before have learned the
    others, and would seem better on them than they are.
    """
    later, total, new = one_row(
        connection,
        f"""
        SELECT count(*) FILTER (WHERE finish > {cut}), count(*),
               count(*) FILTER (WHERE start > {old} AND finish <= {cut})
        FROM (SELECT min(time) AS start, max(time) AS finish FROM {events} AS e GROUP BY session_key)
        """,
    )
    if not later or later == total:
        raise CorpusError(
            f"the log has no session that ends after the newest event of the model's corpus, {iso(old)}, so there is"
            " nothing to compare two models on; give the log of the days since then, or, if that time cannot be true,"
            " train anew with segue fit on a log without it"
        )
    validation = min(chosen.validation, new // 2 / (total - later)) if new > 1 else chosen.validation
    # Half a session less, so that rounding the share down cannot move the cut.
    return chosen.model_copy(update={"test": (later - 0.5) / total, "validation": validation})


def _refuse_lost(connection: DuckDBPyConnection, whole: Corpus) -> None:
    """Raise CorpusError where an item or known user of the old corpus has gone; else all have their old numbers."""
    items, users = (
        one_row(connection, query)[0]
        for query in (
            "SELECT count(*) FROM vocabulary JOIN item_codes USING (item_key) JOIN kept_items ON item_id = id",
            "SELECT count(*) FROM owners JOIN kept_users ON user_id = id WHERE known",
        )
    )
    if (items, users) != (whole.n_items, whole.n_users):
        raise CorpusError(
            f"{whole.n_items - items:,} items and {whole.n_users - users:,} users of the model would be lost: by"
            " filters.top_items, or because their sessions become too long (sessions.max_length) or repeats; train anew"
            " with segue fit, on a log that holds all"
        )
