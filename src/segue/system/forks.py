"""What processes that are forked from one that has loaded a model need to know about threads."""

from __future__ import annotations

import os
import sys
from functools import cache


@cache
def compute_after_forks() -> None:
    """Let every process that this one forks compute with one thread; once for the whole process.

    The threads of PyTorch do not live on in a forked process, and the first operation that is divided among them waits
    for them for ever. A server that loads a model and then forks its workers (``gunicorn --preload``) would never
    answer. A process without torch has no such threads; those of NumPy's products know forks.
    """
    os.register_at_fork(after_in_child=_one_thread)


def _one_thread() -> None:
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
