"""Whether a new log has the form of the one that a corpus was made from: what is read otherwise would be silently
another log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from duckdb import DuckDBPyConnection

from segue.data.engine import one_row
from segue.data.lineage import form_of_log
from segue.data.log.facts import LogFacts
from segue.errors import LogError
from segue.settings import Settings
from segue.settings.units import DAY, SECOND
from segue.updating.join import KEPT, NEWS

_ANEW = "or train anew with segue fit"
_FEWEST_TIMES = 10
"""Events that say how fine the times of a log are."""


def settings_of(manifest: Mapping[str, Any], *, drop_invalid: bool) -> Settings:
    """The settings by which a log is read that a corpus is to grow by.

    Times that count from an unknown start are not told by the numbers of a later log, so their unit is said then.
    """
    settings = Settings.parse(manifest["settings"])
    columns, preparation = settings.columns, settings.preparation
    if form_of_log(manifest).get("relative_times") and not (columns.timestamp_unit or columns.timestamp_format):
        columns = columns.model_copy(update={"timestamp_unit": "s"})
    if drop_invalid:
        preparation = preparation.model_copy(update={"drop_invalid": True})
    return settings.model_copy(update={"columns": columns, "preparation": preparation})


@contextmanager
def without_set() -> Iterator[None]:
    """Say of advice to set something that an update has no settings of its own."""
    try:
        yield
    except LogError as error:
        if not any(word in str(error) for word in ("--set", "columns.", "csv.")):
            raise
        raise LogError(
            f"{error}; settings are those of segue fit, segue update takes them from the model's corpus: mend the log,"
            f" {_ANEW}"
        ) from None


def refuse_other_form(manifest: Mapping[str, Any], new: LogFacts, settings: Settings) -> None:
    """Raise LogError for a log of another form than that of the corpus's first one.

    Args:
        manifest: of the corpus. new: of the log. settings: of the corpus.
    """
    old, types = form_of_log(manifest), settings.filters.event_types
    if types and not new.has_event_type:
        raise LogError(
            f"{new.source}: the model's corpus keeps events of the type {', '.join(types)} (filters.event_types), and"
            f" the log has no column of types; give one that has it, {_ANEW}"
        )
    had = old.get("has_session_id", new.has_session_id)
    if had != new.has_session_id and settings.sessions.missing == "refuse":
        raise _other(new, *(("session ids", "none") if had else ("no session ids", "some")))
    relative = old.get("relative_times", new.relative_times)
    if relative != new.relative_times:
        words = ("times from an unknown start", "dates that are known")
        raise _other(new, *(words if relative else reversed(words)))


def refuse_other_resolution(connection: DuckDBPyConnection, new: LogFacts) -> None:
    """Raise LogError where one of log and corpus has times of whole seconds, or days, and the other finer ones: no
    event would be found that both have, and all would be learned twice."""
    for step, unit in ((DAY, "days"), (SECOND, "seconds")):
        (old_whole, old_finer), (new_whole, new_finer) = (
            one_row(
                connection,
                f"SELECT count(*) FILTER (time % {step} = 0), count(*) FILTER (time % {step} <> 0) FROM {table}",
            )
            for table in (KEPT, NEWS)
        )
        if min(old_whole + old_finer, new_whole + new_finer) < _FEWEST_TIMES:
            return
        words = (f"times of whole {unit}", f"times finer than {unit}")
        if not old_finer and new_finer > new_whole:
            raise _other(new, *words)
        if not new_finer and old_finer > old_whole:
            raise _other(new, *reversed(words))


def _other(new: LogFacts, first: str, second: str) -> LogError:
    return LogError(
        f"{new.source}: the log of the model's corpus has {first}, this one {second}; give one of the same form,"
        f" {_ANEW}"
    )
