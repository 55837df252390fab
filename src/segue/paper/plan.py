"""The plan of a call of ``segue study``: the corpus, the budget of a training, and the protocol in words."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from segue.data.corpus_folder import read_manifest
from segue.data.preparation.subsample import few_users
from segue.errors import ConfigError
from segue.evaluation.measurement import Measurement
from segue.settings import Nested
from segue.training.state import Progress
from segue.training.validation import SELECTED_BY

Protocol = Literal["preset", "tuned", "paper"]
"""The source of the settings of Table 2: unchanged presets, one search for every model, or the paper's grid."""

QUICK_USERS, QUICK_MINUTES = 300, 5.0
"""The quick form: number of users, and minutes per training. Fewer users make it quick; the limit is there for slow
machines, since a training that it cuts short is of a starved model (its row says so)."""
RUNS = ("models", "tuning", "timing")
"""Folders in the folder of a study: fitted models, searches for settings, and timings."""
_USERS_SEED = 0
_OF_EVERY_RUN = ("training", "evaluation", "preparation")
_SPLITS = {
    "user_80_20": "of each user's sessions the last {test:.0%} are test",
    "global_time": "of all sessions the {test:.0%} that end last are test",
}


@dataclass(frozen=True)
class Plan:
    """One call of ``segue study``.

    Attributes:
        given: the corpus that the user named. out: the folder of the sheets, models and the corpus of the quick form.
        quick: whether to use the form that runs in minutes. seeds: number of trainings per run.
        minutes: limit of each training. own: the user's settings of training, evaluation and preparation.
    """

    given: Path
    out: Path
    quick: bool = False
    seeds: int = 1
    minutes: float | None = None
    own: Nested = field(default_factory=dict)
    progress: Callable[[Progress], None] | None = None

    def __post_init__(self) -> None:
        if self.out.resolve() == self.given.resolve():
            raise ConfigError(f"{self.out} is the corpus itself; choose another --out")
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise ConfigError(f"--minutes must be a number of minutes above 0, found {self.minutes:g}")
        for section in self.own:
            if section not in _OF_EVERY_RUN:
                raise ConfigError(
                    f"segue study sets [{section}] of each run itself; --config and --set may give"
                    f" {', '.join(f'[{name}]' for name in _OF_EVERY_RUN)}"
                )
        if "seed" in self.own.get("training", {}):
            raise ConfigError("segue study trains with seeds 0, 1, ...; say how many with --seeds")

    @cached_property
    def corpus(self) -> Path:
        """The corpus to train on; the quick form takes a random sample of users where there are more of them."""
        if not self.quick:
            return self.given
        sample = self.out / f"corpus-{QUICK_USERS}-{read_manifest(self.given)['fingerprint'][:8]}"
        return few_users(self.given, sample, QUICK_USERS, seed=_USERS_SEED)

    @property
    def source(self) -> str | None:
        """Name of the known data set that the corpus comes from; None for other logs."""
        name = read_manifest(self.given)["log"].get("source")
        return str(name) if name else None

    @property
    def refit(self) -> bool:
        """Whether runs are fitted again on train + validation before test is opened."""
        return not self.quick

    def budget(self) -> Nested:
        """The settings that every run shares."""
        quick: dict[str, Any] = {"max_minutes": QUICK_MINUTES} if self.quick else {}
        minutes: dict[str, Any] = {"max_minutes": self.minutes} if self.minutes is not None else {}
        own = {section: dict(values) for section, values in self.own.items()}
        return {**own, "training": {**quick, **minutes, **own.get("training", {})}}

    def data_caption(self) -> list[str]:
        """The sentences about the data that stand under every table and figure."""
        manifest = read_manifest(self.corpus)
        sizes = manifest["sizes"]
        sample = f"quick form, users drawn by seed {_USERS_SEED}: " if self.corpus != self.given else ""
        split = manifest["settings"]["split"]
        return [
            f"Corpus {self.given.name}, {sample}{sizes['users']:,} users, {sizes['items']:,} items. Split"
            f" {split['protocol']}: {_SPLITS[split['protocol']].format(**split)},"
            f" of the others the last {split['validation']:.0%} validation."
        ]

    def protocol_caption(self, result: Measurement, how: str = "each at its preset, not tuned") -> list[str]:
        """The sentences about the protocol: split, history policy, selection, seeds, budget.

        Args:
            result: any measurement of the table. how: how the settings of the rows came about.
        """
        training = self.budget()["training"]
        limits = [f"at most {training['max_epochs']} epochs" if "max_epochs" in training else "epochs by preset"]
        limits += [f"at most {training['max_minutes']:g} minutes"] if "max_minutes" in training else ["no time limit"]
        again = "then fitted on train + validation for as many" if self.refit else "not fitted again on validation"
        masked = "no candidates, for every model alike" if result.masked else "candidates like all others"
        seeds = "seed 0" if self.seeds == 1 else f"means over {self.seeds} seeds (0 to {self.seeds - 1})"
        return [
            *self.data_caption(),
            f"Measured on {result.events:,} {result.split} events of {result.sessions:,} sessions, every"
            " prefix an event, averaged over events; every item ranked, ties count against the model; items of the"
            f" running session are {masked}. History {result.history}.",
            f"The epoch was selected by {SELECTED_BY} on validation, {again}; a training has {' and '.join(limits)};"
            f" {seeds}. Settings: {how}.",
            *(["Quick form: few users. Full runs may order models otherwise."] if self.quick else []),
        ]


def digest(*inputs: Any) -> str:
    """Ten letters that are equal for equal inputs, for the name of a folder."""
    text = json.dumps(inputs, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]
