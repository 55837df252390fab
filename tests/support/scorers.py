"""Models that are nothing but their scores, for tests of what measures and reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from segue.contract.encoder import SessionEncoder
from segue.contract.model import ModelConfig, SessionModel
from segue.data.batches import Batch, Window
from segue.data.corpus import Corpus
from segue.nn.encoding import Encoding


class Scorer(SessionModel):
    """A model that is nothing but its scores."""

    Config = ModelConfig
    title = "Scorer"

    def __init__(self, scores: Callable[[Batch], Tensor], length: int = 20) -> None:
        super().__init__(ModelConfig(window=Window(length=length)))
        self._scores = scores

    def fit(self, corpus: Corpus) -> None:
        self.n_items = corpus.n_items

    def scores(self, batch: Batch) -> Tensor:
        return self._scores(batch)

    def arrays(self) -> dict[str, Tensor]:
        return {}

    def restore(self, arrays: Mapping[str, Tensor], n_items: int, n_users: int) -> None:
        self.n_items = n_items


def oracle(n_items: int) -> Scorer:
    return Scorer(lambda batch: torch.nn.functional.one_hot(batch.target, n_items).float())


def constant(n_items: int) -> Scorer:
    return Scorer(lambda batch: torch.ones(1).expand(len(batch), n_items))


def arbitrary(n_items: int, length: int = 20) -> Scorer:
    """Scores that depend on the event alone, with ties."""

    def scores(batch: Batch) -> Tensor:
        key = batch.session[batch.row] * 31 + batch.time % 1_000_003
        return (key[:, None] * (torch.arange(n_items) * 7919 + 13) % 10_007 % 6).float()

    return Scorer(scores, length)


class Network(SessionEncoder):
    """Remembers in which state it was asked."""

    Config = ModelConfig
    title = "Scorer"

    def __init__(self, n_items: int, bad: bool = False) -> None:
        super().__init__(ModelConfig())
        self.items = torch.nn.Parameter(torch.randn(n_items, 4))
        self.bad = bad
        self.snapshots = 0
        self.asked: list[tuple[bool, bool, int]] = []

    def fit(self, corpus: Corpus) -> None:
        self.n_items = corpus.n_items

    def encode(self, batch: Batch, state: Tensor | None = None) -> Encoding:
        self.asked.append((self.training, torch.is_inference_mode_enabled(), self.snapshots))
        last = self.items[batch.items[batch.row, batch.position]]
        return Encoding(last * (torch.nan if self.bad else 1))

    def item_vectors(self) -> Tensor:
        return self.items

    def snapshot(self) -> None:
        self.snapshots += 1

    def forget_snapshot(self) -> None:
        self.snapshots -= 1

    def restore(self, arrays: Mapping[str, Tensor], n_items: int, n_users: int) -> None:
        self.load_state_dict(dict(arrays))
