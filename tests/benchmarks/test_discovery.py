"""The page of reserved places: every row is what ``segue evaluate --discover`` measures."""

from __future__ import annotations

from scorers import arbitrary
from worlds import TEST, busy

import discovery
from segue.evaluation.full_ranking import evaluate


def test_the_rows_are_those_of_the_measurements() -> None:
    corpus, model = busy(n_items=60), arbitrary(60)
    measured = {share: evaluate(model, corpus, TEST, discover=share).measurement() for share in (0.1, 1.0)}
    rows = discovery.rows_of(measured)
    plain = evaluate(model, corpus, TEST).measurement()
    places = measured[1.0].discovery
    assert places is not None
    assert list(rows) == ["plain", "0.1", "1"]
    assert rows["plain"] == (plain.metrics, plain.slices["target"]["new"])
    assert rows["1"] == (places.metrics, places.slices["target"]["new"])
    assert rows["1"] != rows["plain"], "a list that is all discovery is another list"
    text = discovery.page("x", "command", measured[0.1], rows)
    assert f"{plain.events:,} events" in text
    assert "| 0.1 | " in text
