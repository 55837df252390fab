"""What a training does otherwise where several processes share it: shares of batches, sums, random numbers.

In one process nothing of this happens: batches, gradients and random numbers are as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from segue.data.batches import Batch
from segue.data.loader import BatchRows, Loader, owner_of_slot
from segue.distributed.gradients import joined_gradients
from segue.distributed.processes import Processes
from segue.nn.joint import Joint, join_modules


class Together:
    """The processes of a training, as one of them sees them.

    Random numbers are of two kinds. What belongs to the whole batch, such as sampled items, all processes draw alike.
    What belongs to a row, such as dropout, each draws by itself, from a state that follows from seed, epoch, step and
    rank: a resumed run needs no more than these.

    Args:
        model: what is trained; modules that compute over a whole batch learn of the others.
        seed: that of the training.
    """

    def __init__(self, model: nn.Module, processes: Processes, device: torch.device, seed: int) -> None:
        self.processes, self._device, self._seed = processes, device, seed
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._joint: Joint | None = None
        if not processes.alone:
            self._joint = Joint(processes, torch.Generator(device).manual_seed(seed))
            join_modules(model, self._joint)

    def batch(self, loader: Loader, rows: BatchRows, epoch: int, step: int) -> Batch:
        """The batch of a step, or the share of it that this process plays."""
        if self._joint is None:
            return loader.collate(rows)
        own = np.random.SeedSequence((self._seed, epoch, step, self.processes.rank))
        torch.manual_seed(int(own.generate_state(1, np.uint64)[0]))
        batch = loader.share(rows, self.processes.rank, self.processes.size)
        self._joint.idle = batch.idle
        return batch

    def backward(self, loss: Tensor, batch: Batch) -> Tensor:
        """Form the gradients of the whole batch, and return its loss."""
        counted = loss * 0.0 if batch.idle else loss
        counted.backward()  # type: ignore[no-untyped-call]
        return loss.detach() if self._joint is None else joined_gradients(self._parameters, counted, self.processes)

    def carried(self, state: Tensor) -> Tensor:
        """The state that all slots carry, each from the process that plays it."""
        if self._joint is None:
            return state
        own = owner_of_slot(np.arange(len(state)), self.processes.size) == self.processes.rank
        kept = torch.zeros_like(state)
        chosen = torch.from_numpy(np.flatnonzero(own)).to(state.device)
        return self.processes.sum(kept.index_copy(0, chosen, state.index_select(0, chosen)))

    def random_states(self) -> dict[str, Tensor]:
        """The random states that a resumed run goes on from; those of several processes are what all draw alike."""
        states = {"random.cpu": torch.get_rng_state()}
        if self._device.type == "cuda":
            states["random.cuda"] = torch.cuda.get_rng_state(self._device)
        if self._joint is not None:
            states[f"random.{self._device.type}"] = self._joint.draws.get_state()
        return states

    def take_random_states(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`random_states` returned, in any number of processes."""
        torch.set_rng_state(tensors["random.cpu"])
        if "random.cuda" in tensors and self._device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"], self._device)
        state = tensors.get(f"random.{self._device.type}")
        if self._joint is not None and state is not None:
            self._joint.draws.set_state(state)

    def check_weights(self, tensors: Mapping[str, Tensor], when: str) -> None:
        """Raise UserMistake unless all processes hold the same bits."""
        if self._joint is None:
            return
        digest = hashlib.sha256()
        for name, tensor in tensors.items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        self.processes.check_same({f"what it holds {when} (sha256)": digest.hexdigest()[:16]})
