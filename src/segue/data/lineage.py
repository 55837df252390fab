"""What a corpus that has grown, or shrunk, still says of its log, and of the order in which its items came."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Any

LINEAGE = "lineage"
"""Key of the manifest of a corpus, and of ``config.json``: the updates that led to it, the first one first. Each has at
least ``read.items``, the number of items that it added."""
FORGOTTEN = "forgotten"
"""Key of both where people of the log have been forgotten: how many, as ``people``."""
_FORM_OF_LOG = (
    "kind", "timestamp_format", "dates_only", "relative_times", "order", "has_session_id", "has_event_type",
    "has_order",
)  # fmt: skip


def forgotten(manifest: Mapping[str, Any]) -> int:
    """How many people a corpus, or a model by its ``config.json``, has forgotten already."""
    said = manifest.get(FORGOTTEN, {})
    found = said.get("people", 0) if isinstance(said, dict) else 0
    return found if type(found) is int else 0


def form_of_log(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest says of the form of the log; figures, such as its number of rows, are of one log alone."""
    log = manifest.get("log", {})
    return {key: log[key] for key in _FORM_OF_LOG if key in log}


def blocks(manifest: Mapping[str, Any], n_items: int) -> list[int]:
    """Where the items of each update end, the first ones those of the preparation; the last end is `n_items`.

    Inside a block numbers follow the ids. A record that cannot be true counts as none.
    """
    added = [step["read"]["items"] if _says_items(step) else -1 for step in _steps(manifest)]
    if any(number < 0 for number in added) or sum(added) > n_items:
        return [n_items]
    return list(accumulate(added, initial=n_items - sum(added)))


def _steps(manifest: Mapping[str, Any]) -> list[Any]:
    found = manifest.get(LINEAGE, [])
    return found if isinstance(found, list) else []


def _says_items(step: Any) -> bool:
    read = step.get("read") if isinstance(step, dict) else None
    return isinstance(read, dict) and type(read.get("items")) is int
