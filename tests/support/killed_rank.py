"""``segue`` as ``torchrun`` starts it, except that one of the processes is killed once: by SIGKILL, in a later epoch.

The rank is named by the variable KILLED_RANK of the environment.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from segue.__main__ import main
from segue.cli import train
from segue.distributed.launch import was_restarted


@contextmanager
def deadly_bar() -> Iterator[Any]:
    def advance(at: Any) -> None:
        mine = os.environ["RANK"] == os.environ.get("KILLED_RANK")
        if mine and not was_restarted(os.environ) and (at.epoch, at.step) == (2, 2):
            os.kill(os.getpid(), signal.SIGKILL)

    yield advance


if __name__ == "__main__":
    train.training_bar = deadly_bar
    main()
