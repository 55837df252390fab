"""Measure a trained model on a part of its corpus, and store the measurement beside it."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segue import models
from segue.artifact.model_folder import Artifact, load_model
from segue.artifact.names import CORPUS, MANIFEST
from segue.artifact.seal import check_seal
from segue.data.arrays import IntArray
from segue.data.checks import check_columns, check_range, read_table
from segue.data.corpus import Corpus, Part, Sessions, load
from segue.distributed.processes import ALONE, Processes
from segue.errors import ArtifactError, ModelError
from segue.evaluation.full_ranking import Evaluation, evaluate
from segue.evaluation.measurement import Measurement
from segue.evaluation.slices import SLICES, slice_column
from segue.system.atomic import aside, write_text, writing
from segue.system.checksums import sha256_of
from segue.system.folders import own_folder
from segue.system.json_files import read_object

logger = logging.getLogger("segue")

EVALUATION = "evaluation"
"""The folder of the measurements inside a model folder; the seal does not cover it."""


def evaluate_model(
    folder: Path,
    corpus_folder: Path | None = None,
    part: Part = Part.TEST,
    *,
    processes: Processes = ALONE,
    **how: Any,
) -> Evaluation:
    """Measure a trained model on one part of its corpus.

    Args:
        folder: the model. corpus_folder: by default the one it was trained on.
        processes: those that share the work; each needs model and corpus, and all get the whole result.
        how: `history`, `mask_session`, `progress`, `discover`, as for :func:`segue.evaluation.full_ranking`.

    Raises ArtifactError when the model was trained on that part or on sessions of it, or does not know the corpus'
    vocabulary.
    """
    artifact = processes.agreed(lambda: load_model(folder))
    found = processes.agreed(lambda: sealed_corpus(folder, artifact.facts, corpus_folder))
    processes.check_same({"the manifest of the model (sha256)": sha256_of(folder / MANIFEST), "--split": part.name})
    return measure(artifact, found, part, processes=processes, **how)


def corpus_of(folder: Path, facts: Mapping[str, Any], named: Path | None) -> Path:
    """The folder of a model's corpus: the one that is named, or that it was trained on.

    Raises ArtifactError where that has moved.
    """
    own = folder / facts["corpus"]
    if named is None and not own.exists():
        raise ArtifactError(f"the corpus of {folder} is no longer at {own}; say where it is with --corpus")
    return named or own


def sealed_corpus(folder: Path, facts: Mapping[str, Any], named: Path | None) -> Path:
    """Like :func:`corpus_of`; a corpus that lies inside the model must be as it was sealed there.

    Raises ArtifactError where it has moved or changed.
    """
    found = corpus_of(folder, facts, named)
    if found.resolve() == (folder / CORPUS).resolve():
        check_seal(folder, of_corpus=True)
    return found


def measure(
    artifact: Artifact,
    corpus_folder: Path | None = None,
    part: Part = Part.TEST,
    *,
    processes: Processes = ALONE,
    **how: Any,
) -> Evaluation:
    """Measure a model that is in memory, such as the model of an unfinished run; its seal is not checked.

    Arguments and errors are those of :func:`evaluate_model`.
    """
    corpus = processes.agreed(lambda: _measurable(artifact, corpus_folder, part))
    processes.check_same({"the fingerprint of the corpus": corpus.fingerprint})
    settings = artifact.settings.evaluation
    options = {"history": settings.history, "mask_session": settings.mask_session, **how}
    label = models.label(artifact.settings)
    try:
        return evaluate(artifact.model, corpus, part, label=label, processes=processes, **options)
    except ModelError as error:
        raise ArtifactError(f"the model {artifact.folder} cannot be measured ({error}); train it again") from None


def _measurable(artifact: Artifact, corpus_folder: Path | None, part: Part) -> Corpus:
    """The corpus of a model, where this part of it can be measured."""
    facts, folder = artifact.facts, artifact.folder
    trained_on = [Part[name.upper()] for name in facts["trained_on"]]
    if part in trained_on:
        raise ArtifactError(
            f"{folder} was trained on the {part.name.lower()} part too; it cannot be measured there"
            " (what was measured before is kept in its folder evaluation)"
        )
    corpus = load(corpus_of(folder, facts, corpus_folder)).with_train(trained_on)
    _check_vocabulary(artifact, corpus)
    if corpus.fingerprint != facts["corpus_fingerprint"]:
        _check_sessions(artifact, corpus, part)
    return corpus


def write_evaluation(folder: Path, evaluation: Evaluation) -> Measurement:
    """Write a measurement beside the model: ``evaluation/SPLIT.json`` and ``SPLIT.ranks.parquet``."""
    measurement = evaluation.measurement()
    with writing(folder):
        own_folder(folder / EVALUATION).mkdir(exist_ok=True)
        with aside(folder / EVALUATION / f"{measurement.split}.ranks.parquet") as ranks:
            evaluation.write_ranks(ranks)
        write_text(
            folder / EVALUATION / f"{measurement.split}.json", json.dumps(measurement.as_dict(), indent=1) + "\n"
        )
    return measurement


def read_evaluation(folder: Path, split: str = "test") -> Measurement:
    """Read the measurement that :func:`write_evaluation` wrote. Raises ArtifactError when it is missing or damaged."""
    path = folder / EVALUATION / f"{split}.json"
    try:
        return Measurement.parse(read_object(path))
    except KeyError as error:
        reason = f"it holds no measurement: {error} is missing"
    except (OSError, ValueError) as error:
        reason = str(error)
    raise ArtifactError(f"cannot read {path} ({reason}); measure again with: segue evaluate {folder}")


def read_ranks(folder: Path, split: str = "test") -> tuple[IntArray, IntArray]:
    """The ranks that :func:`write_evaluation` wrote, [events], and the number of the user of each event, [events].

    Equal numbers are equal users, also those of the sessions without a user. Raises ArtifactError when the file is
    missing or damaged.
    """
    path = folder / EVALUATION / f"{split}.ranks.parquet"
    try:
        table = read_table(path, ("user", "rank"))
        check_columns(table, {"user": pa.string(), "rank": pa.int64()}, ("user",), path.name)
        check_range("the ranks", table.column("rank").to_numpy(), 1, math.inf)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"cannot read {path} ({error}); measure again with: segue evaluate {folder}") from None
    user = table.column("user").combine_chunks().dictionary_encode(null_encoding="encode").indices.to_numpy()
    return table.column("rank").to_numpy(), user.astype(np.int64)


def read_slices(folder: Path, split: str = "test") -> dict[str, IntArray]:
    """The slices that :func:`write_evaluation` wrote: kind → number of the slice of each event, [events].

    Kinds that an earlier Segue did not write are left out. Raises ArtifactError when the file is missing or damaged.
    """
    path = folder / EVALUATION / f"{split}.ranks.parquet"
    try:
        table = read_table(path)
        kinds = [kind for kind in SLICES if slice_column(kind) in table.column_names]
        check_columns(table, dict.fromkeys(map(slice_column, kinds), pa.string()), (), path.name)
        return {kind: _codes(table.column(slice_column(kind)), SLICES[kind]) for kind in kinds}
    except (OSError, ValueError) as error:
        raise ArtifactError(f"cannot read {path} ({error}); measure again with: segue evaluate {folder}") from None


def _codes(column: pa.ChunkedArray, labels: tuple[str, ...]) -> IntArray:
    """The number of the label in each row. Raises ValueError for a text that is none of the labels."""
    codes = pc.index_in(column, pa.array(labels))
    if codes.null_count:
        raise ValueError(f"a slice is none of {', '.join(labels)}")
    return np.asarray(codes, dtype=np.int64)


def _check_vocabulary(artifact: Artifact, corpus: Corpus) -> None:
    same = (
        corpus.items.column("item_id").equals(artifact.items.column("item_id"))
        and corpus.users.column("user_id").equals(artifact.users.column("user_id"))
        and corpus.n_users == artifact.model.n_users
    )
    if not same:
        raise ArtifactError(
            f"{artifact.folder} was trained on another corpus (its items or users differ); pass its own with --corpus"
        )


def _check_sessions(artifact: Artifact, corpus: Corpus, part: Part) -> None:
    """Raise ArtifactError where another split of the log would measure a model on sessions that it was trained on."""
    learned = set(_sessions(artifact.history))
    played = _sessions(corpus.select(part))
    known = sum(session in learned for session in played)
    if known:
        raise ArtifactError(
            f"{artifact.folder} was trained on {known:,} of the {len(played):,} {part.name.lower()} sessions of this"
            " corpus; measure it on its own corpus, or train a model on this one"
        )
    if learned != set(_sessions(corpus.train)):
        logger.warning("%s was trained on other sessions than this corpus trains on", artifact.folder)


def _sessions(sessions: Sessions) -> list[tuple[int, int, bytes]]:
    """User, start and items of each session: equal for a session that occurs in two corpora of one vocabulary."""
    cells = list(pairwise(sessions.offsets.tolist()))
    starts = (int(sessions.times[first]) for first, _ in cells)
    items = (sessions.items[first:last].tobytes() for first, last in cells)
    return list(zip(sessions.user.tolist(), starts, items, strict=True))
