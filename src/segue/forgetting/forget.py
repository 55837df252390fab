"""From a model to one without some people: built beside its place, proved, and only then given its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from segue.artifact.model_folder import load_model, publish_model, refuse_existing
from segue.data.corpus import Part
from segue.errors import ArtifactError, ConfigError
from segue.forgetting.building import Job
from segue.forgetting.lists import ListsCompared, compare_lists
from segue.forgetting.live import Live, take_out, traces_in
from segue.forgetting.result import Check, Forgotten, refuse_unproved
from segue.pipeline.measurement import sealed_corpus
from segue.server.store.event import ReadableStore
from segue.settings import Nested, Settings
from segue.settings.overrides import on_this_machine
from segue.system.atomic import writing
from segue.system.folders import refuse_inputs_inside, refuse_inside_of, refuse_nameless
from segue.system.holding import held
from segue.system.replacing import followed, under_construction
from segue.system.torch_runtime import pick_device
from segue.training.state import Progress


@dataclass(frozen=True)
class How:
    """Options.

    Attributes:
        corpus: where the model's corpus is, if it has moved. overwrite: replace a model at the new place.
        retrain: train weights anew. live: the live events that the people leave too.
        progress: called while weights are trained.
        machine: settings of this machine, see :func:`segue.settings.overrides.on_this_machine`.
    """

    corpus: Path | None = None
    overwrite: bool = False
    retrain: bool = False
    live: Live | None = None
    progress: Callable[[Progress], None] | None = None
    machine: Nested = field(default_factory=dict)


def forget(model: Path, people: Sequence[str], out: Path, how: How = How()) -> Forgotten:
    """Write a model without some people, and prove it; `model` is only read.

    Live events go once the new folder is proved, and before it has its name: where that fails, the command can be
    repeated.

    Args:
        people: ids of users. out: the new folder; it appears at the end and whole, or not at all.

    Raises:
        ArtifactError: the model or its corpus is missing, damaged or holds an unknown file; a person is not in it;
            `out` is in the way; live events cannot be used.
        ConfigError: `how.machine` names a setting of the model, one that nothing here uses, or a device that this
            machine has not.
        CorpusError: too little would be left, or not what the model needs.
        NotForgotten: the proof failed.
    """
    refuse_nameless(out, ArtifactError)
    with held(out, ArtifactError), _opened(how.live) as store:
        place = followed(out)
        old = load_model(model)
        _check_machine(old.settings, how)
        own = sealed_corpus(model, old.facts, how.corpus)
        refuse_inputs_inside(place, model, own)
        refuse_inside_of(place, model, own)
        refuse_existing(place, overwrite=how.overwrite)
        job = Job.of(model, own, people, how.machine)
        if how.retrain and Part.TEST in job.trained_on:
            raise ArtifactError(
                f"{model} was trained on test too (--final), which --retrain cannot repeat; leave --retrain out"
            )
        with writing(out), under_construction(place) as new:
            checks = job.build(new, retrain=how.retrain, progress=how.progress)
            refuse_unproved(checks)
            lists = compare_lists(model, new)
            live_events = _leave_live(how.live, store, job.ids, checks)
            refuse_existing(place, overwrite=how.overwrite)  # again: it has been a while
            publish_model(new, place)
    return _told(job, how, live_events, checks, lists)


def _check_machine(settings: Settings, how: How) -> None:
    chosen = on_this_machine(settings, how.machine)
    if how.retrain:
        pick_device(chosen.training.device)
    elif "training" in how.machine:
        raise ConfigError("--set training.… is for --retrain: without it nothing is trained")


def _told(job: Job, how: How, live_events: int | None, checks: Sequence[Check], lists: ListsCompared) -> Forgotten:
    """What was done."""
    sessions, events = job.size
    return Forgotten(
        people=len(job.ids),
        sessions=sessions,
        events=events,
        items=len(job.left.gone_items),
        test_events=job.left.test_events,
        test_sessions=job.left.test_sessions,
        live_events=live_events,
        retrained=how.retrain,
        weights_stay=bool(job.old.model.learned) and not how.retrain,
        checks=checks,
        lists=lists,
        left_out=tuple(job.left_out),
    )


def _leave_live(live: Live | None, store: ReadableStore | None, ids: Sequence[str], checks: list[Check]) -> int | None:
    """Take the people out of the live events, and prove it; returns how many events there were."""
    if live is None or store is None:
        return None
    count = take_out(store, ids)
    traces = traces_in(live, store, ids)
    checks.append(Check("live events", not traces, "; ".join(traces) or f"{count:,} are gone, nothing is left of them"))
    refuse_unproved(checks)
    return count


@contextmanager
def _opened(live: Live | None) -> Iterator[ReadableStore | None]:
    if live is None:
        yield None
        return
    with live.opened() as store:
        yield store
