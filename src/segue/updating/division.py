"""From the joined log to sessions with numbers; the newest may be set apart, for two models to be compared on."""

from __future__ import annotations

from duckdb import DuckDBPyConnection

from segue.data.corpus import Corpus
from segue.data.engine import one_row
from segue.data.preparation.filters import apply_filters
from segue.data.preparation.ledger import Ledger
from segue.data.preparation.sessions import form_sessions
from segue.data.preparation.split import split
from segue.data.preparation.write import number_users_and_sessions
from segue.errors import CorpusError
from segue.evaluation.significance import FEWEST
from segue.settings import Settings, SplitSettings
from segue.settings.units import DAY
from segue.updating.join import LOG
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
    cut = cut_of(connection, int(whole.sessions.times.max()), source.newest) if apart else None
    if cut is not None and scope == "train":  # which sessions are test has to be known before anything is counted
        chosen = _with_test(connection, none, cut, "events")
        ledger = form_sessions(connection, settings.sessions, settings.filters, chosen)
    apply_filters(connection, ledger, settings.sessions, settings.filters)
    ledger.refuse_one_user()
    regular = "(SELECT * FROM events ANTI JOIN rare_users USING (user_key))"
    chosen = none if cut is None else _with_test(connection, none, cut, regular)
    removed = split(connection, ledger, chosen, scope)
    number_users_and_sessions(connection, scope, kept=True)
    _refuse_lost(connection, whole)
    return ledger, removed


def cut_of(connection: DuckDBPyConnection, old: int, newest: int | None) -> int:
    """After which time (epoch ms) a session has to end to be test, see :func:`divide`; `old`: the corpus's newest."""
    (last,) = one_row(connection, f"SELECT max(time) FROM {LOG}")
    if newest is not None:
        return max(int(last) - newest, old)
    share, sixth = one_row(
        connection,
        f"""
        WITH begun AS (
            SELECT user_key, max(time) AS finish FROM events GROUP BY user_key, session_key
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


def _with_test(connection: DuckDBPyConnection, chosen: SplitSettings, cut: int, events: str) -> SplitSettings:
    """The split whose test are the sessions that end after `cut` (epoch ms), of those in the SQL `events`."""
    later, total = one_row(
        connection,
        f"""
        SELECT count(*) FILTER (WHERE finish > {cut}), count(*)
        FROM (SELECT max(time) AS finish FROM {events} AS e GROUP BY session_key)
        """,
    )
    if not later or later == total:
        raise CorpusError(
            "the log has no session that ends after the newest event of the model's corpus, so there is nothing to"
            " compare two models on; give the log of the days since then"
        )
    # Half a session less, so that rounding the share down cannot move the cut.
    return chosen.model_copy(update={"test": (later - 0.5) / total})


def _refuse_lost(connection: DuckDBPyConnection, whole: Corpus) -> None:
    """Raise CorpusError where an item or known user of the old corpus has another number, or none."""
    items, users = (
        one_row(connection, query)[0]
        for query in (
            "SELECT count(*) FROM vocabulary JOIN item_codes USING (item_key) JOIN kept_items AS k ON item_id = id"
            " AND item = k.place",
            'SELECT count(*) FROM owners JOIN kept_users AS k ON user_id = k.id AND "user" = k.place WHERE known',
        )
    )
    if (items, users) != (whole.n_items, whole.n_users):
        raise CorpusError(
            f"{whole.n_items - items:,} items and {whole.n_users - users:,} users of the model would be lost by the"
            " filters of its corpus (filters.top_items and sessions.keep=drop do that when a log grows); prepare and"
            " train anew with segue fit"
        )
