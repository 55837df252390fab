"""The processes of a group, as each of them sees it: sums, agreements, and mistakes that all of them learn of.

A process without others is a group too, in which every method gives back what it is given.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, distributed

from segue.errors import ModelError, SegueError, UserMistake, first_line

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

T = TypeVar("T")

_LONGEST_VALUE = 80
"""Most characters of a value that two processes differ in."""


@dataclass(frozen=True)
class Processes:
    """A group of processes that do the same work on shares of the same data.

    Attributes:
        rank: number of this process, from 0. size: number of processes.
        minutes: how long one waits for the others.
    """

    rank: int = 0
    size: int = 1
    minutes: float = 0.0
    _store: Any = field(default=None, repr=False)
    _meshes: dict[str, DeviceMesh] = field(default_factory=dict, repr=False)

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.size == 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and says results."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """The tensor, overwritten by its sum over all processes: the same bits in each of them, and in every run."""
        if not self.alone:
            with self.heard():
                distributed.all_reduce(tensor)
        return tensor

    def most(self, *values: float) -> list[float]:
        """For each value the largest that any process has."""
        if self.alone:
            return list(values)
        together = torch.tensor(values, dtype=torch.float64)
        with self.heard():
            distributed.all_reduce(together, op=distributed.ReduceOp.MAX)
        found: list[float] = together.tolist()
        return found

    def texts(self, text: str) -> list[str]:
        """What each process says, by rank; without zero bytes, as JSON is."""
        if self.alone:
            return [text]
        said = torch.tensor(list(text.encode()), dtype=torch.uint8)
        padded = torch.zeros(int(self.most(len(said))[0]), dtype=torch.uint8)
        padded[: len(said)] = said
        heard = [torch.empty_like(padded) for _ in range(self.size)]
        with self.heard():
            distributed.all_gather(heard, padded)
        return [bytes(each.tolist()).rstrip(b"\0").decode() for each in heard]

    def agreed(self, work: Callable[[], T]) -> T:
        """Do some work in every process and go on when all are done; `work` must not speak to the others.

        Where it fails in one, it fails in all, with one text. Raises UserMistake, or ModelError where that was it.
        """
        if self.alone:
            return work()
        error: Exception | None = None
        try:
            result = work()
        except Exception as found:
            error = found
        told = self.texts("" if error is None else json.dumps([isinstance(error, ModelError), _said(error)]))
        if error is not None and not isinstance(error, SegueError):
            raise error
        failed = {rank: json.loads(text) for rank, text in enumerate(told) if text}
        if failed:
            is_model, said = next(iter(failed.values()))
            if set(told) != {told[0]}:
                said = f"rank {next(iter(failed))}: {said}"
            raise ModelError(said) if is_model else UserMistake(said)
        return result

    def check_same(self, facts: Mapping[str, Any]) -> None:
        """Raise UserMistake in every process where one has other facts (JSON-safe) than the first one."""
        told = [json.loads(text) for text in self.texts(json.dumps(facts, sort_keys=True))]
        for rank, theirs in enumerate(told):
            differ = [name for name in told[0] if theirs.get(name) != told[0][name]]
            if differ:
                name = differ[0]
                ours, other = (_shown(each.get(name)) for each in (told[0], theirs))
                raise UserMistake(
                    f"rank 0 and rank {rank} do not train the same: {name} is {ours} and {other}; give all of them the"
                    " same command, the same version and a copy of the same corpus"
                )

    def copied(self, path: Path) -> bool:
        """Whether the first process has a file at this place; the others have a copy there then."""
        if self.alone:
            return path.exists()
        content = path.read_bytes() if self.first and path.exists() else None
        length = torch.tensor([-1 if content is None else len(content)])
        with self.heard():
            distributed.broadcast(length, 0)
            if length < 0:
                return False
            data = torch.frombuffer(bytearray(content or bytes(int(length))), dtype=torch.uint8)
            distributed.broadcast(data, 0)
        if not self.first:
            path.write_bytes(data.numpy().tobytes())
        return True

    def says_first(self, said: str) -> bool:
        """Whether no other process has said this before, so that what all have to say is said once."""
        if self.alone:
            return True
        try:
            return int(self._store.add(f"segue/{hashlib.sha256(said.encode()).hexdigest()}", 1)) == 1
        except RuntimeError:
            return True  # who kept the record has gone

    def mesh(self, device: str) -> DeviceMesh:
        """The processes as PyTorch's distributed tensors know them, for tensors on this kind of device."""
        from torch.distributed.device_mesh import init_device_mesh

        if device not in self._meshes:
            self._meshes[device] = init_device_mesh(device, (self.size,))
        return self._meshes[device]

    def leave(self) -> None:
        """Leave the group and end its threads.

        They end with the last reference to the group, and one that is at work when Python ends kills the process. The
        caches of distributed tensors keep meshes for good, so the meshes must let go of the group.
        """
        for mesh in self._meshes.values():
            getattr(mesh, "_pg_registry", {}).clear()
        distributed.destroy_process_group()

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Turn the silence of another process into one UserMistake line."""
        try:
            yield
        except RuntimeError as error:
            late = re.search(r"[Tt]imed? ?out", str(error))
            if not (late or re.search(r"[Cc]onnection|[Bb]roken pipe|[Ss]ocket|gloo|NCCL", str(error))):
                raise
            why = f"has not answered for {self.minutes:g} minutes" if late else "has ended"
            raise UserMistake(
                f"another of the {self.size} processes {why}; the same command goes on from the last checkpoint with"
                " --resume, and torchrun --max-restarts does that by itself"
            ) from None


ALONE = Processes()
"""A process without others."""


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, SegueError) else f"{type(error).__name__}: {first_line(error)}"


def _shown(value: Any) -> str:
    text = "missing" if value is None else json.dumps(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
