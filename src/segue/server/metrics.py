"""Figures for Prometheus, summed over all workers of this server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Variable of the environment that names the folder where the workers of a server add up their figures; it has to be
set before this module is imported."""
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_REQUESTS = Counter("segue_requests", "Answered requests.", ["route", "method", "status"])
_LATENCY = Histogram("segue_request_seconds", "Seconds from a request to its answer.", ["route"], buckets=_SECONDS)
_STORE = Histogram("segue_store_seconds", "Seconds of the store of live events.", ["operation"], buckets=_SECONDS)
_STORE_FAILED = Counter("segue_store_failures", "Failures of the store of live events.", ["operation"])
_EVENTS = Counter("segue_events", "Accepted live events that were new.")
_MODEL = Gauge(
    "segue_model_info", "1 for the version of the model that answers.", ["version"], multiprocess_mode="livemax"
)


def answered(route: str, method: str, status: int, seconds: float) -> None:
    """Count an answered request."""
    _REQUESTS.labels(route, method, str(status)).inc()
    _LATENCY.labels(route).observe(seconds)


def events(count: int) -> None:
    """Count events that were new."""
    _EVENTS.inc(count)


def model(version: str, previous: str = "") -> None:
    """Say which version answers from now on."""
    if previous:
        _MODEL.labels(previous).set(0)
    _MODEL.labels(version).set(1)


@contextmanager
def stored(operation: str) -> Iterator[None]:
    """Measure an operation of the store."""
    start = perf_counter()
    try:
        yield
    except Exception:
        _STORE_FAILED.labels(operation).inc()
        raise
    finally:
        _STORE.labels(operation).observe(perf_counter() - start)


def text() -> bytes:
    """All figures in the form that Prometheus reads."""
    if not os.environ.get(FOLDER):
        return generate_latest()
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
