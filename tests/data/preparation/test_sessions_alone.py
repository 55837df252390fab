"""A log that knows sessions but no users: every refusal names the settings that prepare it."""

from __future__ import annotations

import random
import re
import shlex
from pathlib import Path

import pyarrow as pa
import pytest

from segue.data.preparation.prepare import prepare
from segue.errors import UserMistake
from segue.settings import compose
from segue.settings.overrides import read_overrides

START = 1_700_000_000


def log_of(session: str) -> pa.Table:
    draw = random.Random(0)
    rows = [(f"s{n}", f"i{draw.randrange(8)}", START + 4_000 * n + 60 * k) for n in range(60) for k in range(4)]
    sessions, items, times = zip(*rows, strict=True)
    return pa.table({session: sessions, "item_id": items, "timestamp": times})


def follow(table: pa.Table, out: Path, assignments: list[str]) -> list[str]:
    """Prepare, and where that is refused, do what the message says; returns the settings of the first success."""
    for _ in range(4):
        said = refusal(table, out, assignments)
        if not said:
            return assignments
        advice = re.findall(r"--set ((?:'[^']*'|[^\s;)'])+)", said)
        named = [word for each in advice for word in shlex.split(each) if not word.endswith("=COLUMN")]
        assert named, said
        assignments = [*assignments, *named]
    raise AssertionError(assignments)


def refusal(table: pa.Table, out: Path, assignments: list[str]) -> str:
    try:
        prepare(table, out, compose(read_overrides(None, assignments)))
    except UserMistake as refused:
        return str(refused)
    return ""


@pytest.mark.parametrize("asked", [[], ["columns.user_id=session_id"], ["filters.min_user_sessions=1"]])
def test_the_advice_leads_to_a_corpus(tmp_path: Path, asked: list[str]) -> None:
    done = follow(log_of("session_id"), tmp_path / "corpus", asked)
    assert {"filters.min_user_sessions=1", "split.protocol=global_time"} <= set(done)


def test_a_column_of_another_name_is_quoted_for_the_shell(tmp_path: Path) -> None:
    done = follow(log_of("visit {id}"), tmp_path / "corpus", ["columns.session_id=visit {id}"])
    assert "columns.user_id=visit {id}" in done


def test_a_split_by_user_names_the_split_by_time(tmp_path: Path) -> None:
    asked = {"columns": {"user_id": "session_id"}, "filters": {"min_user_sessions": 1}}
    with pytest.raises(UserMistake, match=r"each user has one session: .*--set split\.protocol=global_time"):
        prepare(log_of("session_id"), tmp_path / "corpus", compose(asked))
