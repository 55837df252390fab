"""The requests: what a body or a query may hold. The schema of the API is made from these classes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    FiniteFloat,
    RootModel,
    Tag,
    field_validator,
    model_validator,
)

from segue.server.kinds import Id, Moment, Value, Whole

MOST_ITEMS = 1_000
"""Most recommended items, items of a session, and events of one request."""
MOST_IDS = 100_000
"""Most ids of a list that is no session: candidates, excluded items."""
MOST_REQUESTS = 100
"""Most requests of one batch."""
MOST_EXPLAINED = 100
"""Most items that one request asks to explain."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ONE_SESSION: Any = {
    "not": {
        "required": ["session", "items"],
        "properties": {"session": {"type": "string"}, "items": {"type": "array"}},
    }
}
"""That at most one of the two is given, for the description of the API; null counts as not given."""


class _Body(BaseModel):
    """A request: nothing is converted from another type, and no key is passed over."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True, frozen=True)


def _refuse_two_sessions(session: str | None, items: list[str] | None) -> None:
    if session is not None and items is not None:
        raise ValueError("session and items both say what the session is; send one of them")


def _something(schema: dict[str, Any]) -> None:
    """Say in the description of the API that a condition has a key, and that no key is null."""
    schema["minProperties"] = 1
    for each in schema["properties"].values():
        del each["default"]
        each["anyOf"] = [kind for kind in each["anyOf"] if kind != {"type": "null"}]


class Condition(_Body):
    """What an attribute of an item has to be; several conditions hold together."""

    model_config = ConfigDict(validate_by_name=False, json_schema_extra=_something)

    equals: Value | None = None
    """Exactly this value."""
    in_: Annotated[list[Value], Field(max_length=MOST_ITEMS)] | None = Field(None, alias="in")
    """One of these values."""
    not_in: Annotated[list[Value], Field(max_length=MOST_ITEMS)] | None = None
    """None of these values; an item without the attribute passes."""
    less: FiniteFloat | None = None
    """A number below this one."""
    greater: FiniteFloat | None = None
    """A number above this one."""

    @field_validator("equals", "in_", "not_in", "less", "greater", mode="before")
    @classmethod
    def _is_no_null(cls, given: Any) -> Any:
        if given is None:
            raise ValueError("null is no condition; write a value, or leave the key out")
        return given

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("a condition is empty; write equals, in, not_in, less or greater")
        return self


class Recommend(_Body):
    """Whom to recommend to, and what."""

    model_config = ConfigDict(json_schema_extra=_ONE_SESSION)

    user: Id | None = None
    """Id of the user; left out for nobody."""
    session: Id | None = None
    """Id of a live session, whose items are those of its events."""
    items: Annotated[list[Id], Field(max_length=MOST_ITEMS)] | None = None
    """Items of the session, oldest first, in place of `session`. With neither, the user's live session is used."""
    k: Whole = Field(10, ge=1, le=MOST_ITEMS)
    """How many items."""
    exclude: Annotated[list[Id], Field(max_length=MOST_IDS)] = []
    """Items that are never shown."""
    exclude_seen: Literal["session", "history"] | None = None
    """"session" leaves out the items of the session, "history" those of the history too."""
    candidates: Annotated[list[Id], Field(max_length=MOST_IDS)] | None = None
    """The only items that may be shown."""
    filter: Annotated[dict[Id, Condition], Field(max_length=20)] | None = None
    """Attribute of the items → condition; all of them hold together."""
    explain: bool = False
    """True says of every item why it is recommended."""

    @model_validator(mode="after")
    def _one_session(self) -> Self:
        _refuse_two_sessions(self.session, self.items)
        return self


class Explain(_Body):
    """Whose scores of which items are to be explained."""

    model_config = ConfigDict(json_schema_extra=_ONE_SESSION)

    user: Id | None = None
    """Id of the user; left out for nobody."""
    session: Id | None = None
    """Id of a live session, whose items are those of its events."""
    items: Annotated[list[Id], Field(max_length=MOST_ITEMS)] | None = None
    """Items of the session, oldest first, in place of `session`. With neither, the user's live session is used."""
    of: Annotated[list[Id], Field(min_length=1, max_length=MOST_EXPLAINED)]
    """Items whose scores are explained, whether a list would show them or not."""

    @model_validator(mode="after")
    def _one_session(self) -> Self:
        _refuse_two_sessions(self.session, self.items)
        return self

    def request(self) -> Recommend:
        """The request for a list of these items alone."""
        given = self.model_dump(include=self.model_fields_set - {"of"})
        return Recommend(**given, k=len(set(self.of)), candidates=self.of, explain=True)


class RecommendBatch(_Body):
    """Several requests, answered in their order."""

    requests: Annotated[list[Recommend], Field(min_length=1, max_length=MOST_REQUESTS)]
    """The requests."""


class Happened(_Body):
    """One event."""

    id: Id | None = None
    """Id of the event: one that has come already is not counted again."""
    user: Id | None = None
    """Id of the user; left out for nobody."""
    session: Id
    """Id of the session, as the client names it."""
    item: Id
    """Id of the item, which is not blank."""
    timestamp: Moment | None = None
    """Time as epoch milliseconds or ISO 8601 (without a zone: UTC); left out: now."""
    type: Id | None = None
    """Kind of the event, such as "view"."""

    def time(self, now: int) -> int:
        """The time in epoch milliseconds."""
        given = self.timestamp
        if isinstance(given, datetime):
            zoned = given if given.tzinfo else given.replace(tzinfo=UTC)
            return (zoned - _EPOCH) // timedelta(milliseconds=1)
        return now if given is None else given


_SomeEvents = Annotated[list[Happened], Field(min_length=1, max_length=MOST_ITEMS)]


def _one_or_several(given: Any) -> str:
    """Which of the two a body is meant to be; the word begins the place of a mistake."""
    return "events" if isinstance(given, list) else "event"


class Events(
    RootModel[
        Annotated[
            Annotated[Happened, Tag("event")] | Annotated[_SomeEvents, Tag("events")], Discriminator(_one_or_several)
        ]
    ]
):
    """One event, or a list of them."""

    model_config = ConfigDict(strict=True, frozen=True)

    @property
    def all(self) -> list[Happened]:
        """The events as a list."""
        return self.root if isinstance(self.root, list) else [self.root]


class Search(BaseModel):
    """A search by name or id."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, frozen=True)

    q: Annotated[str, Field(max_length=256)] = ""
    """Part of the name or of the id, whatever its case; empty: the most popular come first."""
    limit: int = Field(20, ge=1, le=100)
    """Most results."""
