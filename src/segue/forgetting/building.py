"""The new folder: a model read, its people taken out, everything written and tried, before it has a name."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segue.artifact.model_folder import Artifact, load_model, read_model, write_model
from segue.artifact.names import CORPUS, EPOCH_FILES
from segue.artifact.seal import seal
from segue.audit.rebuild import refit
from segue.contract.model import SessionModel
from segue.contract.needs import check_needs
from segue.data.corpus import Corpus, Part, load
from segue.data.lineage import FORGOTTEN, forgotten
from segue.errors import ArtifactError, CorpusError
from segue.forgetting import folder as files
from segue.forgetting.corpus import write_corpus
from segue.forgetting.proof import counted_anew, no_trace, others_stay, own_rows, stored_arrays
from segue.forgetting.remaining import Remaining, remaining
from segue.forgetting.result import Check
from segue.forgetting.weights import gone_rows, without_rows
from segue.pipeline.fit import train
from segue.pipeline.measurement import measure, read_evaluation, write_evaluation
from segue.pipeline.stages import KEEPS_SETTINGS, Options
from segue.serving.vocabulary import Vocabulary
from segue.settings import Nested
from segue.settings.overrides import on_this_machine
from segue.training.state import Progress

_CARRIED = {
    "format", "settings", "n_items", "n_users", "corpus_fingerprint", "protocol", "repeats_in_sessions", "statistics",
    "made_from", "corpus", "trained_on", "choices", FORGOTTEN,
}  # fmt: skip
"""Keys of ``config.json`` that the new model has where the old one has them."""
_CHOSEN_BEFORE = "chosen while people took part who have been forgotten since"


@dataclass(frozen=True)
class Job:
    """A model, its corpus, and the people who leave.

    Attributes:
        old: the model. own, whole: the folder of its corpus, and what is in it.
        ids, rows: of the people: their ids, and their rows in the table of users.
        left_out: what the new folder will not have.
        machine: settings of this machine, see :func:`segue.settings.overrides.on_this_machine`.
    """

    old: Artifact
    own: Path
    whole: Corpus
    ids: Sequence[str]
    rows: Sequence[int]
    left: Remaining
    left_out: list[str]
    machine: Nested

    @classmethod
    def of(cls, model: Path, own: Path, people: Sequence[str], machine: Nested) -> Job:
        """Read and check everything; nothing is written. Errors are those of :func:`segue.forgetting.forget.forget`."""
        left_out, old, whole = files.left_out(model), load_model(model), load(own)
        if whole.fingerprint != old.facts["corpus_fingerprint"]:
            raise ArtifactError(f"{model} was not trained on the corpus {own}; say where its own is with --corpus")
        ids = list(dict.fromkeys(people))
        rows = _rows(whole, ids, model)
        left_out += [f"{key} of config.json" for key in sorted(old.facts.keys() - _CARRIED)]
        return cls(old, own, whole, ids, rows, remaining(whole, rows), left_out, machine)

    @property
    def trained_on(self) -> list[Part]:
        """The parts that the model was trained on."""
        return [part for part in Part if part.name.lower() in self.old.facts["trained_on"]]

    @property
    def others(self) -> list[str]:
        """Ids of all who stay."""
        theirs = {*self.ids}
        return [each for each in self.whole.user_ids if each is not None and each not in theirs]

    @property
    def size(self) -> tuple[int, int]:
        """Sessions and events of the people."""
        theirs = np.isin(self.whole.sessions.user, self.rows)
        return int(theirs.sum()), int(self.whole.sessions.lengths[theirs].sum())

    def build(self, new: Path, *, retrain: bool, progress: Callable[[Progress], None] | None) -> list[Check]:
        """Write the new folder, whole and sealed, and try it."""
        scratch = new / "scratch"
        scratch.mkdir()
        write_corpus(self.whole, self.own, self.left, new / CORPUS, scratch, len(self.ids), self.machine)
        shutil.rmtree(scratch)
        corpus = load(new / CORPUS)
        own = corpus.with_train(self.trained_on)
        check_needs(self.old.model, own)
        made = self._trained(new, progress) if retrain else self._without_rows(corpus)
        write_model(new, made[0], own, self.old.settings, {**self._facts(), "statistics": made[1]})
        seal(new)
        self._measure(new)
        gone = gone_rows(self.old.model, self.whole, corpus, self.left)
        return [
            no_trace(new, self.ids, own_rows(stored_arrays(self.old), gone), self.others),
            others_stay(self.whole, corpus, self.ids, self.left.test_events),
            *counted_anew(new, self.trained_on),
        ]

    def _facts(self) -> dict[str, Any]:
        """What ``config.json`` says beside what is seen from model and corpus."""
        old = self.old.facts
        choices = [{**choice, "reason": _CHOSEN_BEFORE} for choice in old.get("choices", [])]
        return {
            "corpus": CORPUS,
            "trained_on": [part.name.lower() for part in self.trained_on],
            FORGOTTEN: {"people": len(self.ids) + forgotten(old)},
            **({"choices": choices} if choices else {}),
        }

    def _without_rows(self, corpus: Corpus) -> tuple[SessionModel, dict[str, Any]]:
        """The old model without the rows of the people, counted anew; and the statistics of it."""
        settings = self.old.settings
        fresh = refit(corpus.with_train(self.trained_on), settings)
        return without_rows(self.old.model, fresh, settings, self.whole, corpus, self.left), fresh.statistics()

    def _trained(self, new: Path, progress: Callable[[Progress], None] | None) -> tuple[SessionModel, dict[str, Any]]:
        """A model of the same settings, trained on what is left; and the statistics of it."""
        refitted = Part.VALIDATION in self.trained_on
        options = Options(refit=refitted, progress=progress, on_little_memory=KEEPS_SETTINGS)
        settings = on_this_machine(self.old.settings, self.machine)
        trained = read_model(train(new / CORPUS, new / "retrained", settings, options))
        for name in EPOCH_FILES:
            if (trained.folder / name).exists():
                (trained.folder / name).rename(new / name)
        shutil.rmtree(trained.folder)
        return trained.model, trained.facts["statistics"]

    def _measure(self, new: Path) -> None:
        """Measure the new model where the old one was, in the same way."""
        for part in files.measured_parts(self.old.folder):
            name = part.name.lower()
            try:
                if part in self.trained_on:
                    raise CorpusError("it was measured before the last fit, with the people")
                before = read_evaluation(self.old.folder, name)
                discover = {} if before.discovery is None else {"discover": before.discovery.share}
                how: dict[str, Any] = {"history": before.history, "mask_session": before.masked, **discover}
                write_evaluation(new, measure(load_model(new), None, part, **how))
            except CorpusError:  # no session of the part is left that can be measured
                self.left_out.append(f"evaluation/{name}.json")


def _rows(whole: Corpus, ids: Sequence[str], model: Path) -> list[int]:
    """The rows of some people in the table of users."""
    row_of = {each: row for row, each in enumerate(whole.user_ids) if each is not None}
    unknown = [each for each in ids if each not in row_of]
    if unknown:
        raise ArtifactError(
            f"{len(unknown)} of {len(ids)} users are not in {model}: {Vocabulary(list(row_of)).in_words(unknown)};"
            " nothing was written, leave them out; what a server keeps of people who are in no model leaves it with"
            " DELETE /v1/users/ID"
        )
    if not ids:
        raise ArtifactError("nobody is named who could be forgotten; name them with --user or --users-file")
    return [row_of[each] for each in ids]
