"""A model that is loaded before a server forks its workers answers in them."""

from __future__ import annotations

import os
import subprocess
import sys

import small_logs

# In a process of its own, with threads that have computed: those of the tests have one thread.
FORKING = """
import os, signal, sys, time
import torch
torch.set_num_threads(2)
import segue

model = segue.load(sys.argv[1])
(torch.rand(600, 600) @ torch.rand(600, 600)).sum()
before = [entry.item for entry in model.recommend("user01", ["first3"], k=3)]
child = os.fork()
if child == 0:
    (torch.rand(600, 600) @ torch.rand(600, 600)).sum()
    same = [entry.item for entry in model.recommend("user01", ["first3"], k=3)] == before
    os._exit(0 if same and torch.get_num_threads() == 1 else 1)
until = time.monotonic() + 60
while time.monotonic() < until:
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended:
        sys.exit(os.waitstatus_to_exitcode(status))
    time.sleep(0.05)
os.kill(child, signal.SIGKILL)
sys.exit("the forked process hangs")
"""


def test_a_forked_process_answers() -> None:
    command = [sys.executable, "-c", FORKING, str(small_logs.fitted_model())]
    done = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "2"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
