"""The conditions that a run trains under: device, determinism, Ctrl-C, TensorBoard."""

from __future__ import annotations

import importlib.util
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch


def pick_device(name: str) -> torch.device:
    """ "auto": the GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Sums in a fixed order, so that a resumed run continues bit for bit. On a GPU that is the user's choice."""
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
def interruptible() -> Iterator[threading.Event]:
    """Ctrl-C sets the event instead of breaking into a step. Only the main thread can receive it."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    before = signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def tensorboard(folder: Path) -> Any:
    """A TensorBoard writer where TensorBoard is installed."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))


def log_epoch(writer: Any, record: dict[str, Any]) -> None:
    """Loss, learning rate and validation of one epoch, where there is a writer."""
    if writer is None:
        return
    for name in ("loss", "learning_rate"):
        writer.add_scalar(name, record[name], record["epoch"])
    for name, value in record["validation"].items():
        writer.add_scalar(f"validation/{name}", value, record["epoch"])
    writer.flush()
