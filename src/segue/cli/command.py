"""How the command line reads the arguments of a request."""

from __future__ import annotations

from collections import Counter
from typing import Any

from typer.core import TyperCommand, TyperOption


class RequestCommand(TyperCommand):
    """A command that refuses an option given twice: of two users, the last would be answered without a word.

    Other commands let the last value win, as scripts that append their own settings rely on.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse as usual, once no option that takes one value is found to be given several."""
        _, _, found = self.make_parser(ctx).parse_args(args=list(args))
        for parameter, times in Counter(found).items():
            takes_one = isinstance(parameter, TyperOption) and not (parameter.multiple or parameter.is_flag)
            if takes_one and times > 1:
                ctx.fail(f"Option '{parameter.opts[0]}' is given {times} times and takes one value")
        return super().parse_args(ctx, args)
