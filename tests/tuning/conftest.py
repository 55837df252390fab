"""Small search spaces for all tests of the search."""

from __future__ import annotations

import pytest
from search_spaces import SPACE

from segue.models.gru4rec import GRU4Rec
from segue.models.popularity import Popularity
from segue.settings.search_space import Choice


@pytest.fixture(autouse=True)
def _spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GRU4Rec, "space", SPACE)
    monkeypatch.setattr(Popularity, "space", {"model.session_weight": Choice((0.0, 1.0, 2.0))})
    monkeypatch.setattr(Popularity, "spaces", {"personal": {}})
