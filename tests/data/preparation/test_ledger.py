"""The ledger stops a preparation that leaves nothing to learn from."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_corpora import ROWS, log_of, small, visits

from segue.data.preparation.prepare import prepare
from segue.errors import CorpusError


def test_one_user_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"^1 user is left; give a log of two users or more$"):
        prepare(log_of(visits("ann", "a b", "b a")), tmp_path / "corpus", small())
    rows = [*ROWS[-3:], *visits("ann", "a b"), *visits("bob", "a b", "a b", "b a", "a b")]
    took = r"1 user is left of 3; .*min_user_sessions took 5 events and 2 sessions; relax"
    with pytest.raises(CorpusError, match=took):
        prepare(log_of(rows), tmp_path / "corpus", small(filters={"min_user_sessions": 3}))
