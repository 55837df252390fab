"""One pass of a model over the events of an evaluation: scores in chunks, and the rank of every target."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from segue.contract.encoder import SessionEncoder
from segue.contract.model import SessionModel
from segue.data.batches import Batch
from segue.data.loader import Loader
from segue.distributed.processes import ALONE, Processes
from segue.errors import ModelError
from segue.evaluation.candidates import Candidates
from segue.evaluation.coverage import Coverage
from segue.evaluation.discovery import Discoveries
from segue.evaluation.metrics import all_finite
from segue.evaluation.slices import Events
from segue.nn.losses import events_per_chunk
from segue.system.torch_runtime import keep_large_buffers


class Ranking:
    """Ranks the target of every event, chunk by chunk.

    Attributes:
        ranks: conservative and standard ranks, int64 [2, events].
        discoveries: the places in lists that reserve some for new items, where such lists were asked for.
        seconds: time spent on scores, from the snapshot on; ranking them is not counted.
    """

    def __init__(
        self,
        model: SessionModel,
        label: str,
        events: Events,
        candidates: Candidates,
        n_items: int,
        *,
        coverage: bool = False,
        discover: float | None = None,
    ) -> None:
        self._model, self._label, self._events, self._candidates = model, label, events, candidates
        self._n_items = n_items
        self._coverage = Coverage(n_items) if coverage else None
        self.discoveries = Discoveries(discover, candidates, len(events)) if discover is not None else None
        self.ranks = np.zeros((2, len(events)), dtype=np.int64)
        self.seconds = 0.0

    def run(
        self,
        loader: Loader,
        progress: Callable[[int, int], None] | None = None,
        processes: Processes = ALONE,
    ) -> None:
        """Rank all events of `loader`, which plays them in order; `progress` is called as by ``evaluate``.

        Where there are several processes each ranks every so many chunks, and all have all ranks in the end.

        Raises ModelError when scores are not finite, or not [events, items].
        """
        keep_large_buffers()
        processes.agreed(lambda: self._run(loader, progress, processes))
        if not processes.alone:
            self._join(processes)

    def _run(self, loader: Loader, progress: Callable[[int, int], None] | None, processes: Processes) -> None:
        started, done = time.monotonic(), 0
        with _ready(self._model):
            self.seconds += time.monotonic() - started
            for number, chunk in enumerate(loader.plan(events_per_chunk(self._n_items))):
                rows = slice(done, done + int(chunk.events.sum()))
                if number % processes.size == processes.rank:
                    self._rank(loader.collate(chunk), rows)
                done = rows.stop
                if progress:
                    progress(done, len(self._events))

    def _join(self, processes: Processes) -> None:
        """Take over what the others have ranked: where they have, everything here is still zero."""
        places = [self.discoveries.places] if self.discoveries else []
        shown = [self._coverage.shown] if self._coverage else []
        for found in (torch.from_numpy(self.ranks), *map(torch.from_numpy, places), *shown):
            processes.sum(found)
        (self.seconds,) = processes.most(self.seconds)

    def shares(self) -> dict[str, float] | None:
        """Coverage of the catalogue, where it was measured."""
        return self._coverage.shares() if self._coverage else None

    def _rank(self, batch: Batch, rows: slice) -> None:
        started = time.monotonic()
        scores = self._model.scores(batch)
        self._check(scores, rows)  # waits for the device, too
        self.seconds += time.monotonic() - started
        if self._coverage:
            self._coverage.add(scores, *self._candidates.barred(rows, scores.device))
        ranks = self._candidates.ranks(scores, batch.target, rows)
        if self.discoveries:
            self.discoveries.add(scores, batch, ranks[0], rows)
        self.ranks[:, rows] = ranks.cpu().numpy()

    def _check(self, scores: Tensor, rows: slice) -> None:
        shape = [rows.stop - rows.start, self._n_items]
        if list(scores.shape) != shape:
            raise ModelError(f"{self._label}: scores must be [events, items] = {shape}, found {list(scores.shape)}")
        if all_finite(scores):
            return
        event, item = torch.nonzero(~torch.isfinite(scores))[0].tolist()
        session, position = self._events.session[rows][event], self._events.position[rows][event]
        raise ModelError(
            f"{self._label}: the score of item {item} is {float(scores[event, item])} for the event at position"
            f" {position} of session {session}; a rank computed from such scores would mean nothing"
        )


@contextmanager
def _ready(model: SessionModel) -> Iterator[None]:
    """Inference mode; a network has its snapshot and no dropout inside the block, and is as before afterwards."""
    with torch.inference_mode():
        if not isinstance(model, SessionEncoder):
            yield
            return
        training = model.training
        model.eval()
        try:
            model.snapshot()
            yield
        finally:
            model.forget_snapshot()
            model.train(training)
