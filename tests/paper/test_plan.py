"""The quick form, and the users drawn for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import small_logs
from paper_rows import brief

from segue.data.corpus import load
from segue.paper import plan
from segue.paper.plan import Plan


def test_the_quick_form_draws_users_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "QUICK_USERS", 5)
    quick = brief(tmp_path)
    assert load(quick.corpus).n_users == 5
    assert "users drawn by seed 0: 5 users" in " ".join(quick.data_caption())
    stamp = (quick.corpus / "manifest.json").stat().st_mtime_ns
    assert (brief(tmp_path).corpus / "manifest.json").stat().st_mtime_ns == stamp
    assert Plan(small_logs.corpus(), tmp_path).corpus == small_logs.corpus()
