"""Show the roles of docstrings, such as :meth:`arrays`, as plain code in the API reference."""

from __future__ import annotations

import re
from typing import Any

import griffe


class PlainRoles(griffe.Extension):
    """An extension of the reader of docstrings: pages are Markdown, which knows no roles."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of each object that was read."""
        if obj.docstring:
            obj.docstring.value = re.sub(r":(?:meth|func|class|mod|attr):`~?([^`]+)`", r"`\1`", obj.docstring.value)
