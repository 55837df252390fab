"""The page of the growth is what its results say, and names what was not measured."""

from __future__ import annotations

import json

import pytest

import growth
import machine


def run(millions: int, cpu_seconds: float) -> dict[str, object]:
    steps = [
        {"table": "events", "rows": millions * 10**6, "width": 32.0, "seconds": 1.0},
        {"table": "vocabulary", "rows": 500, "width": 8.0, "seconds": 0.1},
    ]
    return {
        "millions": millions, "clicks": millions * 10**6, "users": 9, "log_bytes": 10**7, "seconds": 2 * cpu_seconds,
        "cpu_seconds": cpu_seconds, "peak_gib": 1.0, "steps": steps, "sizes": {}, "corpus_bytes": 10**6,
    }  # fmt: skip


def test_events_grow_and_items_do_not() -> None:
    events, items = run(10, 1.0)["steps"]  # type: ignore[misc]
    assert growth.size_at(events, 1_000) == pytest.approx(32e10)
    assert growth.size_at(items, 1_000) == 4_000
    page = growth.page({3: run(3, 3.0), 10: run(10, 10.0)})
    assert "| 1 | `events` | 1 | 10,000,000,000 | 32 | 320.0 |" in page
    assert "| 1.00 |" in page, "ten thirds of the clicks, ten thirds of the time"
    assert "| about 100 million | not measured |" in page


def test_the_page_is_that_of_its_results() -> None:
    stored = json.loads((machine.RESULTS / "growth.json").read_text(encoding="utf-8"))
    page = growth.page({each["millions"]: each for each in stored["results"]["runs"]})
    assert (machine.RESULTS / "growth.md").read_text(encoding="utf-8").startswith(page.strip())
