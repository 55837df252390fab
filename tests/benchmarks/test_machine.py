"""A measured run reports its own time and memory, and its own failure."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
import torch

import machine

MIB = 2**20


def test_the_peak_is_that_of_the_measured_process():
    here = np.ones(32 * MIB)  # 256 MiB in this process must not count there
    light, heavy = (machine.measure(eval, f"len(b'x' * {mib * MIB})") for mib in (1, 256))
    assert (light.value, heavy.value) == (MIB, 256 * MIB)
    assert light.peak_rss_bytes < 256 * MIB <= heavy.peak_rss_bytes
    assert machine.peak_rss_bytes() >= here.nbytes


def test_wall_and_cpu_seconds_are_told_apart():
    asleep = machine.measure(time.sleep, 0.2)
    assert asleep.seconds >= 0.2
    assert asleep.cpu_seconds < 0.1


def test_a_failure_in_the_measured_process_is_raised_here():
    with pytest.raises(ValueError, match="invalid literal"):
        machine.measure(int, "many")


def test_results_are_written_with_the_machine_they_were_measured_on(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "RESULTS", tmp_path)
    floor = {"threads": 2, "matmul_f32_gflops": 157.2, "memory_read_gb_per_s": 33.04}
    monkeypatch.setattr(machine, "commit", lambda: "abc1234+dirty")
    machine.write("speed", {"events_per_second": 2_000}, "# Speed\n\n2,000 events/s\n", floor)
    record = json.loads((tmp_path / "speed.json").read_text())
    assert record["results"] == {"events_per_second": 2_000}
    assert record["machine"]["floors"] == floor
    machine.write("old", {}, "# Old", measured_on={**record["machine"], "commit": "0ld"})
    assert "commit 0ld" in (tmp_path / "old.md").read_text()
    page = (tmp_path / "speed.md").read_text()
    assert page.startswith("# Speed\n\n2,000 events/s\n\n## Measured on\n")
    assert "commit abc1234+dirty" in page
    assert "on 2 thread(s): 157 GFLOP/s in f32 matrix products, 33.0 GB/s" in page


def test_floors_are_positive_and_leave_the_thread_count_alone(monkeypatch):
    monkeypatch.setattr(machine, "MATRIX", 64)
    monkeypatch.setattr(machine, "READ_BYTES", MIB)
    before = torch.get_num_threads()
    floor = machine.floors(threads=1)
    assert floor["threads"] == 1
    assert floor["matmul_f32_gflops"] > 0
    assert floor["memory_read_gb_per_s"] > 0
    assert torch.get_num_threads() == before
