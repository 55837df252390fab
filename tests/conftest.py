"""Every test starts from the same random state, on one thread: the worlds are too small for more."""

from __future__ import annotations

import pytest
import torch
from hypothesis import settings

settings.register_profile("segue", deadline=None)  # how long an example takes says more about the machine than the code
settings.load_profile("segue")


@pytest.fixture(autouse=True)
def _same_start() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
