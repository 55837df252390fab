"""What the words before the command say: which command, and the form of the log; known before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

LOG_VARIABLE = "SEGUE_LOG"
"""The variable of the environment that says what ``--log`` says."""
LogForm = Literal["text", "json"]


class FirstWords(NamedTuple):
    """The command that is wanted, None where there is none, and whether the log is one of JSON lines."""

    command: str | None
    json_log: bool


def first_words(arguments: Sequence[str], environment: Mapping[str, str]) -> FirstWords:
    """Read what stands before the command. What is wrong there is refused later, by the command line itself."""
    form = environment.get(LOG_VARIABLE, "text")
    words = iter(arguments)
    for word in words:
        if word == "--log":
            form = next(words, "")
        elif word.startswith("--log="):
            form = word.removeprefix("--log=")
        elif not word.startswith("-"):
            return FirstWords(word, form == "json")
    return FirstWords(None, form == "json")
