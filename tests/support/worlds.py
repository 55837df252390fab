"""Tiny worlds with known answers, as corpora in memory, and what it takes to train and ask a model on them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from segue import models
from segue.contract.encoder import SessionEncoder
from segue.contract.model import SessionModel
from segue.data.arrays import IntArray, offsets_of
from segue.data.batches import Batch, HistoryPolicy, Past, request
from segue.data.corpus import Corpus, Part, Sessions
from segue.data.corpus_folder import FORMAT
from segue.data.loader import Loader
from segue.settings import Nested

TRAIN, VALIDATION, TEST = Part
BEGINNING = 1_600_000_000_000
SECOND, DAY = 1_000, 86_400_000


def corpus_of(
    users: Sequence[Sequence[Sequence[int]]],
    parts: Sequence[Sequence[Part]] | None = None,
    *,
    n_items: int | None = None,
    starts: Sequence[Sequence[int]] | None = None,
    step: int = SECOND,
) -> Corpus:
    """A corpus in memory, laid out as ``corpus.load`` lays it out.

    Args:
        users: for each user, their sessions, each a list of item numbers. Users with test sessions alone come last.
        parts: the part of each of them; unset: all train.
        n_items: size of the vocabulary; unset: the largest item + 1.
        starts: start of each session, ms after BEGINNING; unset: a day apart, users in turn.
        step: ms between the events of a session.
    """
    parts = parts or [[TRAIN] * len(sessions) for sessions in users]
    starts = starts or [[(j * len(users) + u) * DAY for j in range(len(own))] for u, own in enumerate(users)]
    rows = [
        (user, start, list(session), int(part))
        for user, (sessions, own_parts, own_starts) in enumerate(zip(users, parts, starts, strict=True))
        for session, part, start in zip(sessions, own_parts, own_starts, strict=True)
    ]
    rows.sort(key=lambda row: row[:2])
    sessions = Sessions(
        items=np.array([item for row in rows for item in row[2]], dtype=np.int32),
        times=np.array([BEGINNING + row[1] + step * k for row in rows for k in range(len(row[2]))], dtype=np.int64),
        offsets=offsets_of(np.array([len(row[2]) for row in rows], dtype=np.int64)),
        user=np.array([row[0] for row in rows], dtype=np.int32),
        number=np.arange(len(rows), dtype=np.int64),
    )
    part = np.array([row[3] for row in rows], dtype=np.int8)
    known = [any(p != TEST for p in own) for own in parts]
    assert known == sorted(known, reverse=True), "users that only test knows come last"
    vocabulary = n_items or int(sessions.items.max()) + 1
    return Corpus(
        items=_table("item", vocabulary),
        users=_table("user", len(users)).append_column("known", pa.array(known)),
        sessions=sessions,
        part=part,
        n_users=sum(known),
        manifest={
            "format": FORMAT,
            "fingerprint": _fingerprint(sessions, part),
            "sizes": {
                "items": vocabulary,
                "users": len(users),
                "known_users": sum(known),
                **{f"{p.name.lower()}_sessions": int((part == p).sum()) for p in Part},
            },
            "settings": {},
        },
    )


def _table(kind: str, rows: int) -> pa.Table:
    names = [f"{kind}{number:05d}" for number in range(rows)]
    return pa.table({f"{kind}_id": names, "name": [name.capitalize() for name in names]})


def _fingerprint(sessions: Sessions, part: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in (sessions.items, sessions.times, sessions.offsets, sessions.user, part):
        digest.update(array.tobytes())
    return digest.hexdigest()


def cycle(n_items: int = 10, n_users: int = 8) -> Corpus:
    """The next item is fixed: i is followed by i + 1, around. Four train sessions and a test session a user."""
    random = np.random.default_rng(0)
    first = random.integers(n_items, size=(n_users, 5))
    users = [[[int(f + k) % n_items for k in range(6)] for f in own] for own in first]
    return corpus_of(users, [[TRAIN] * 4 + [TEST]] * n_users, n_items=n_items)


def noise(n_items: int = 40, n_users: int = 12) -> Corpus:
    """Nothing to learn: every item is drawn alike, whoever asks and whatever came before."""
    random = np.random.default_rng(1)
    users = random.integers(n_items, size=(n_users, 10, 6)).tolist()
    return corpus_of(users, [[TRAIN] * 4 + [TEST] * 6] * n_users, n_items=n_items)


def two_tastes(n_sessions: int = 8) -> Corpus:
    """The same prefix of two items, two users, two targets: user 0 goes from (0, 1) to 2, user 1 to 3."""
    users = [[[0, 1, target]] * n_sessions for target in (2, 3)]
    return corpus_of(users, [[TRAIN] * (n_sessions - 1) + [TEST]] * 2)


def leak() -> Corpus:
    """Item 5 exists in test alone, as the last item of every test session."""
    users = [[[0, 1, 2, 3], [1, 2, 4], [0, 1, 5]], [[2, 3, 4, 0], [3, 4, 1], [2, 3, 5]]]
    return corpus_of(users, [[TRAIN, TRAIN, TEST]] * 2)


def once(n_items: int = 64) -> Corpus:
    """A log in which every transition occurs once: counts say nothing once the event's own session is left out."""
    random = np.random.default_rng(2)
    items = random.permutation(n_items).reshape(4, -1, 4)
    return corpus_of(items.tolist(), n_items=n_items)


def busy(n_items: int = 12, n_users: int = 6) -> Corpus:
    """A bit of everything: tastes, repeats, short and long histories, all parts, a long session, a test-only user."""
    random = np.random.default_rng(3)
    taste = random.dirichlet(np.full(n_items - 1, 0.4), size=n_users + 1)
    users = [
        [random.choice(n_items - 1, size=int(size), p=taste[u]).tolist() for size in random.integers(2, 7, size=3 + u)]
        for u in range(n_users)
    ]
    users[0][0] = random.choice(n_items - 1, size=25).tolist()
    parts = [[TRAIN] * (len(own) - 2) + [VALIDATION, TEST] for own in users]
    stranger = [random.choice(n_items - 1, size=4).tolist()]
    return corpus_of([*users, stranger], [*parts, [TEST]], n_items=n_items)


def small(name: str, preset: str) -> Nested:
    """A preset at a size for tests: few dimensions, no dropout, every event trained on; the same of a model inside."""
    options = {"name": name, "preset": preset, **_small_options(name)}
    inner = models.load(name).presets[preset].get("model", {}).get("inner")
    return {"model": {**options, **({"inner": {**inner, **_small_options(inner["name"])}} if inner else {})}}


def _small_options(name: str) -> dict[str, float]:
    fields = models.load(name).Config.model_fields
    off = {field: 0.0 for field in fields if field.startswith("dropout")}
    first = {"first_sessions": True} if "first_sessions" in fields else {}
    return {**off, **first, **({"dim": 16} if "dim" in fields else {})}


def fitted(overrides: Nested, corpus: Corpus, seed: int = 0) -> SessionModel:
    """The model of these settings, fitted; its parameters drawn from `seed`."""
    torch.manual_seed(seed)
    model = models.build(models.with_preset(overrides))
    model.fit(corpus)
    return model


def train(
    model: SessionModel,
    corpus: Corpus,
    epochs: int = 20,
    lr: float = 0.01,
    batch_events: int = 32,
    optimizer: torch.optim.Optimizer | None = None,
) -> None:
    """A plain loop, where the model has anything to train, with Adam by default; leaves it ready to be asked."""
    if not isinstance(model, SessionEncoder):
        return
    loader = Loader(corpus, corpus.train, model.config.window.length, order=model.order)
    optimizer = optimizer or torch.optim.Adam(model.parameter_groups(), lr=lr)
    model.train()
    for epoch in range(epochs):
        state = None
        for batch in loader.batches(batch_events, (0, epoch)):
            optimizer.zero_grad()
            encoding = model.encode(batch, state)
            model.loss_of(encoding, batch).backward()
            state = encoding.state.detach() if encoding.state is not None else None
            optimizer.step()
            model.after_step()
    model.eval()


def events_of(
    model: SessionModel, corpus: Corpus, sessions: Sessions | None = None, policy: HistoryPolicy = "frozen"
) -> Batch:
    """All events of some sessions (unset: of test) in one batch, in order."""
    played = corpus.select(TEST) if sessions is None else sessions
    loader = Loader(corpus, played, model.config.window.length, policy=policy)
    (batch,) = loader.batches(10**9)
    return batch


def events_singly(model: SessionModel, corpus: Corpus, sessions: Sessions) -> Iterator[Batch]:
    """Every event as a batch of its own, in order."""
    return Loader(corpus, sessions, model.config.window.length, shuffle="events").batches(1)


def sessions_in_place_of(corpus: Corpus, number: int, sessions: Sequence[Sequence[int]]) -> Sessions:
    """Made-up sessions that all stand in the place, time and user of session `number`."""
    template = corpus.sessions.take(np.full(len(sessions), number))
    offsets = offsets_of(np.array([len(items) for items in sessions]))
    start = np.repeat(template.times[template.offsets[:-1]], np.diff(offsets))
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))
    items = np.concatenate([np.array(items, dtype=np.int32) for items in sessions])
    return Sessions(items, start + SECOND * within, offsets, template.user, template.number)


def scores_of(model: SessionModel, batch: Batch) -> Tensor:
    """The scores as evaluation asks for them, [events, items]."""
    with torch.no_grad():
        return model.scores(batch)


def request_of(
    model: SessionModel,
    items: Sequence[int],
    user: int = 0,
    past: Sequence[int] = (),
    time: int = BEGINNING + 900 * DAY,
) -> Batch:
    """A served request; `past` is one earlier session, a day old."""
    offsets = np.array([0, len(past)] if past else [0])
    history = Past(np.array(past, dtype=np.int64), np.full(len(past), time - DAY), offsets)
    return request(np.array(items, dtype=np.int64), user, time, history, model.config.window.length)


def hit_rate(model: SessionModel, corpus: Corpus, k: int) -> float:
    """HR@k over the test events, ties counted against the model."""
    batch = events_of(model, corpus)
    scores = scores_of(model, batch)
    rank = (scores >= scores.gather(1, batch.target[:, None])).sum(1)
    return float((rank <= k).double().mean())


def session_numbers(corpus: Corpus, part: Part) -> IntArray:
    """The sessions of one part, as numbers."""
    return np.flatnonzero(corpus.part == part)
