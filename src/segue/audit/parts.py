"""The parts of a corpus, each read on its own, so that what is wrong between them is named and not refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segue.data.arrays import IntArray
from segue.data.corpus import Corpus, Part, Sessions, load
from segue.data.origin import Origin
from segue.settings import Settings


@dataclass(frozen=True)
class Parts:
    """A corpus in its parts."""

    folder: Path
    corpora: Mapping[Part, Corpus]

    @classmethod
    def read(cls, folder: Path) -> Parts:
        """The parts of a corpus folder. Raises CorpusError when it is none, or a file is damaged."""
        return cls(folder, {part: load(folder, (part,)) for part in Part})

    @property
    def train(self) -> Sessions:
        """The train sessions."""
        return self.of(Part.TRAIN)

    @property
    def any(self) -> Corpus:
        """One of the corpora, for what they share: vocabularies and manifest."""
        return self.corpora[Part.TRAIN]

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest."""
        return self.any.manifest

    @cached_property
    def settings(self) -> Settings:
        """The settings of the preparation."""
        return Settings.parse(self.manifest["settings"])

    def of(self, part: Part) -> Sessions:
        """The sessions of one part."""
        return self.corpora[part].sessions

    def seen(self, *parts: Part) -> npt.NDArray[np.bool_]:
        """Whether an item occurs in the given parts, [items]."""
        found = np.zeros(self.any.n_items, dtype=np.bool_)
        for part in parts:
            found[self.of(part).items] = True
        return found

    @property
    def newest(self) -> dict[Part, int | None]:
        """The time of the newest event of each part, epoch ms."""
        return {part: int(self.of(part).times.max()) if len(self.of(part)) else None for part in Part}

    def origin(self, parts: tuple[Part, ...]) -> Origin:
        """The origin of what is made from these parts."""
        return Origin.of(parts, self.newest)


def starts(sessions: Sessions) -> IntArray:
    """Time of the first event of each session, epoch ms."""
    return sessions.times[sessions.offsets[:-1]]


def ends(sessions: Sessions) -> IntArray:
    """Time of the last event of each session, epoch ms."""
    return sessions.times[sessions.offsets[1:] - 1]


def owners(sessions: Sessions) -> npt.NDArray[np.int32]:
    """The user of each event."""
    return np.repeat(sessions.user, sessions.lengths)
