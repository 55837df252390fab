"""From the folders of a comparison to its one table, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from segue.errors import ArtifactError
from segue.evaluation.significance import UserMeans, differences, user_means, verdict
from segue.pipeline import measurement as measuring
from segue.report.evaluation_page import check_same_events
from segue.training import epochs as records
from segue.training.trainer import SELECTED_BY

Summary = dict[str, Any]

COST, ENTRY, FAILED, TUNING = "cost.json", "entry.json", "failed.json", "tuning"
_AVERAGES = ("metrics", "metrics_by_user", "coverage")


def summary(folders: Mapping[str, Path], seeds: Mapping[str, Sequence[int]], plan: Mapping[str, Any]) -> Summary:
    """What is known so far.

    Args:
        folders: label → folder of the model. seeds: label → the seeds it is to be fitted with.

    Returns:
        ``plan``; of the test part ``events``, ``sessions``, ``users``, ``split``, ``protocol``, ``history``, ``masked``
        and ``event_hash``; ``models`` (label → means, costs and settings, for those with a finished seed);
        ``unfinished`` (label → seeds done and in all); ``failed`` (label → reason); ``significance`` of the
        ``subject``, the first model that can be measured, against each other finished one, ``best_baseline`` among
        those by validation, and ``verdicts`` in words.
    """
    failed = {label: reason for label, folder in folders.items() if (reason := _failed(folder))}
    done = {
        label: [run for seed in seeds[label] if _measured(run := folder / f"seed-{seed}")]
        for label, folder in folders.items()
    }
    shown = {label: runs for label, runs in done.items() if runs and label not in failed}
    evaluations = {label: [measuring.read_evaluation(run) for run in runs] for label, runs in shown.items()}
    if evaluations:
        check_same_events({f"{label}, seed {k}": e for label, es in evaluations.items() for k, e in enumerate(es)})
    complete = [label for label, runs in shown.items() if len(runs) == len(seeds[label])]
    rows = {label: _row(folders[label], runs, evaluations[label]) for label, runs in shown.items()}
    unfinished = {
        label: {"seeds": len(done[label]), "of": len(seeds[label])}
        for label in folders
        if label not in failed and label not in complete
    }
    return {
        "plan": dict(plan),
        **(_common(next(iter(evaluations.values()))[0]) if evaluations else {}),
        "models": rows,
        "unfinished": unfinished,
        "failed": failed,
        **_compared(next((label for label in folders if label not in failed), None), complete, shown, rows),
    }


def _measured(run: Path) -> bool:
    return (run / "evaluation" / COST).exists() and (run.parent / ENTRY).exists()


def _failed(folder: Path) -> str:
    path = folder / FAILED
    return str(_read(path, "reason")["reason"]) if path.exists() else ""


def _common(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("split", "protocol", "history", "masked", "events", "sessions", "users", "corpus_fingerprint", "event_hash")
    return {key: evaluation[key] for key in keys}


def _row(folder: Path, runs: Sequence[Path], evaluations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    entry = _read(folder / ENTRY, "seconds", "trials", "tuned", "settings", "validation")
    costs = [_read(run / "evaluation" / COST, "seconds", "parameters") for run in runs]
    return {
        "runs": [str(run) for run in runs],
        **{key: _spreads([evaluation[key] for evaluation in evaluations]) for key in _AVERAGES},
        "seconds": {
            "tuning": entry["seconds"],
            **_spreads([cost["seconds"] for cost in costs]),
        },
        "parameters": costs[0]["parameters"],
        "trained_events": sum(epoch["events"] for epoch in records.read_epochs(runs[0], "refit")),
        "trials": entry["trials"],
        "tuned": entry["tuned"],
        "settings": entry["settings"],
        "validation": entry["validation"],
    }


def _spreads(values: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    """Mean and standard deviation over seeds, key by key; one seed has none."""
    return {
        key: {
            "mean": float(np.mean([value[key] for value in values])),
            "sd": float(np.std([value[key] for value in values], ddof=1)) if len(values) > 1 else None,
        }
        for key in values[0]
    }


def _compared(
    subject: str | None,
    complete: Sequence[str],
    runs: Mapping[str, Sequence[Path]],
    rows: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """The first model against each other complete one, once it is complete itself: nobody else takes its place."""
    others = [label for label in complete if label != subject]
    if subject is None or subject not in complete or not others:
        return {"subject": subject, "best_baseline": None, "significance": {}, "verdicts": {}}
    means = {label: _user_means(runs[label]) for label in complete}
    found = differences(means[subject], {label: means[label] for label in others})
    return {
        "subject": subject,
        "best_baseline": _best_baseline(subject, others, rows),
        "significance": {
            label: {
                name: {**asdict(difference), "significant": difference.significant}
                for name, difference in names.items()
            }
            for label, names in found.items()
        },
        "verdicts": {label: verdict(subject, label, SELECTED_BY, found[label][SELECTED_BY]) for label in others},
    }


def _best_baseline(subject: str, others: Sequence[str], rows: Mapping[str, Mapping[str, Any]]) -> str:
    """On validation: the baseline with the best test number would be chosen with the answer in hand.

    Another preset of the subject's model is no baseline, unless there is nothing else.
    """
    own = _model_of(rows[subject])
    baselines = [label for label in others if _model_of(rows[label]) != own]
    return max(baselines or others, key=lambda label: rows[label]["validation"])


def _model_of(row: Mapping[str, Any]) -> str:
    return str(row["settings"]["model"]["name"])


def _user_means(runs: Sequence[Path]) -> UserMeans:
    ranks = [_ranks(run / "evaluation" / "test.ranks.parquet") for run in runs]
    user = ranks[0].column("user").combine_chunks().dictionary_encode().indices.to_numpy()
    return user_means([table.column("rank").to_numpy() for table in ranks], user)


def _ranks(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, columns=["user", "rank"])
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from None


def _read(path: Path, *keys: str) -> dict[str, Any]:
    """What is kept in a file, which has to hold these keys."""
    try:
        found = dict(json.loads(path.read_text(encoding="utf-8")))
        return {key: found[key] for key in keys}
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(path, error) from None
    except KeyError as error:
        raise _damaged(path, f"{error} is missing") from None


def _damaged(path: Path, why: object) -> ArtifactError:
    return ArtifactError(f"cannot read {path} ({why}); remove the folder of that model and repeat")
