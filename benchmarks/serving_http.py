"""Latency of ``segue serve`` over loopback HTTP at offered rates, with a generator that does not wait for answers.

    python benchmarks/serving_http.py MODEL [--seconds 8] [--workers 1] [--rates 100 300] [--page serving-http-million]

Every request has the time that it was due; its latency counts from then, so that a server which falls behind cannot
hide it. The generator is a process of its own on the same machine; its share of a processor is printed. `healthz` at
the same rates is the floor: what HTTP costs here without a model. The last rows are of a server with ``--live``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import altair as alt
import numpy as np

import machine
from segue.report import charts
from speed import table

RATES = (100, 250, 500, 1_000)
CONNECTIONS = 64
KINDS = {
    "healthz": "GET /healthz",
    "recommend": "POST /v1/recommend",
    "both": "half recommendations, half events",
    "live": "half recommendations, half events, --live",
}
LIVE = ("live",)
"""Kinds that are offered to a server that counts live; the others to one that does not."""
WANTED = {
    ("recommend", 300): "p99 25 of a million items",
    ("recommend", 500): "p50 3, p99 10",
    ("recommend", 1_000): "p99 25",
    ("both", 1_000): "p99 25",
}
_LATE = 5.0
"""Seconds after the last due time when what is not answered counts as an error."""
_TICKS = 100


class Generator:
    """Sends requests when they are due, over connections that are kept open."""

    def __init__(self, address: str, requests: Sequence[bytes]) -> None:
        parts = urlsplit(address)
        self._host, self._port, self._requests = parts.hostname or "", parts.port or 0, requests
        self.latencies: list[float] = []
        self.errors = 0

    async def run(self, rate: float, seconds: float) -> None:
        """Offer so many requests per second for some seconds."""
        due: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        working = [asyncio.create_task(self._work(due)) for _ in range(CONNECTIONS)]
        loop, count = asyncio.get_running_loop(), int(rate * seconds)
        began = loop.time() + 0.1
        for number in range(count):
            at = began + number / rate
            if (wait := at - loop.time()) > 0:
                await asyncio.sleep(wait)
            due.put_nowait((at, self._requests[number % len(self._requests)]))
        end = loop.time() + _LATE
        while len(self.latencies) + self.errors < count and loop.time() < end:
            await asyncio.sleep(0.01)
        for task in working:
            task.cancel()
        self.errors = count - len(self.latencies)

    async def _work(self, due: asyncio.Queue[tuple[float, bytes]]) -> None:
        loop = asyncio.get_running_loop()
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            while True:
                at, request = await due.get()
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
                if head.split(None, 2)[1] in (b"200", b"202"):
                    self.latencies.append(loop.time() - at)
        finally:
            writer.close()


def offered(address: str, kind: str, rate: float, seconds: float, model: str) -> dict[str, float]:
    """Offer one kind of requests at one rate; the figures of the generator's side. Runs in a process of its own."""
    generator = Generator(address, requests_of(kind, Path(model)))
    began, used = time.perf_counter(), time.process_time()
    asyncio.run(generator.run(rate, seconds))
    spent, used = time.perf_counter() - began, time.process_time() - used
    found = 1e3 * np.array(generator.latencies or [float("inf")])
    p50, p90, p99 = np.percentile(found, [50, 90, 99])
    answered = len(generator.latencies) / seconds
    return {
        "rate": rate, "answered": answered, "p50_ms": p50, "p90_ms": p90, "p99_ms": p99,
        "errors": generator.errors, "generator": used / spent,
    }  # fmt: skip


def requests_of(kind: str, model: Path) -> list[bytes]:
    """Requests about users and sessions of train, as bytes."""
    if kind == "healthz":
        return [b"GET /healthz HTTP/1.1\r\nHost: segue\r\n\r\n"]
    from segue.serving.recommender import Recommender

    loaded, random = Recommender.load(model), np.random.default_rng(0)
    found, ids, bodies = loaded.artifact.history, loaded.known_items.ids, []
    for session in random.integers(0, len(found), 500).tolist():
        items = [ids[item] for item in found.items[found.offsets[session] : found.offsets[session + 1]]]
        user = loaded.known_users.ids[found.user[session]]
        asked = {"user": user, "items": items[: int(random.integers(1, len(items) + 1))]}
        bodies.append(_post("/v1/recommend", asked))
        if kind in ("both", "live"):
            bodies.append(_post("/v1/events", {"user": user, "session": f"s{session}", "item": items[-1]}))
    return bodies


def _post(path: str, body: dict[str, Any]) -> bytes:
    text = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: segue\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    )
    return head.encode() + text


def workers_of(supervisor: int) -> list[int]:
    """The worker processes of a server."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text(encoding="ascii")
    return [int(child) for child in children.split()]


def processor_seconds(processes: Sequence[int]) -> float:
    """Processor seconds that some processes have used."""
    fields = (Path(f"/proc/{each}/stat").read_text(encoding="utf-8").rpartition(")")[2].split() for each in processes)
    return sum((int(each[11]) + int(each[12])) / _TICKS for each in fields)


def resident_mib(processes: Sequence[int]) -> float:
    """Resident memory of some processes together; what they share with others is divided among all."""
    texts = (Path(f"/proc/{each}/smaps_rollup").read_text(encoding="utf-8") for each in processes)
    return sum(int(text.partition("\nPss:")[2].split()[0]) / 1024 for text in texts)


def measured(
    address: str,
    supervisor: int,
    model: Path,
    rates: Sequence[int],
    seconds: float,
    kinds: Sequence[str],
    note: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Some kinds at all rates."""
    processes, rows = workers_of(supervisor), []
    for kind in kinds:
        machine.measure(offered, address, kind, 50, 2.0, str(model))  # warm
        for rate in rates:
            before = processor_seconds(processes)
            found = machine.measure(offered, address, kind, rate, seconds, str(model)).value
            used = processor_seconds(processes) - before
            row = {"kind": KINDS[kind], **found, "server": used / seconds, "mib": resident_mib(processes)}
            rows.append({**row, "wanted_ms": WANTED.get((kind, rate), "")})
            note(f"{kind} at {rate}: {found}")
    return rows


def index_of(address: str) -> dict[str, Any]:
    """How the server finds the best items, as it says."""
    with urlopen(f"{address}/v1/model") as answer:
        index: dict[str, Any] = json.load(answer)["index"]
    return index


def said_of(index: dict[str, Any]) -> str:
    """The index in words."""
    if index["kind"] == "exact":
        return f"Every item is scored for every answer{': ' + index['why'] if 'why' in index else ''}."
    return (
        f"An index of {index['lists']:,} lists, of which a search looks through {index['breadth']}, found"
        f" {index['recall_at_20']:.4f} of the exact 20 best over {index['sessions']:,} sessions of train when the model"
        f" was loaded; 99 of 100 scores differ from the exact ones by at most {index['score_error']:.4f}. It takes"
        f" {index['bytes'] / 2**20:,.0f} MiB per worker, and took {index['seconds']:.1f} s, "
        f"{'kept from before' if index['kept'] else 'made anew'}."
    )


def picture(rows: list[dict[str, Any]]) -> str:
    """Latency against the offered rate, as SVG."""
    points = [
        {"kind": row["kind"], "rate": row["rate"], "ms": row[name], "of": name.removesuffix("_ms")}
        for row in rows
        for name in ("p50_ms", "p99_ms")
    ]
    chart = alt.Chart(alt.InlineData(values=points)).mark_line(point=True).encode(
        x=alt.X("rate:Q", title="requests offered per second", scale=alt.Scale(type="log")),
        y=alt.Y("ms:Q", title="ms", scale=alt.Scale(type="log")),
        color=alt.Color("kind:N", title=None),
        strokeDash=alt.StrokeDash("of:N", title=None),
    )  # fmt: skip
    return charts.svg(chart.properties(width=520, height=260).to_dict())


@dataclass(frozen=True)
class Served:
    """What a server did: seconds until it was ready, its index, and the rows of the table."""

    ready: float
    index: dict[str, Any]
    rows: list[dict[str, Any]]


def served(chosen: argparse.Namespace, kinds: Sequence[str], *options: str) -> Served:
    """Start a server with some options and offer it requests of some kinds."""
    with tempfile.TemporaryDirectory(prefix="segue-bench-") as state:
        began = time.perf_counter()
        config = Path(state) / "server.toml"
        config.write_text("[server]\nlog_requests = false\n", encoding="utf-8")
        command = [sys.executable, "-m", "segue", "serve", str(chosen.model), "--port", "0"]
        command += ["--state", f"{state}/state", "--workers", str(chosen.workers), "--config", str(config), *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            line = server.stdout.readline()
            ready = time.perf_counter() - began
            try:
                note = lambda text: print(text, file=sys.stderr, flush=True)  # noqa: E731
                address = line.split()[0]
                index = index_of(address)
                offered_to = (address, server.pid, chosen.model, chosen.rates, chosen.seconds, kinds)
                return Served(ready, index, measured(*offered_to, note))
            finally:
                server.terminate()


def main() -> None:
    """Start the servers, offer requests, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rates", type=int, nargs="+", default=RATES, help="requests offered per second")
    parser.add_argument("--page", default="serving-http", help="name of the page in docs/benchmarks")
    chosen = parser.parse_args()
    frozen = served(chosen, [kind for kind in KINDS if kind not in LIVE])
    rows = frozen.rows + served(chosen, LIVE, "--live").rows
    floors = {row["rate"]: row["p50_ms"] for row in rows if row["kind"] == KINDS["healthz"]}
    rows = [row | {"p50_of_floor": row["p50_ms"] / floors[row["rate"]]} for row in rows]
    columns = {
        "kind": "", "rate": ",.0f", "answered": ",.0f", "p50_ms": ".1f", "p90_ms": ".1f", "p99_ms": ".1f",
        "p50_of_floor": ".1f",
        "errors": ",.0f", "server": ".2f", "generator": ".2f", "mib": ",.0f", "wanted_ms": "",
    }  # fmt: skip
    from segue.serving.recommender import Recommender

    items = len(Recommender.load(chosen.model).known_items)
    arguments = f"--seconds {chosen.seconds:g} --workers {chosen.workers} --rates {' '.join(map(str, chosen.rates))}"
    text = "\n\n".join(
        [
            "# Latency over HTTP",
            f"`python benchmarks/serving_http.py MODEL {arguments} --page {chosen.page}`: preset"
            f" `segue` (d = 128) with {items:,} items, lists of ten without reasons, events in SQLite; server and"
            f" generator on one machine. Start to ready: {frozen.ready:.1f} s.",
            table(rows, columns),
            "rate: requests offered per second; answered: per second; latencies in ms from the time that a request was"
            " due; server, generator: processors that they used; mib: memory of the workers, shared pages divided"
            " among those that read them. `GET /healthz` is"
            " the floor, p50 of floor how many times its p50 at the same rate."
            " What others publish of theirs: Serenade (session kNN in Rust), p90 under 7 ms at 1,000"
            " per second on two virtual processors.",
            said_of(frozen.index),
            f"![latency against the offered rate]({chosen.page}.svg)",
        ]
    )
    machine.write(chosen.page, {"rows": rows, "ready_s": frozen.ready, "items": items, "index": frozen.index}, text)
    (machine.RESULTS / f"{chosen.page}.svg").write_text(picture(rows), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
