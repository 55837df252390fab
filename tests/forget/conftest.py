"""A Redis for the tests of live events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import servers


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[servers.Redis]:
    with servers.redis_of_its_own(tmp_path / "redis") as running:
        yield running
