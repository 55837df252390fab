"""The checkpoint of a training: what a run writes so that another one goes on from it bit for bit, and checks first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from segue.artifact.checkpoint import load_checkpoint, save_checkpoint, unusable
from segue.artifact.names import CHECKPOINT
from segue.contract.encoder import SessionEncoder
from segue.data.stored import Layout, check_arrays
from segue.errors import first_line
from segue.settings import TrainingSettings
from segue.system.json_files import typed
from segue.training.epochs import write_epochs
from segue.training.optimizers import slot_layouts
from segue.training.state import TrainingState
from segue.training.together import Together

Resumed = tuple[TrainingState, dict[str, Tensor], Tensor | None]
"""The state of a run, the weights of its best epoch, and what the model carries from batch to batch."""


class Checkpoints:
    """Writes and reads the checkpoint of one training, and the record of its epochs beside it.

    Args:
        folder, name: the file is ``NAME.checkpoint`` in the folder, the record ``NAME.jsonl``.
        model, optimizer: what is saved, and loaded into.
        together: the processes that train; the first one writes, all read.
        carries: gives the state that the model carries from batch to batch; None where it carries none.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        model: SessionEncoder,
        optimizer: torch.optim.Optimizer,
        training: TrainingSettings,
        together: Together,
        carries: Callable[[], Tensor | None],
    ) -> None:
        self.path = folder / f"{name}{CHECKPOINT}"
        self._folder, self._name, self._model, self._optimizer = folder, name, model, optimizer
        self._training, self._together, self._carries = training, together, carries

    def save(self, state: TrainingState, best: Mapping[str, Tensor], carried: Tensor | None) -> None:
        """Write the state of a run; all processes call it.

        Args:
            best: the weights of the best epoch so far. carried: what the model carries to the next batch.
        """
        together = self._together
        tensors = {f"model.{name}": tensor for name, tensor in self._model.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
        for number, slots in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": tensor for name, tensor in slots.items()}
        if carried is not None:
            tensors["carried"] = together.carried(carried)
        tensors = together.whole(tensors, self._split_slots) | together.random_states()

        def write() -> None:
            if together.processes.first:
                save_checkpoint(self.path, tensors, asdict(state))
                write_epochs(self._folder, state.records, self._name)

        together.processes.agreed(write)

    def load(self) -> Resumed:
        """Put what was saved into model and optimizer, and return the rest; all processes call it.

        Raises ArtifactError when the checkpoint is damaged, or of another model or training.
        """
        return self._together.processes.agreed(self._loaded)

    def _loaded(self) -> Resumed:
        tensors, state = load_checkpoint(self.path)
        try:
            taken = typed(TrainingState, state)
            tensors = self._together.own(tensors, self._split_slots)
            self._check(tensors, taken)
            return self._take_up(tensors, taken)
        except (KeyError, ValueError, RuntimeError) as error:
            raise unusable(self.path, first_line(error)) from None

    @property
    def _parameters(self) -> list[Tensor]:
        return [p for group in self._optimizer.param_groups for p in group["params"]]

    @property
    def _split_slots(self) -> int:
        """The number of the split table among the optimizer's parameters; -1 without one."""
        own = None if self._model.split is None else self._model.split.rows
        return next((number for number, parameter in enumerate(self._parameters) if parameter is own), -1)

    def _check(self, tensors: Mapping[str, Tensor], state: TrainingState) -> None:
        """Raise ValueError unless the tensors are those that :meth:`save` writes of this model and optimizer."""
        if min(state.epoch, state.best_epoch + 1, state.step + 1, state.events + 1) < 1:
            raise ValueError("its epochs, steps and events are no counts")
        if len(state.records) != state.epoch - 1 or state.best_epoch > len(state.records):
            raise ValueError("it has not a record of each epoch that was played")
        model = {name: Layout.of(tensor) for name, tensor in self._model.state_dict().items()}
        check_arrays(_under("model.", tensors), model)
        best = _under("best.", tensors)
        if any(record.best for record in state.records) != bool(best):
            raise ValueError("it lacks the weights of its best epoch, or has some without one")
        if best:
            check_arrays(best, model)
        self._check_optimizer(_under("optimizer.", tensors))
        random = Layout.of(torch.get_rng_state())
        check_arrays({"random.cpu": tensors["random.cpu"]}, {"random.cpu": random})
        if "carried" in tensors:
            carries = self._carries()
            form = {} if carries is None else {"carried": Layout.of(carries)}
            check_arrays({"carried": tensors["carried"]}, form)

    def _check_optimizer(self, tensors: Mapping[str, Tensor]) -> None:
        stepped = {name.partition(".")[0] for name in tensors}
        layouts = {
            f"{number}.{slot}": layout
            for number, parameter in enumerate(self._parameters)
            if str(number) in stepped  # the others have had no gradient yet
            for slot, layout in slot_layouts(self._training, parameter).items()
        }
        check_arrays(tensors, layouts)

    def _take_up(self, tensors: Mapping[str, Tensor], state: TrainingState) -> Resumed:
        device = next(self._model.parameters()).device
        self._model.load_state_dict(_under("model.", tensors))
        saved = self._optimizer.state_dict()
        for name, tensor in _under("optimizer.", tensors).items():
            number, slot = name.split(".", 1)
            saved["state"].setdefault(int(number), {})[slot] = tensor
        self._optimizer.load_state_dict(saved)
        self._together.take_random_states(tensors)
        # A killed process may have written the checkpoint only.
        write_epochs(self._folder, state.records, self._name)
        best = {name: tensor.to(device) for name, tensor in _under("best.", tensors).items()}
        return state, best, tensors["carried"].to(device) if "carried" in tensors else None


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
