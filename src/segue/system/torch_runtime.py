"""The conditions that a run trains under: device, memory, determinism, TensorBoard."""

from __future__ import annotations

import ctypes
import importlib.util
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch

from segue.errors import ConfigError, UserMistake, first_line
from segue.system.limits import cores

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def pick_device(name: str) -> torch.device:
    """The device that a setting names; "auto" is the GPU where there is one.

    Raises ConfigError for a device that this machine does not have.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError):
        raise ConfigError(f"setting 'training.device': no device {name!r} here; use auto, cpu or cuda") from None


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with `count` threads inside the block; 0 is as many as before, within the cores of this process."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or min(before, cores()))
    try:
        yield
    finally:
        torch.set_num_threads(before)


SMALLER = "lower model.dim, model.window.length, training.batch_events or filters.top_items"
"""What to do about too little memory where the settings are the user's."""


@contextmanager
def enough_memory(what: str, advice: str = SMALLER) -> Iterator[None]:
    """Turn a lack of memory, of the machine or of its GPU, into one UserMistake line.

    Args:
        what: the step, as it reads after "while".
        advice: what to do.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # PyTorch has a class of its own for the GPU alone.
        if isinstance(error, RuntimeError) and not re.search(r"out of memory|n't allocate memory", str(error)):
            raise
        raise UserMistake(f"out of memory while {what} ({first_line(error)}); {advice}") from None


@cache
def keep_large_buffers() -> None:
    """Let glibc keep freed blocks of up to 1 GiB for the next tensor; once for the whole process.

    By default every tensor above 32 MiB is mapped anew and its pages are zeroed: the logits of a training step alone
    are larger. Does nothing where the C library is another.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, 2**30)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    except (OSError, AttributeError):
        return


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Sum in a fixed order inside the block, so that a resumed run continues bit for bit; on a GPU the user decides."""
    determinism: Any = torch.utils.deterministic  # typed as a module without attributes
    before, filled = torch.are_deterministic_algorithms_enabled(), determinism.fill_uninitialized_memory
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True)
        determinism.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        determinism.fill_uninitialized_memory = filled


@contextmanager
def tensorboard(folder: Path) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A function that writes loss, learning rate and validation of an epoch, where TensorBoard is installed."""
    if importlib.util.find_spec("tensorboard") is None:
        yield lambda record: None
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:

        def write(record: dict[str, Any]) -> None:
            for name in ("loss", "learning_rate"):
                writer.add_scalar(name, record[name], record["epoch"])
            for name, value in record["validation"].items():
                writer.add_scalar(f"validation/{name}", value, record["epoch"])
            writer.flush()

        yield write
