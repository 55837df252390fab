"""One batch of a corpus, and readable views of it."""

from __future__ import annotations

from segue.data.batches import Batch
from segue.data.corpus import Corpus, Part
from segue.data.loader import Loader


def one_batch(corpus: Corpus, length: int = 20, part: Part | None = None, **options: object) -> Batch:
    sessions = corpus.sessions if part is None else corpus.select(part)
    (batch,) = Loader(corpus, sessions, length, **options).batches(10**9)  # type: ignore[arg-type]
    return batch


def events(batch: Batch) -> list[tuple[tuple[int, ...], int]]:
    """(prefix, target) of every event, read the way the class documents it."""
    return [
        (tuple(batch.items[row, : position + 1].tolist()), target)
        for row, position, target in zip(
            batch.row.tolist(), batch.position.tolist(), batch.target.tolist(), strict=True
        )
    ]


def past_of(batch: Batch) -> list[list[int]]:
    return [batch.store.items[start:end].tolist() for start, end in batch.past.tolist()]
