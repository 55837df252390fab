"""The kinds of single values that requests hold, each with its check and its schema."""

from __future__ import annotations

import re
import sys
from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainValidator, TypeAdapter, ValidationError, WithJsonSchema

from segue.serving.request import LATEST

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMES: TypeAdapter[datetime] = TypeAdapter(datetime)


def _whole(value: Any) -> Any:
    """A number such as 10.0, which is a whole one in JSON, as a whole one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _value(given: Any) -> str | float:
    """A text or a number. A union of the library would name its own parts in the place of a mistake."""
    if isinstance(given, str) and len(given) <= 256:
        return given
    if isinstance(given, int | float) and not isinstance(given, bool) and abs(given) <= sys.float_info.max:
        return given
    raise ValueError("input should be a text of at most 256 characters, or a number")


def _moment(given: Any) -> int | datetime:
    """Epoch milliseconds, or a time of ISO 8601. Digits as text are neither: nobody knows which unit they have."""
    number = _whole(given)
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= LATEST:
        return number
    if isinstance(given, str) and _DATE.match(given):
        try:
            return _TIMES.validate_python(given)
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"]) from None
    raise ValueError('input should be epoch milliseconds as a number, or ISO 8601 such as "2026-11-26T20:15:00Z"')


Whole = Annotated[int, BeforeValidator(_whole)]
"""A whole number."""
Value = Annotated[
    str | float,
    PlainValidator(_value),
    WithJsonSchema({"anyOf": [{"type": "string", "maxLength": 256}, {"type": "number"}]}),
]
"""Value of an attribute."""
Moment = Annotated[
    int | datetime,
    PlainValidator(_moment),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": LATEST},
                {"type": "string", "format": "date-time"},
            ]
        }
    ),
]
"""Time of an event."""
Id = Annotated[str, Field(min_length=1, max_length=256)]
"""Id of an item, a user, a session or an event."""
