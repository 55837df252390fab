"""Quantities as text."""

from __future__ import annotations

from segue.settings.units import milliseconds, size_in_bytes


def test_durations_and_sizes() -> None:
    assert [milliseconds(text) for text in ("250ms", "2s", "30min", "8h", "1.5d")] == [
        250, 2_000, 1_800_000, 28_800_000, 129_600_000,
    ]  # fmt: skip
    assert [size_in_bytes(text) for text in ("10B", "4GiB", "1.5 KiB", "2GB")] == [10, 2**32, 1536, 2 * 10**9]
