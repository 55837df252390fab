"""A process that is killed costs nothing but time: torchrun starts the group again, and the model is the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import killed_rank
import ranks
import small_logs
import training_runs

RANDOM = small_logs.with_settings(
    model={"dropout": 0.5, "mask_users": 0.3}, training={"max_epochs": 3, "checkpoint_minutes": 0}
)
"""With dropout and hidden users the random state matters; a checkpoint is written after every step."""


def torchrun(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Two processes of one command, started again once."""
    path = os.pathsep.join(path for path in sys.path if path)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **more}
    return subprocess.run([*launcher, *arguments], env=environment, capture_output=True, text=True, timeout=300)


def test_a_killed_rank_is_started_again_and_nothing_shows(tmp_path: Path) -> None:
    command = ["train", str(small_logs.corpus()), "--json", *ranks.settings(RANDOM), "--refit", "--out"]
    wanted, found = tmp_path / "wanted", tmp_path / "found"
    undisturbed = ranks.pair(ranks.segue(*command, str(wanted)))
    assert [run.code for run in undisturbed] == [0, 0], undisturbed
    assert [bool(run.out) for run in undisturbed] == [True, False], "the result is said once"
    run = torchrun(str(Path(killed_rank.__file__)), *command, str(found), KILLED_RANK="1")
    assert run.returncode == 0, run.stderr
    assert f"exitcode: {-signal.SIGKILL}" in run.stderr
    assert run.stderr.count("has ended; the same command goes on from the last checkpoint with --resume") == 1
    assert (found / "model.safetensors").read_bytes() == (wanted / "model.safetensors").read_bytes()
    for name in ("metrics", "refit"):
        here, there = (training_runs.records(folder, name) for folder in (found, wanted))
        assert [{**record, "seconds": 0} for record in here] == [{**record, "seconds": 0} for record in there]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["found", "wanted"]
