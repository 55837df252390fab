"""The optimizers that the models' authors trained with."""

from __future__ import annotations

from typing import Any

import torch

from segue.settings import TrainingSettings


def optimizer_of(groups: list[dict[str, Any]], training: TrainingSettings) -> torch.optim.Optimizer:
    """The optimizer that the settings name, over a model's parameter groups.

    "adam" couples weight decay to the gradient, as the papers of this line do; "adamw" does not.
    """
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[training.optimizer]
    optimizer: torch.optim.Optimizer = kind(
        groups, lr=training.learning_rate, weight_decay=training.weight_decay, fused=True
    )
    return optimizer
