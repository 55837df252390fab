"""Texts from outside, such as names of items and files, made fit to be shown: nothing in them is obeyed."""

from __future__ import annotations

import re

_OBEYED = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f"  # control characters of ASCII, but tab and line feed
    "\x80-\x9f"  # the same with the eighth bit: a terminal takes \x9b for ESC [
    "\u2028\u2029"  # separators of lines and paragraphs
    "\u202a-\u202e\u2066-\u2069"  # orders about the direction of writing, which show one text for another
    "\ud800-\udfff"  # bytes of a name that are no text: no encoding has them
    "]"
)
_BREAKS = re.compile(r"\s*[\r\n]+\s*")


def printable(text: str) -> str:
    r"""The text with the characters that a terminal obeys instead of showing as JSON's escapes: ``\u001b``.

    Line feeds and tabs stay. A JSON text stays the same JSON.
    """
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def in_one_line(text: str) -> str:
    """The text as :func:`printable` has it, with blanks for its line breaks."""
    return printable(_BREAKS.sub(" ", text.strip("\r\n"))).replace("\t", " ")
