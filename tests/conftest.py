"""Every test starts from the same random state, on one thread: the worlds are too small for more."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

from segue.system import interrupts

# No deadline: how long an example takes says more about the machine than about the code. Every run tries the same
# examples, so that a commit passes or fails everywhere alike; `make test-slow` searches with new ones.
settings.register_profile("search", deadline=None, print_blob=True)
settings.register_profile("segue", deadline=None, derandomize=True)
settings.load_profile("segue")


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_is_heard() -> Iterator[None]:
    """A shell starts its background jobs with SIGINT ignored: the tests of Ctrl-C must not depend on that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    hung_up = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored
    yield
    signal.signal(signal.SIGINT, before)
    signal.signal(signal.SIGHUP, hung_up)


@pytest.fixture(autouse=True)
def _same_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "_last", interrupts.Pressed())  # which signal an earlier test was ended by
    torch.manual_seed(0)
    torch.set_num_threads(1)
