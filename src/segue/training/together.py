"""What a training does otherwise where several processes share it: shares of batches, sums, random numbers, tables.

In one process nothing of this happens: batches, gradients and random numbers are as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from segue.contract.encoder import SessionEncoder
from segue.data.batches import Batch
from segue.data.loader import BatchRows, Loader, owner_of_slot
from segue.distributed.gradients import joined_gradients
from segue.distributed.processes import ALONE, Processes
from segue.errors import ConfigError
from segue.nn.joint import Joint, join_modules
from segue.nn.split_table import NOBODY, SplitTable
from segue.settings import TrainingSettings


class Together:
    """The processes of a training, as one of them sees them.

    Random numbers are of two kinds. What belongs to the whole batch, such as sampled items, all processes draw alike.
    What belongs to a row, such as dropout, each draws by itself, from a state that follows from seed, epoch, step and
    rank: a resumed run needs no more than these.

    Args:
        model: what is trained; modules that compute over a whole batch learn of the others, and where item vectors are
            split this process keeps its part of them.

    Raises ConfigError for a model whose item vectors cannot be split.
    """

    def __init__(
        self, model: SessionEncoder, processes: Processes, device: torch.device, training: TrainingSettings
    ) -> None:
        self.processes, self._device, self._seed = processes, device, training.seed
        self._model, self._joint = model, _joint(processes, device, training.seed)
        if training.split_items and model.item_table is None:
            raise ConfigError(
                f"setting 'training.split_items': the item vectors of {model.title} cannot be split; set it to false"
            )
        if self._joint is not None:
            join_modules(model, self._joint)
            if training.split_items:
                self._split()

    @property
    def measuring(self) -> Processes:
        """Those that share the events of an evaluation: where they share item vectors, each plays every event."""
        return self.processes if self._model.split is None else ALONE

    def batch(self, loader: Loader, rows: BatchRows, epoch: int, step: int) -> Batch:
        """The batch of a step, or the share of it that this process plays."""
        if self._joint is None:
            return loader.collate(rows)
        own = np.random.SeedSequence((self._seed, epoch, step, self.processes.rank))
        torch.manual_seed(int(own.generate_state(1, np.uint64)[0]))
        batch = loader.share(rows, self.processes.rank, self.processes.size)
        self._joint.idle = batch.idle
        if batch.idle and self._model.split is not None:
            return replace(batch, target=torch.full_like(batch.target, NOBODY))
        return batch

    def backward(self, loss: Tensor, batch: Batch) -> Tensor:
        """Form the gradients of the whole batch, and return its loss."""
        split = self._model.split
        counted = loss * 0.0 if batch.idle and split is None else loss
        counted.backward()  # type: ignore[no-untyped-call]
        if self._joint is None:
            return loss.detach()
        own = None if split is None else split.rows
        shared = [p for p in self._model.parameters() if p.requires_grad and p is not own]
        return joined_gradients(shared, counted, self.processes)

    def carried(self, state: Tensor) -> Tensor:
        """The state that all slots carry, each from the process that plays it."""
        if self._joint is None:
            return state
        own = owner_of_slot(np.arange(len(state)), self.processes.size) == self.processes.rank
        chosen = torch.from_numpy(np.flatnonzero(own)).to(state.device)
        return self.processes.sum(torch.zeros_like(state).index_copy(0, chosen, state.index_select(0, chosen)))

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

    def check_weights(self, when: str, *, counts: bool = False) -> None:
        """Raise UserMistake unless all processes hold the same bits, but for their parts of a table.

        Args:
            counts: whether what was counted is compared too, and not what is learned alone.
        """
        if self._joint is None:
            return
        digest, split = hashlib.sha256(), self._model.split
        for tensor in self._model.state_dict().values() if counts else self._model.parameters():
            if split is None or tensor.data_ptr() != split.rows.data_ptr():
                digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        self.processes.check_same({f"what it holds {when} (sha256)": digest.hexdigest()[:16]})

    def whole(self, tensors: Mapping[str, Tensor], slots: int) -> dict[str, Tensor]:
        """The tensors of a checkpoint with whole tables, in the first process; the others need not have them.

        Args:
            slots: number of the table among the parameters of the optimizer.
        """
        split = self._model.split
        if split is None:
            return dict(tensors)
        found = {}
        for name, tensor in tensors.items():
            gathered = split.gathered(tensor) if self._is_part(name, slots) and tensor.dim() == 2 else tensor
            if gathered is not None:
                found[self._renamed(name, "rows", "weight")] = gathered
        return found

    def own(self, tensors: Mapping[str, Tensor], slots: int) -> dict[str, Tensor]:
        """What :meth:`whole` has written, with the own part of each table."""
        split = self._model.split
        if split is None:
            return dict(tensors)
        own = {self._renamed(name, "weight", "rows"): tensor for name, tensor in tensors.items()}
        return {n: split.own(t).clone() if self._is_part(n, slots) and t.dim() == 2 else t for n, t in own.items()}

    def end(self) -> None:
        """Put the whole table back into the model of the first process; those of the others are of no use any more."""
        split, name = self._model.split, self._model.item_table
        if split is None or name is None:
            return
        whole = split.gathered(split.rows)
        if whole is None:
            return
        setattr(self._model, name, nn.Embedding(split.n_items, split.dim, _weight=whole.to(self._device)))

    def _split(self) -> None:
        name = self._model.item_table
        assert name is not None
        setattr(self._model, name, SplitTable(getattr(self._model, name).weight, self.processes))

    def _is_part(self, name: str, slots: int) -> bool:
        """Whether a tensor of a checkpoint has a row per item and is split."""
        rows = f".{self._model.item_table}.rows"
        return name.endswith(rows) or name.startswith(f"optimizer.{slots}.")

    def _renamed(self, name: str, before: str, after: str) -> str:
        table = f".{self._model.item_table}."
        return name.removesuffix(before) + after if name.endswith(table + before) else name


def _joint(processes: Processes, device: torch.device, seed: int) -> Joint | None:
    return None if processes.alone else Joint(processes, torch.Generator(device).manual_seed(seed))
