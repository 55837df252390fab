"""Item vectors split by rows between processes, for tables that are larger than the memory of one.

The rows are a distributed tensor of PyTorch (DTensor): looking items up is its embedding, with the sums between
processes that belong to it. The softmax over all items joins what each process has of it: the largest logit, the sum of
the exponentials, the logit of the target.

DTensor is imported where it is needed: a part of every command's start, and few trainings split anything.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from segue.distributed.processes import Processes
from segue.nn.losses import events_per_chunk

NOBODY = -1
"""The target of an event that counts for nothing."""


class SplitTable(nn.Module):
    """The rows of an embedding that this process holds: one of as many equal parts as there are processes.

    Every process must call each method as often as the others.

    Args:
        whole: all rows, [items, dim]; the same in every process.
    """

    def __init__(self, whole: Tensor, processes: Processes) -> None:
        super().__init__()
        self.n_items, self.dim = whole.shape
        self.processes = processes
        self.each = -(-self.n_items // processes.size)
        self.first = min(processes.rank * self.each, self.n_items)
        self.rows = nn.Parameter(self.own(whole.detach()).clone())
        self._mesh = processes.mesh(whole.device.type)

    @property
    def weight(self) -> Tensor:
        """All rows, as a distributed tensor [items, dim]; more, of zeros, where a process would have none: it could not
        look anything up."""
        from torch.distributed.tensor import DTensor, Shard

        rows: Tensor = self.rows
        n = self.n_items
        if n <= self.each * (self.processes.size - 1):
            rows, n = _padded(rows, self.each), self.each * self.processes.size
        shape = torch.Size((n, self.dim))
        return DTensor.from_local(rows, self._mesh, [Shard(0)], run_check=False, shape=shape, stride=(self.dim, 1))

    def own(self, whole: Tensor) -> Tensor:
        """What this process holds of a tensor with a row per item."""
        return whole[self.first : self.first + self.each]

    def gathered(self, own: Tensor) -> Tensor | None:
        """The whole of a tensor that every process has its rows of, on the CPU; in the first process alone."""
        padded = _padded(own.detach(), self.each)
        parts = [torch.empty_like(padded) for _ in range(self.processes.size)] if self.processes.first else None
        distributed.gather(padded, parts)
        return None if parts is None else torch.cat(parts)[: self.n_items].cpu()

    def forward(self, items: Tensor) -> Tensor:
        """Vectors of items of any shape, which differ from process to process: [..., dim]."""
        from torch.distributed.tensor import Shard

        flat = items.flatten()
        together = self._of_all(_padded(flat, self._most(flat)))
        found: Any = functional.embedding(together, self.weight)
        own: Tensor = found.redistribute(placements=[Shard(0)]).to_local()
        return own[: len(flat)].view(*items.shape, self.dim)

    def loss(self, vectors: Tensor, target: Tensor, of: int) -> Tensor:
        """The own share of the softmax loss: the sum over the own events, divided by `of`.

        Its gradient by the rows is that of the loss of all processes; none of them has to be summed.

        Args:
            vectors: [events, dim]. target: [events]; NOBODY: the event counts for nothing.
        """
        most = self._most(target)
        together = (_padded(vectors, most), _padded(target, most, NOBODY))
        loss: Tensor = _SplitSoftmax.apply(*together, self.rows, self)  # type: ignore[no-untyped-call]
        return loss / max(of, 1)

    @torch.no_grad()
    def scores(self, vectors: Tensor) -> Tensor:
        """Scores of all items, [events, items], for events that are the same in every process."""
        own = vectors @ _padded(self.rows, self.each).t()
        parts = [torch.empty_like(own) for _ in range(self.processes.size)]
        distributed.all_gather(parts, own)
        return torch.cat(parts, 1)[:, : self.n_items]

    def _most(self, tensor: Tensor) -> int:
        """The largest length that any process has."""
        return int(self.processes.most(len(tensor))[0])

    def _of_all(self, own: Tensor) -> Tensor:
        """The tensors of all processes below each other, in each of them."""
        from torch.distributed.tensor import DTensor, Replicate, Shard

        mine = DTensor.from_local(own, self._mesh, [Shard(0)], run_check=False)
        return mine.redistribute(placements=[Replicate()])


class _SplitSoftmax(torch.autograd.Function):
    """Sum over the own events of −log softmax at the target; the slopes are formed in the forward pass, in chunks.

    Vectors and targets have the same length in every process. All events of all processes are scored against the own
    rows, so the slope of the rows is complete, and that of the vectors is summed over the processes.
    """

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, target: Tensor, rows: Tensor, table: SplitTable) -> Tensor:
        processes = table.processes
        everybody = [torch.empty_like(vectors) for _ in range(processes.size)]
        distributed.all_gather(everybody, vectors.contiguous())
        targets = [torch.empty_like(target) for _ in range(processes.size)]
        distributed.all_gather(targets, target.contiguous())
        by_rows = torch.zeros_like(rows)
        losses, by_vectors = [], []
        step = events_per_chunk(table.each, rows.element_size())
        pairs = zip(*(torch.split(torch.cat(each), step) for each in (everybody, targets)), strict=True)
        for vector, wanted in pairs:
            loss, slope = _chunk(vector, wanted, rows, table)
            by_rows.addmm_(slope.t(), vector)
            by_vectors.append(processes.sum(slope @ rows))
            losses.append(loss)
        own = slice(processes.rank * len(target), (processes.rank + 1) * len(target))
        ctx.save_for_backward(torch.cat(by_vectors)[own], by_rows)
        return torch.cat(losses)[own].sum()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        by_vectors, by_rows = ctx.saved_tensors
        return by_vectors * grad_outputs[0], None, by_rows * grad_outputs[0], None


def _chunk(vectors: Tensor, target: Tensor, rows: Tensor, table: SplitTable) -> tuple[Tensor, Tensor]:
    """Losses [events] over all items, and their slope by the logits of the own items [events, own items]."""
    processes = table.processes
    logits = vectors @ rows.t()
    top = _largest(logits, table)
    here = (target >= table.first) & (target < table.first + len(rows))
    event = here.nonzero().squeeze(1)
    place = (target - table.first).index_select(0, event)
    at_target = processes.sum(logits.new_zeros(len(target)).index_copy(0, event, logits[event, place]))
    slope = logits.sub_(top[:, None]).exp_()
    total = processes.sum(slope.sum(1))
    counts = (target != NOBODY).to(logits.dtype)
    slope.div_(total[:, None])
    slope[event, place] -= 1.0
    return (total.log() + top - at_target) * counts, slope.mul_(counts[:, None])


def _largest(logits: Tensor, table: SplitTable) -> Tensor:
    """The largest logit of each event over all items, [events]."""
    # A process may hold no row at all, where there are more processes than items.
    own = logits.amax(1) if logits.shape[1] else logits.new_full((len(logits),), -torch.inf)
    distributed.all_reduce(own, op=distributed.ReduceOp.MAX)
    return own


def _padded(tensor: Tensor, length: int, value: float = 0) -> Tensor:
    """The tensor with further rows of `value` at its end."""
    return functional.pad(tensor, (0, 0) * (tensor.dim() - 1) + (0, length - len(tensor)), value=value)
