"""Five minutes of everything at once: no failure, and no memory that grows."""

from __future__ import annotations

import itertools
import re
import threading
import time
from pathlib import Path

import httpx
import pytest
import servers
import small_logs

MINUTES, WARM = 5.0, 1.0
GROWTH_MIB = 16


def resident_mib(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


@pytest.mark.slow
def test_five_minutes_of_everything_need_no_more_memory_than_the_first() -> None:
    numbers, ended, wrong = itertools.count(), threading.Event(), []

    def work(http: httpx.Client) -> None:
        number = next(numbers)
        user, item = f"u{number % 300}", f"first{number % 8}"
        asked = [
            http.post("/v1/events", json={"id": f"e{number}", "user": user, "session": user, "item": item}),
            http.post("/v1/recommend", json={"user": user, "explain": number % 3 == 0}),
            http.post("/v1/recommend", json={"user": small_logs.user(number % 12), "items": [item, "a1"]}),
            http.get(f"/v1/users/{user}"),
        ]
        if number % 20 == 0:
            asked += [http.delete(f"/v1/users/{user}"), http.get("/metrics"), http.get("/v1/items?q=a")]
        if number % 200 == 0:
            asked.append(http.post("/v1/model:reload"))
        wrong.extend(answer.text for answer in asked if not answer.is_success)

    def client(url: str) -> None:
        with servers.client(url) as http:
            while not ended.is_set():
                work(http)

    with servers.serving(small_logs.fitted_model()) as server:
        (worker,) = server.workers()
        threads = [threading.Thread(target=client, args=(server.url,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(60 * WARM)
        warm, done = resident_mib(worker), next(numbers)
        time.sleep(60 * (MINUTES - WARM))
        grown = resident_mib(worker) - warm
        ended.set()
        for thread in threads:
            thread.join()
        assert not wrong
        assert next(numbers) > 2 * done
        assert server.workers() == [worker]
        assert grown < GROWTH_MIB, f"{grown:.1f} MiB in {MINUTES - WARM} minutes above {warm:.1f}"
