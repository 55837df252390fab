"""One server for all tests that only ask it something, and a Redis for those that need one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import servers
import small_logs


@pytest.fixture(scope="session")
def server() -> Iterator[servers.Server]:
    """``segue serve`` on the small model, as a user starts it. Events of a test belong to users of its own."""
    with servers.serving(small_logs.fitted_model(), program=servers.SERVE) as running:
        yield running


@pytest.fixture(scope="session")
def http(server: servers.Server) -> Iterator[httpx.Client]:
    with servers.client(server.url) as client:
        yield client


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[servers.Redis]:
    with servers.redis_of_its_own(tmp_path / "redis") as running:
        yield running
