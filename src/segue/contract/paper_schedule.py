"""The schedule of HG-GNN's paper (arXiv 2107.03813, section 5.1.4), counted in steps so that it fits every log."""

from __future__ import annotations

from typing import Any

PAPER_EPOCH_STEPS = 4_100
"""Steps of the paper's epoch on Last.fm: 292,703 train sessions of 8.16 items (its Table 1) make 2.1 million events, in
batches of 512."""
PAPER_PASS_STEPS = 600
"""Fewest steps of a pass over a short log; batches of 512 would leave a log of 15,500 events 31 of them."""
PAPER_SCHEDULE: dict[str, Any] = {
    "schedule": "step",
    "decay_every": 3,
    "epoch_steps": PAPER_EPOCH_STEPS,
    "pass_steps": PAPER_PASS_STEPS,
}
"""The rate falls every three epochs of the paper. On logs of its size these are passes, as it says; shorter logs are
read with smaller batches and in several passes (docs/decisions/0016-the-papers-schedule-in-steps.md). The rule of the
paper by the letter is ``training.epoch_steps = 0`` with ``training.pass_steps = 0``."""
