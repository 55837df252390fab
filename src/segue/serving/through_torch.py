"""Answers through torch, for models that have no other way; imported only for those."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from segue.artifact.arrays import StoredArrays
from segue.artifact.contents import Contents
from segue.artifact.model_folder import read_model, write_answers
from segue.artifact.names import ANSWERS
from segue.contract.encoder import SessionEncoder
from segue.contract.model import SessionModel
from segue.data.arrays import IntArray
from segue.data.batches import Batch, request
from segue.data.batches import Past as BatchPast
from segue.errors import RequestError
from segue.lean import folder
from segue.lean.model import Answering, Floats, Parts, WithoutAttention
from segue.lean.request import Asked


def answering_of(contents: Contents) -> Answering:
    """The model of a folder, whose seal is checked already. One that could answer without torch, but was stored before
    it could, does so from now on: what its folder lacks is formed here."""
    model = read_model(contents.folder).model
    if model.answering_form is not None:
        with tempfile.TemporaryDirectory(prefix="segue-answers-") as scratch:
            write_answers(Path(scratch) / ANSWERS, model)
            return folder.answering(contents, StoredArrays(Path(scratch) / ANSWERS))
    return ThroughTorch(model)


class ThroughTorch:
    """A model that answers by its own :meth:`~segue.contract.model.SessionModel.scores`."""

    def __init__(self, model: SessionModel) -> None:
        self.model = model
        self.n_items, self.n_users, self.length = model.n_items, model.n_users, model.config.window.length
        if isinstance(model, SessionEncoder):
            model.eval()
            with torch.inference_mode():
                model.snapshot()

    def score(self, asked: Sequence[Asked]) -> ScoredByTorch:
        """Score all items for each request."""
        batches = [self._batch(each) for each in asked]
        with torch.inference_mode():
            scores = [self.model.scores(batch)[0].numpy() for batch in batches]
        return ScoredByTorch(self.model, batches, np.stack(scores))

    def relations_to(self, item: int, sources: IntArray) -> list[str | None]:
        """The strongest relation of the graph that leads from each of `sources` to `item`, if any."""
        return [self.model.relation(int(source), item) for source in sources]

    def similar(self, item: int) -> Floats:
        """Cosine of the item's vector with those of all items, [items]."""
        if not isinstance(self.model, SessionEncoder):
            raise RequestError(f"{self.model.title} has no item vectors: nothing is similar in it; ask a trained model")
        with torch.inference_mode():
            vectors = torch.nn.functional.normalize(self.model.item_vectors(), dim=1)
            return np.asarray((vectors @ vectors[item]).numpy())

    def _batch(self, asked: Asked) -> Batch:
        past = BatchPast(*(np.array(array) for array in asked.past))  # torch takes no views that cannot be written
        return request(asked.items, asked.user, asked.time, past, self.length, fresh=asked.fresh)


@dataclass(frozen=True)
class ScoredByTorch(WithoutAttention):
    """Scored requests, see :class:`segue.lean.model.Scored`."""

    model: SessionModel
    batches: Sequence[Batch]
    scores: Floats

    def parts(self, row: int, items: IntArray) -> Parts:
        """The scores of `items` [k] for one of the requests, split into summands."""
        with torch.inference_mode():
            parts = self.model.parts(self.batches[row], torch.from_numpy(items))
        session, user, everybody = (
            {name: _array(part) for name, part in group.items()}
            for group in (parts.session, parts.user, parts.everybody)
        )
        return Parts(session, user, _array(parts.base), parts.popularity, everybody, parts.words)


def _array(tensor: Tensor) -> Floats:
    return np.asarray(tensor.numpy())
