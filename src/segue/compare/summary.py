"""The state of a comparison: its rows, which models are missing and why, and the results of the tests over users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from segue.compare.row import EntrantRow, is_measured, read_keys, read_row
from segue.compare.slices import Standing, by_slice
from segue.evaluation.measurement import Measurement, check_same_events
from segue.evaluation.significance import Difference, differences, verdict
from segue.training.validation import SELECTED_BY

FAILED = "failed.json"
POPULARITY = "popularity/global"
"""The row that every model has to pass before an order is printed."""
_COMMON = ("split", "protocol", "history", "masked", "events", "sessions", "users", "corpus_fingerprint", "event_hash")


@dataclass(frozen=True)
class Summary:
    """All that a comparison has measured so far; the shape of ``results.json``.

    Attributes:
        plan: the conditions that all models share.
        rows: label → row, for models with a finished seed.
        unfinished: label → how many seeds are done, and how many there are to be.
        failed: label → why the model is left out.
        subject: the first model that can be measured. It is compared with each other finished model.
        best_baseline: the finished baseline with the best validation HR@10.
        significance: label → metric → subject minus that model. verdicts: label → the result in words.
        slices: kind of slice → slice → the subject beside the best referee there.
    """

    plan: Mapping[str, Any]
    rows: Mapping[str, EntrantRow]
    unfinished: Mapping[str, tuple[int, int]]
    failed: Mapping[str, str]
    subject: str | None = None
    best_baseline: str | None = None
    significance: Mapping[str, Mapping[str, Difference]] = field(default_factory=dict)
    verdicts: Mapping[str, str] = field(default_factory=dict)
    slices: Mapping[str, Mapping[str, Standing]] = field(default_factory=dict)

    @property
    def passed_popularity(self) -> bool | None:
        """Whether both tests put the subject above popularity; None where popularity is not another row."""
        apart = self.significance.get(POPULARITY, {}).get(SELECTED_BY)
        return None if apart is None else apart.significant and apart.by_user > 0

    @property
    def any_measurement(self) -> Measurement | None:
        """A measurement to read what all rows share, such as the events; None where no model is finished yet."""
        return next((measured for row in self.rows.values() for measured in row.measurements), None)

    def as_dict(self) -> dict[str, Any]:
        """The summary in the JSON shape of ``results.json`` and ``segue compare --json``."""
        common = self.any_measurement
        return {
            "plan": dict(self.plan),
            **({key: getattr(common, key) for key in _COMMON} if common else {}),
            "models": {label: row.as_dict() for label, row in self.rows.items()},
            "unfinished": {label: {"seeds": done, "of": of} for label, (done, of) in self.unfinished.items()},
            "failed": dict(self.failed),
            "subject": self.subject,
            "best_baseline": self.best_baseline,
            "significance": {
                label: {name: {**asdict(one), "significant": one.significant} for name, one in metrics.items()}
                for label, metrics in self.significance.items()
            },
            "verdicts": dict(self.verdicts),
            "slices": {
                kind: {name: {**asdict(one), "verdict": one.verdict} for name, one in standings.items()}
                for kind, standings in self.slices.items()
            },
            "passed_popularity": self.passed_popularity,
        }


def summarise(folders: Mapping[str, Path], seeds: Mapping[str, Sequence[int]], plan: Mapping[str, Any]) -> Summary:
    """Read the finished work of a comparison.

    Args:
        folders: label → folder of the model. seeds: label → the seeds it is to be fitted with.

    Raises ArtifactError for a damaged file, UserMistake when models were measured on different events.
    """
    failed = {
        label: str(read_keys(folder / FAILED, "reason")["reason"])
        for label, folder in folders.items()
        if (folder / FAILED).exists()
    }
    done = {
        label: [run for seed in seeds[label] if is_measured(run := folder / f"seed-{seed}")]
        for label, folder in folders.items()
    }
    rows = {label: read_row(folders[label], runs) for label, runs in done.items() if runs and label not in failed}
    if rows:
        check_same_events(
            {f"{label}, seed {k}": one for label, row in rows.items() for k, one in enumerate(row.measurements)}
        )
    unfinished = {
        label: (len(done[label]), len(seeds[label]))
        for label in folders
        if label not in failed and len(done[label]) < len(seeds[label])
    }
    subject = next((label for label in folders if label not in failed), None)
    complete = {label: row for label, row in rows.items() if label not in unfinished}
    return Summary(plan, rows, unfinished, failed, subject, **_tested(subject, complete))


def _tested(subject: str | None, complete: Mapping[str, EntrantRow]) -> dict[str, Any]:
    """Test the first model against each other complete one, once it is complete itself; no other may be the subject."""
    others = [label for label in complete if label != subject]
    if subject is None or subject not in complete or not others:
        return {}
    means = {label: row.user_means() for label, row in complete.items()}
    significance = differences(means[subject], {label: means[label] for label in others})
    return {
        "best_baseline": _best_baseline(subject, complete),
        "significance": significance,
        "slices": by_slice(subject, complete),
        "verdicts": {label: verdict(subject, label, SELECTED_BY, significance[label][SELECTED_BY]) for label in others},
    }


def _best_baseline(subject: str, rows: Mapping[str, EntrantRow]) -> str:
    """The baseline with the best validation value: its test value must not choose it.

    Another preset of the subject's model is no baseline, unless there is nothing else.
    """
    others = [label for label in rows if label != subject]
    baselines = [label for label in others if rows[label].model != rows[subject].model]
    return max(baselines or others, key=lambda label: rows[label].entry.validation)
