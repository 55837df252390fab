"""Dropout whose random numbers are cheap: one byte per entry."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """Zero a share of the entries and scale the rest, so that the expectation stays.

    On a CPU torch generates one number per entry, on one thread: for the node table of a large graph that takes longer
    than the propagation. Here one random 64-bit word decides eight entries, one byte per entry; so the share is `p`
    rounded to 1/256, and the scale is exactly that of the rounded share.
    """
    if not training or p == 0:
        return x
    threshold = min(max(round(p * 256), 1), 255)
    words = torch.empty(math.ceil(x.numel() / 8), dtype=torch.int64, device=x.device).random_(-(2**63), None)
    keep = words.view(torch.uint8)[: x.numel()].view(x.shape) >= threshold
    return x * (keep * x.new_tensor(256 / (256 - threshold)))
