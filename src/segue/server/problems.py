"""What goes wrong with a request, as problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MEDIA_TYPE = "application/problem+json"
_SHOWN = 8
"""Most mistakes of one body that an answer lists."""


class Mistake(BaseModel):
    """One value of a request that does not fit."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    where: str
    """Place in the body, or name of the query parameter."""
    what: str
    """What is wrong with it."""


class Problem(BaseModel):
    """Why a request was refused or failed."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: str = "about:blank"
    """Kind of the problem; about:blank means that the status says it."""
    title: str
    """The status in words."""
    status: int = Field(ge=400, le=599)
    """The status of the answer."""
    detail: str
    """What failed, what was found, what to do."""
    request_id: str
    """The id of the request, which the log of the server names too."""
    mistakes: list[Mistake] = []
    """What is wrong with the body, value by value."""


class Refusal(Exception):
    """Ends a request with a problem.

    Args:
        status: the status of the answer.
        detail: what failed, what was found, what to do, in one line.
        headers: headers of the answer beside the usual ones.
        mistakes: what is wrong with the body, value by value.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        mistakes: list[Mistake] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.mistakes = status, detail, dict(headers or {}), mistakes or []

    def body(self, request_id: str) -> bytes:
        """The problem as JSON."""
        problem = Problem(
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            detail=self.detail,
            request_id=request_id,
            mistakes=self.mistakes,
        )
        return problem.model_dump_json(exclude_defaults=False).encode()


def unfit(error: ValidationError, what: str) -> Refusal:
    """The refusal of a body or query that the schema refuses: 400 where it is no JSON at all, else 422.

    Args:
        what: what was read, as it reads at the beginning of a message.
    """
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        reason = found[0]["msg"].removeprefix("Invalid JSON: ")
        return Refusal(400, f'{what} is no JSON: {reason}; send UTF-8 text such as {{"items": []}}')
    mistakes = [Mistake(where=_place(each["loc"]), what=_words(each["msg"])) for each in found[:_SHOWN]]
    more = f" and {len(found) - _SHOWN} more mistakes" if len(found) > _SHOWN else ""
    first = mistakes[0]
    at = f"{first.where}: " if first.where else ""
    return Refusal(422, f"{what} does not fit: {at}{first.what}{more}; see /docs", mistakes=mistakes)


def _words(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _place(path: tuple[int | str, ...]) -> str:
    return ".".join(map(str, path))[:200]
