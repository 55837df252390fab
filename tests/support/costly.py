"""Properties of which an example costs much: a few in the default suite, many where ``make test-slow`` searches."""

from __future__ import annotations

from typing import Any

from hypothesis import settings

SEARCH = "search"
"""The profile of ``make test-slow``."""


def examples(few: int, many: int = 100, **how: Any) -> settings:
    """So many examples: `few` in the default suite, `many` in a search; `how` is for ``hypothesis.settings``."""
    return settings(max_examples=many if settings.get_current_profile_name() == SEARCH else few, **how)
