"""What an audit found: one line per check, a verdict for each, and what the checks cannot tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from segue.version import __version__

FORMAT = "segue-audit-1"
Verdict = Literal["clean", "leak", "share", "cannot"]
"""clean: checked, nothing found. leak: something from after the cut reached it. share: an effect that the protocol
itself has, told as a figure. cannot: this check could not be made, and why."""


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        name: the name of the check, the same in every audit.
        checked, found: what was compared, and what was seen; a sentence each.
        numbers: the figures in `found`.
    """

    name: str
    checked: str
    verdict: Verdict
    found: str
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Audit:
    """All results about one subject.

    Attributes:
        kind: "corpus", "model" or "files". subject: its name.
        limits: what the checks cannot tell, a sentence each.
    """

    kind: str
    subject: str
    findings: Sequence[Finding]
    limits: Sequence[str]

    @property
    def leaks(self) -> list[Finding]:
        """The checks that found a leak."""
        return [finding for finding in self.findings if finding.verdict == "leak"]

    @property
    def summary(self) -> str:
        """The result in one sentence."""
        checks = f"{len(self.findings)} checks"
        if self.leaks:
            return f"{len(self.leaks)} of {checks} found a leak: {', '.join(leak.name for leak in self.leaks)}."
        open_ = sum(finding.verdict == "cannot" for finding in self.findings)
        undone = f"; {open_} of them could not be made" if open_ else ""
        return f"No leak was found by {checks}{undone}."

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON has it."""
        return {
            "format": FORMAT,
            "segue": __version__,
            "kind": self.kind,
            "subject": self.subject,
            "leaks": [leak.name for leak in self.leaks],
            "findings": [asdict(finding) for finding in self.findings],
            "cannot": list(self.limits),
        }


def some(names: Iterable[str], most: int = 3) -> str:
    """The first few of some names, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - most:,} more" if len(every) > most else ""
    return ", ".join(repr(name) for name in every[:most]) + more
