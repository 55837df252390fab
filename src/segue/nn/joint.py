"""Modules whose result depends on the whole batch, also where several processes play shares of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from segue.distributed.gradients import sum_of_all
from segue.distributed.processes import Processes


@dataclass
class Joint:
    """What such a module knows of the others while it is trained.

    Attributes:
        draws: random numbers that all processes draw alike.
        idle: whether this process plays a row that counts for nothing, since the batch has fewer rows than processes.
    """

    processes: Processes
    draws: torch.Generator
    idle: bool = False


class JointModule(nn.Module):
    """A module that computes over the whole batch."""

    joint: Joint | None = None
    """Set where several processes train it together."""


def join_modules(model: nn.Module, joint: Joint) -> None:
    """Tell the modules of a model that several processes train it."""
    for module in model.modules():
        if isinstance(module, JointModule):
            module.joint = joint


class BatchNorm(nn.BatchNorm1d, JointModule):
    """Batch normalisation over the rows, which are real nodes or sessions and never padding.

    A batch of one row has no variance: it is normalised by the running statistics, and leaves them alone.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [rows, features]; the shape stays."""
        if self.joint is not None and self.training:
            return self._over_all(x, self.joint)
        return super().forward(x) if len(x) > 1 or not self.training else self._by_running(x)

    def _over_all(self, x: Tensor, joint: Joint) -> Tensor:
        """Normalise by mean and variance over the rows of all processes."""
        counted = 0.0 if joint.idle else 1.0
        rows = float(joint.processes.sum(x.new_tensor([len(x) * counted], dtype=torch.float64)))
        mean = sum_of_all(x.sum(0) * counted, joint.processes) / rows
        apart = x - mean
        variance = sum_of_all(apart.square().sum(0) * counted, joint.processes) / rows
        if rows <= 1:
            # The sums above have been taken in every process, so each of them comes here.
            return self._by_running(x)
        self._remember(mean.detach(), variance.detach() * (rows / (rows - 1)))
        return apart * (variance + self.eps).rsqrt() * self.weight + self.bias

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)

    def _by_running(self, x: Tensor) -> Tensor:
        mean, variance = self.running_mean, self.running_var
        return functional.batch_norm(x, mean, variance, self.weight, self.bias, eps=self.eps)
