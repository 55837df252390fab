"""Commands whose work several processes share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segue.artifact.partial_run import is_unfinished
from segue.distributed.launch import joined, was_restarted
from segue.distributed.processes import Processes
from segue.errors import ArtifactError, UserMistake
from segue.system.folders import refuse_nameless


@contextmanager
def together() -> Iterator[Processes]:
    """The processes of this command. A mistake that several of them make is said by one."""
    with joined() as processes:
        try:
            with processes.heard():
                yield processes
        except UserMistake as error:
            error.said = not processes.says_first(str(error))
            raise


def resumes(to: Path, asked: bool, processes: Processes) -> bool:
    """Whether a training goes on from its checkpoint: when it is asked to, or torchrun has started it again.

    Raises ArtifactError where `to` cannot be the name of a folder.
    """
    refuse_nameless(to, ArtifactError)
    begun = processes.first and is_unfinished(to)
    return asked or processes.most(was_restarted(os.environ), begun) == [1, 1]
