"""The audit of a trained model: its corpus, then everything that the model stores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from safetensors.torch import load_file

from segue.artifact.model_folder import Artifact, load_model
from segue.artifact.names import ANSWERS
from segue.artifact.seal import is_sealed
from segue.audit import copies, rebuild, retrain
from segue.audit.again import from_log
from segue.audit.arrays import differences, identical
from segue.audit.corpus import LIMITS, compared_origins, corpus_findings
from segue.audit.finding import Audit, Finding
from segue.audit.markers import markers
from segue.audit.parts import Parts
from segue.audit.times import moment
from segue.contract.encoder import SessionEncoder
from segue.data.corpus import Corpus, Part, load
from segue.data.origin import MADE_FROM, Origin
from segue.errors import ArtifactError
from segue.pipeline.measurement import sealed_corpus

_LIMITS = (
    "What validation decided: epochs, settings and models are chosen by it, which is its purpose. Figures on validation"
    " are therefore no forecast.",
    "What another version of Segue would have counted: tables are compared with what this version counts.",
)


def audit_model(folder: Path, corpus_folder: Path | None = None, *, log: Any = None, retraining: bool = False) -> Audit:
    """Audit a trained model and the corpus that it was trained on.

    Args:
        corpus_folder: unset: the corpus that the model names. log: as for :func:`segue.audit.corpus.audit_corpus`.
        retraining: train learned weights again, on one thread of the processor.

    Raises ArtifactError for a folder that is no model, is damaged, or whose corpus is gone or another; CorpusError for
    a damaged corpus.
    """
    artifact = load_model(folder)
    own = sealed_corpus(folder, artifact.facts, corpus_folder)
    parts = Parts.read(own)
    if parts.any.fingerprint != artifact.facts["corpus_fingerprint"]:
        raise ArtifactError(f"{folder} was not trained on the corpus {own}; say where its own is with --corpus")
    findings = corpus_findings(parts)
    if log is not None:
        findings += from_log(parts, log)
    if findings[0].verdict == "leak":  # the parts cannot be put together
        findings.append(
            Finding("model", "everything that the model stores", "cannot", "its corpus has to be mended first")
        )
    else:
        findings += _model_findings(artifact, replace(load(own), folder=None), retraining=retraining)
    return Audit("model", str(folder), findings, (*LIMITS, *_LIMITS))


def _model_findings(artifact: Artifact, corpus: Corpus, *, retraining: bool) -> list[Finding]:
    trained_on = [part for part in Part if part.name.lower() in artifact.facts["trained_on"]]
    own = corpus.with_train(trained_on)
    fresh = rebuild.refit(own, artifact.settings)
    found = [
        _history(artifact, corpus, own),
        _vocabulary(artifact, corpus),
        rebuild.tables(artifact.model, fresh, artifact.settings, corpus, trained_on),
        _figures(artifact, fresh.statistics(), own),
        _answers(artifact),
        _origins(artifact, corpus, own, trained_on),
        markers(artifact, fresh, corpus, trained_on),
    ]
    if isinstance(artifact.model, SessionEncoder) and artifact.model.learned:
        found.append(
            retrain.retrained(artifact.model, artifact.settings, corpus, trained_on)
            if retraining
            else retrain.untried(artifact.model)
        )
    return found


def _history(artifact: Artifact, corpus: Corpus, own: Corpus) -> Finding:
    """The users' history holds the sessions of the parts that the model was trained on, and no others."""
    name, of = "users' history", " + ".join(artifact.facts["trained_on"])
    checked = f"that the history for requests of known users holds the sessions of {of} and no others"
    found, expected = artifact.history, own.train
    columns = ("items", "times", "offsets", "user")
    if all(np.array_equal(getattr(found, column), getattr(expected, column)) for column in columns):
        return Finding(name, checked, "clean", f"{len(found):,} sessions, the same", {"sessions": len(found)})
    others = [part for part in Part if part.name.lower() not in artifact.facts["trained_on"]]
    later = {part.name.lower(): copies.common(found, corpus.select(part)) for part in others}
    held = ", ".join(f"{count:,} of {part}" for part, count in later.items() if count)
    told = (
        f"it holds sessions after the cut: {held}"
        if held
        else "it holds others, none of them whole sessions of later parts"
    )
    return Finding(
        name, checked, "leak", f"{len(found):,} sessions where the parts have {len(expected):,}; {told}",
        {"sessions": len(found), **later},
    )  # fmt: skip


def _vocabulary(artifact: Artifact, corpus: Corpus) -> Finding:
    """Items and users are those of the corpus, attributes included."""
    wrong = [
        f"{kind}s.parquet: {_apart(found, expected)}"
        for kind, found, expected in (("item", artifact.items, corpus.items), ("user", artifact.users, corpus.users))
        if not found.equals(expected)
    ]
    return Finding(
        "model's vocabulary",
        "that items and users, with names and attributes, are those of the corpus",
        "leak" if wrong else "clean",
        "; ".join(wrong) or f"{corpus.n_items:,} items and {len(corpus.users):,} users, the same",
    )


def _apart(found: pa.Table, expected: pa.Table) -> str:
    if found.column_names != expected.column_names:
        return f"its columns are {', '.join(found.column_names)}; the corpus has {', '.join(expected.column_names)}"
    if len(found) != len(expected):
        return f"{len(found):,} rows; the corpus has {len(expected):,}"
    columns = [name for name in found.column_names if not found.column(name).equals(expected.column(name))]
    return f"column {' and column '.join(columns)} differs from the corpus"


def _figures(artifact: Artifact, fresh: dict[str, Any], own: Corpus) -> Finding:
    """Facts that depend on train: those that the model's config.json states are those of a second fit."""
    stored = artifact.facts["statistics"]
    wrong = [key for key in fresh if key in stored and not _close(stored[key], fresh[key])]
    repeats = artifact.facts.get("repeats_in_sessions", own.repeats_in_sessions)
    wrong += ["repeats_in_sessions"] if repeats != own.repeats_in_sessions else []
    shared = sorted(key for key in fresh if key in stored)
    return Finding(
        "figures about train",
        "that the figures that config.json states are those of a second fit",
        "leak" if wrong else "clean",
        f"differ: {', '.join(wrong)}" if wrong else f"{', '.join([*shared, 'repeats_in_sessions'])}: the same",
    )


def _close(a: Any, b: Any) -> bool:
    """Whether two values of JSON are equal, floats but for rounding."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_close(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_close, a, b))
    if isinstance(a, float) and isinstance(b, float | int):
        return bool(np.isclose(a, b, rtol=1e-9))
    return bool(a == b)


def _answers(artifact: Artifact) -> Finding:
    """What answers without torch read follows from the model's arrays."""
    name, checked = "tables for answers", f"that {ANSWERS} follows from the model's own arrays"
    if artifact.model.lean_form is None:
        return Finding(name, checked, "clean", "the model has no such file")
    if not is_sealed(artifact.folder, ANSWERS):
        return Finding(name, checked, "cannot", "the model was stored before there was such a file")
    stored, expected = load_file(artifact.folder / ANSWERS), artifact.model.derived()
    apart = differences(stored, expected, artifact.model.n_items)
    told = ", ".join(each.words(artifact.items.column("item_id").to_pylist()) for each in apart[:3])
    how = "bit by bit" if identical(stored, expected) else "but for the rounding of sums"
    return Finding(name, checked, "leak" if apart else "clean", told or f"{len(stored)} arrays, equal {how}")


def _origins(artifact: Artifact, corpus: Corpus, own: Corpus, trained_on: Sequence[Part]) -> Finding:
    newest = int(own.train.times.max())
    recorded = artifact.facts.get(MADE_FROM)
    origin = Origin(tuple(part.name.lower() for part in trained_on), newest)
    named = recorded if isinstance(recorded, dict) else {}
    expected = dict.fromkeys([file for file in named if file.endswith(".safetensors")], origin)
    kept = corpus.manifest.get(MADE_FROM, {})
    expected |= {file: Origin.parse(kept[file]) for file in named if file in kept}
    clean = f"the newest event of every table of the model is of {moment(newest)}"
    return compared_origins("model's record of origins", recorded, expected, clean)
