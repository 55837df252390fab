"""The audit of a corpus: everything that its own files can tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segue.audit import copies, cut, shares, vocabulary
from segue.audit.again import from_log
from segue.audit.attributes import attributes
from segue.audit.finding import Audit, Finding
from segue.audit.parts import Parts
from segue.audit.times import moment
from segue.data.corpus import Part
from segue.data.origin import MADE_FROM, PARTS_OF_FILES, Origin

LIMITS = (
    "Whether an attribute of items or users was known before the cut: a corpus does not say when it was written down."
    " The check of attributes finds those that follow from the number or the time of later events, and no others.",
    "Whether the log itself is honest: times that were set later, or items named after what became of them.",
    "Whether somebody looked at the test part and chose a model by it.",
)


def audit_corpus(folder: Path, log: Any = None) -> Audit:
    """Audit a prepared corpus.

    Args:
        log: the log that it was prepared from, or a known data set; with it the preparation itself is tried.

    Raises CorpusError for a folder that is no corpus or is damaged, LogError for a log that cannot be read.
    """
    parts = Parts.read(folder)
    findings = corpus_findings(parts)
    if log is not None:
        findings += from_log(parts, log)
    unread = () if log is not None else (
        "Whether the corpus is what its log gives: name the log (--log) to have it prepared again and compared.",
    )  # fmt: skip
    return Audit("corpus", str(folder), findings, (*unread, *LIMITS))


def corpus_findings(parts: Parts) -> list[Finding]:
    """The checks of a corpus that need its files alone."""
    return [
        cut.disjoint(parts),
        cut.cut(parts),
        vocabulary.items(parts),
        vocabulary.users(parts),
        attributes(parts),
        *copies.copied(parts),
        _origins(parts),
        shares.filters(parts),
        cut.overlap(parts),
        shares.others_later(parts.train, parts.of(Part.TEST)),
        vocabulary.only_later(parts),
    ]


def _origins(parts: Parts) -> Finding:
    """The record of what each file was made from agrees with the events that are there."""
    expected = {file: parts.origin(own) for file, own in PARTS_OF_FILES.items()}
    last = parts.origin(PARTS_OF_FILES["items.parquet"]).newest_event
    clean = "no event" if last is None else f"the newest event of the vocabulary of items is of {moment(last)}"
    return compared_origins("record of origins", parts.manifest.get(MADE_FROM), expected, clean)


def compared_origins(name: str, recorded: Any, expected: dict[str, Origin], clean: str) -> Finding:
    """Compare what a manifest says each file was made from with the events that are there."""
    checked = "that parts and newest event, as recorded for each derived table, are those of its events"
    if not isinstance(recorded, dict):
        return Finding(name, checked, "cannot", "not recorded: an earlier Segue wrote the folder")
    wrong = []
    for file, origin in expected.items():
        if file not in recorded:
            continue
        try:
            found = Origin.parse(recorded[file])
        except ValueError as error:
            wrong.append(f"{file}: {error}")
            continue
        if found != origin:
            wrong.append(f"{file}: recorded {_words(found)}, found {_words(origin)}")
    return Finding(name, checked, "leak" if wrong else "clean", "; ".join(wrong) or clean, {"files": len(expected)})


def _words(origin: Origin) -> str:
    newest = "without events" if origin.newest_event is None else f"until {moment(origin.newest_event)}"
    return f"{' + '.join(origin.parts) or 'nothing'} {newest}"
