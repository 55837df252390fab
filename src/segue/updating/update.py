"""From yesterday's model and a new log to today's: built beside its place, compared, and only then given its name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from segue import models
from segue.artifact.model_folder import Artifact, load_model, publish_model, refuse_existing, write_model
from segue.artifact.names import CORPUS
from segue.artifact.seal import seal
from segue.data.corpus import Corpus, Part, load
from segue.data.lineage import FORGOTTEN, LINEAGE
from segue.data.log.moments import iso
from segue.errors import ArtifactError
from segue.pipeline.measurement import sealed_corpus, write_evaluation
from segue.pipeline.stages import KEEPS_SETTINGS, Options, played, selected
from segue.settings import Nested
from segue.settings.overrides import changed, on_this_machine
from segue.system.atomic import writing
from segue.system.folders import refuse_inputs_inside, refuse_inside_of, refuse_nameless
from segue.system.holding import held
from segue.system.replacing import followed, under_construction
from segue.system.torch_runtime import pick_device
from segue.training.state import Progress
from segue.updating.comparison import METRIC, Compared, Verdict, compare
from segue.updating.growth import grow
from segue.updating.source import Read, Source
from segue.updating.warm import Warm


@dataclass(frozen=True)
class How:
    """Options.

    Attributes:
        corpus: where the model's corpus is, if it has moved. overwrite: replace a model at the new place.
        epochs: at most so many passes over what is learned. replay: share of the old sessions that are learned again.
        progress: called while weights are trained.
        machine: settings of this machine, see :func:`segue.settings.overrides.on_this_machine`.
    """

    corpus: Path | None = None
    overwrite: bool = False
    epochs: int = 3
    replay: float = 0.2
    progress: Callable[[Progress], None] | None = None
    machine: Nested = field(default_factory=dict)


@dataclass(frozen=True)
class Updated:
    """The shape of ``segue update --json``; keys are only ever added under one `format`.

    Attributes:
        verdict: "promoted": the new model is at its place. "worse", "nothing new": there is none.
        read: what the log held. compared: None where nothing is new.
        learned: train sessions that the weights learned of in all; 0 for a model that only counts, and where no pass
            over them was better on validation than the weights of before.
        counts: whether the model has counts, which are new whatever was learned.
    """

    verdict: Verdict
    read: Read
    compared: Compared | None = None
    learned: int = 0
    counts: bool = True
    format: str = "segue-update-1"

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape."""
        found = {"format": self.format, "verdict": self.verdict, "learned_sessions": self.learned}
        return {**found, "read": asdict(self.read), "compared": self.compared.as_dict() if self.compared else None}

    @property
    def words(self) -> list[str]:
        """What happened, a line for each fact."""
        read = self.read
        told = [
            f"read {read.rows:,} rows: {read.added:,} events are new, {read.duplicates:,} were there already,"
            f" {read.left_out:,} were left out by filters or split, {read.invalid:,} could not be read",
            f"{read.items:,} items and {read.users:,} users have come; {read.late:,} events are older than the newest"
            f" one of the corpus, {read.backwards:,} of them older than the newest one of their user",
        ]
        if read.lost:
            told.append(
                f"{read.lost:,} events of the corpus are gone: they are more than sessions.max_length allows now, or"
                " repeat the item just before them (sessions.drop_repeats)"
            )
        if self.compared is not None:
            told.append(f"{self._taught}; {self._judged}")
        return told

    @property
    def _taught(self) -> str:
        """What weights and counts have learned."""
        if self.learned:
            return f"{self.learned:,} sessions were learned from"
        if self.counts:
            return "only counts are new"
        drawn = f", and the vectors of new items ({self.read.items:,}) are random" if self.read.items else ""
        return f"no pass over the sessions was clearly better than the weights of before, which stay{drawn}"

    @property
    def reason(self) -> str:
        """Why there is no new model."""
        if self.verdict == "worse":
            return f"the new model is worse: {self._judged}"
        return "the log holds nothing that the model does not have"

    @property
    def _judged(self) -> str:
        found = self.compared
        if found is None:
            return ""
        low, high = (100 * bound for bound in found.interval)
        return (
            f"{METRIC} {100 * found.difference:+.2f} points over {found.users:,} users [{low:+.2f}, {high:+.2f}] on"
            f" {found.events:,} events of sessions that ended from {iso(found.since)} on,"
            f" {found.unknown_targets:,} of them about items that the old model did not know"
        )


def update(model: Path, source: Source, out: Path, how: How = How()) -> Updated:
    """Grow the model's corpus by a log, train it on, and write it where it is not worse on the newest sessions.

    The candidate is trained and counted on what is older than these; one that is promoted is then trained once more,
    from yesterday's weights again, on a corpus in which nothing is set apart. `model` is only read, unless `out` is its
    own place; a process that dies leaves it as it was.

    Raises:
        ArtifactError: the model or its corpus is missing or damaged; `out` is in the way.
        ConfigError: `how.machine` names a setting of the model, or one that this machine cannot give.
        LogError, CorpusError: see :func:`segue.updating.growth.grow` and :func:`segue.updating.comparison.compare`.
    """
    refuse_nameless(out, ArtifactError)
    with held(out, ArtifactError):
        place, old = followed(out), load_model(model)
        pick_device(on_this_machine(old.settings, how.machine).training.device)
        own = sealed_corpus(model, old.facts, how.corpus)
        whole = load(own)
        if whole.fingerprint != old.facts["corpus_fingerprint"]:
            raise ArtifactError(f"{model} was not trained on the corpus {own}; say where its own is with --corpus")
        if place.resolve() != model.resolve():  # a model may take its own place
            refuse_inputs_inside(place, model, own)
            refuse_inside_of(place, model, own)
        refuse_inputs_inside(place, source.log, source.items, source.users)
        refuse_existing(place, overwrite=how.overwrite)
        with writing(out), under_construction(place) as new:
            scratch = new / "scratch"
            scratch.mkdir()
            read = grow(whole, own, source, scratch, how.machine, out=new / CORPUS, apart=scratch / CORPUS)
            if not read.added:
                return Updated("nothing new", read)
            found = _made(new, scratch, old, read, how)
            if found.verdict == "promoted":
                shutil.rmtree(scratch)
                seal(new)
                refuse_existing(place, overwrite=how.overwrite)  # again: it has been a while
                publish_model(new, place)
            return found


def _made(new: Path, scratch: Path, old: Artifact, read: Read, how: How) -> Updated:
    """Train and compare on the corpus in `scratch`; where it is promoted, the model in `new` is trained on all.

    Validation says how many passes; none, where the weights of before are better. What is compared has been trained and
    counted on validation too: a candidate that lacks the newest tenth of what it could know says little of the model
    that is promoted.
    """
    settings = old.settings
    training = {"max_epochs": min(how.epochs, settings.training.max_epochs), "epoch_steps": 0}
    quick = changed(on_this_machine(settings, how.machine), {"training": training})
    warm = Warm(old, how.replay, settings.training.seed)
    options = Options(progress=how.progress, start=warm, on_little_memory=KEEPS_SETTINGS)
    apart = load(scratch / CORPUS)
    fitted = load(scratch / CORPUS, (Part.TRAIN, Part.VALIDATION))
    _, plan = selected(fitted, scratch, quick, options)
    known = fitted.with_train([Part.TRAIN, Part.VALIDATION])
    candidate = played("refit", known, scratch, quick, plan, options)
    compared, evaluation = compare(old, candidate, apart, models.label(settings))
    everything = load(new / CORPUS).with_train([Part.TRAIN, Part.VALIDATION])
    learned = len(warm.learned(everything)) if plan else 0
    counts = not old.model.arrays().keys() <= set(old.model.learned)
    if compared.worse:
        return Updated("worse", read, compared, learned, counts)
    final = played("final", everything, scratch, quick, plan, options)
    write_model(new, final, everything, settings, _facts(old, everything, compared, how))
    write_evaluation(new, evaluation)
    return Updated("promoted", read, compared, learned, counts)


def _facts(old: Artifact, corpus: Corpus, compared: Compared, how: How) -> dict[str, Any]:
    """What ``config.json`` says beside what is seen from model and corpus."""
    step = {
        **corpus.manifest[LINEAGE][-1],
        "epochs": how.epochs,
        "replay": how.replay,
        "compared": compared.as_dict(),
    }
    carried = {key: old.facts[key] for key in ("choices", FORGOTTEN) if key in old.facts}
    return {
        "corpus": CORPUS,
        "trained_on": [Part.TRAIN.name.lower(), Part.VALIDATION.name.lower()],
        **carried,
        LINEAGE: [*old.facts.get(LINEAGE, []), step],
    }
