"""The answers. The schema of the API is made from these classes; a key that has no value is left out."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class _Answer(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True, frozen=True)


class Reason(_Answer):
    """Where a score comes from; the contributions of session, user and base sum to it."""

    model_config = ConfigDict(extra="allow")

    text: str
    """The reason in words."""
    session: list[dict[str, Any]]
    """What each item of the session adds, and its relation to the recommended item."""
    user: float
    """What the user adds."""
    base: float
    """What is left, popularity included."""
    terms: dict[str, float]
    """The contributions by term of the model."""


class Recommended(_Answer):
    """One recommended item."""

    item: str
    """Id of the item."""
    name: str
    """Name for people; the id where it has none."""
    score: float
    """The model's score."""
    because: Reason | None = None
    """Why, where that was asked for."""


class Recommendation(_Answer):
    """The recommended items, best first."""

    recommendation_id: str
    """Id of this answer."""
    model_version: str
    """Version of the model that gave it."""
    items: list[Recommended]
    """The items, best first."""
    skipped: list[str]
    """Items of the session or history that the model does not know."""
    user_known: bool
    """Whether the model was trained on the user, or live events name them."""
    warnings: list[str]
    """What has to be said about the request."""


class RecommendationBatch(_Answer):
    """The answers to several requests."""

    answers: list[Recommendation]
    """The answers, in the order of the requests."""


class Named(_Answer):
    """An item or a user."""

    id: str
    """The id."""
    name: str
    """Name for people; the id where it has none."""


class Weighed(Named):
    """An item of a session, as the model weighs it."""

    current: float | None = None
    """Its weight in the current preference, where the model has one."""
    general: float | None = None
    """Its weight in the general preference, where the model has one."""


class Gate(_Answer):
    """How the model mixes current and general preference, which it does for each coordinate of its vectors."""

    current: float
    """Mean share of the current preference."""
    least: float
    """Smallest share."""
    most: float
    """Largest share."""


class Explanation(_Answer):
    """Why items have the scores that they have."""

    model_config = ConfigDict(protected_namespaces=())

    model_version: str
    """Version of the model that was asked."""
    items: list[Recommended]
    """The items with their reasons, best first; those that the model does not know are left out."""
    session: list[Weighed]
    """The items that the model looked at, oldest first; with weights where it has attention."""
    gate: Gate | None = None
    """The mixture of two preferences, where the model has both."""
    skipped: list[str]
    """Items of the session or history that the model does not know."""
    user_known: bool
    """Whether the model was trained on the user, or live events name them."""
    warnings: list[str]
    """What has to be said about the request."""


class Accepted(_Answer):
    """The events are kept for good."""

    accepted: int
    """Events that are new."""
    duplicates: int
    """Events whose id had come already."""
    unknown_items: int | None = None
    """Events whose item the model does not know, a misspelt one perhaps; left out where there are none."""


class Forgotten(_Answer):
    """The live history of a user is gone."""

    user: str
    """Id of the user."""
    events: int
    """Live events that were removed."""


class Found(_Answer):
    """Results of a search, the best first."""

    results: list[Named]
    """The results."""


class Neighbour(_Answer):
    """A neighbour of an item."""

    id: str
    """Id of the item or user."""
    name: str
    """Name for people."""
    weight: int
    """How often, in the train sessions."""


class Relation(_Answer):
    """The strongest neighbours by one relation."""

    relation: Literal["adjacent_in", "adjacent_out", "similar", "interacted_by"]
    """Name of the relation."""
    text: str
    """The relation in words."""
    neighbours: list[Neighbour]
    """The neighbours, strongest first."""


class Item(_Answer):
    """An item that the model knows, or that live events have made known to it."""

    item: str
    """Id of the item."""
    name: str
    """Name for people."""
    attributes: dict[str, str]
    """The other columns of the items file, where they have a value."""
    events: int
    """Events of the item in the train sessions; of a new item, live ones."""
    relations: list[Relation]
    """The strongest neighbours by relation."""


class Visit(_Answer):
    """A session of a user."""

    items: list[Named]
    """Its items, oldest first."""
    end: int
    """Time of its last event, epoch milliseconds."""
    live: bool
    """Whether it came after training, as live events."""
    session: str | None = None
    """Id of the session, where it is a live one."""


class Favourite(_Answer):
    """An item that a user comes back to."""

    id: str
    """Id of the item."""
    name: str
    """Name for people."""
    events: int
    """How often, live events included."""


class User(_Answer):
    """What is known of a user."""

    user: str
    """Id of the user."""
    name: str
    """Name for people; the id where there is none."""
    known: bool
    """Whether the model was trained on the user, or live events name them."""
    trained: bool
    """Whether the model has a vector of its own for the user."""
    favourites: list[Favourite]
    """The most frequent items."""
    sessions: list[Visit]
    """The last sessions that have ended, newest first."""
    live_session: Visit | None = None
    """The session that goes on."""


class Model(_Answer):
    """The model that answers."""

    model_config = ConfigDict(protected_namespaces=())

    model_version: str
    """Version: the beginning of the hash of the model's manifest."""
    name: str
    """Name of the model, with its preset."""
    fingerprint: str
    """Fingerprint of the corpus that it was trained on."""
    sizes: dict[str, int]
    """Items, users, train sessions and events."""
    index: dict[str, Any]
    """How the best items are found: `kind` "exact" scores every item, "lists" those that an index finds; with the
    share of the exact best that it found when the model was loaded, `recall_at_20`."""
    settings: dict[str, Any]
    """Settings of the run."""
    metrics: dict[str, Any]
    """Part → metrics of its evaluation, where it was measured."""
    live: dict[str, Any]
    """How live events become sessions."""


class ModelCard(_Answer):
    """What the model was made of and how good it is, for people."""

    model_config = ConfigDict(protected_namespaces=())

    model_version: str
    """Version of the model."""
    name: str
    """Name of the model, with its preset."""
    sizes: dict[str, int]
    """Items, users, train sessions and events."""
    times: list[int]
    """Times of the first and the last train event, epoch milliseconds."""
    trained_on: list[str]
    """Parts of the corpus that it was trained on."""
    statistics: dict[str, Any]
    """What the model says of what it built, such as its graph."""
    choices: list[dict[str, Any]]
    """Settings that were chosen by what the data needs, and why."""
    evaluations: dict[str, dict[str, Any]]
    """Part → what was measured on it: metrics, slices, and of how many events."""
    epochs: list[dict[str, Any]]
    """The epochs of the training, where there was one."""


class Reloaded(_Answer):
    """All workers answer with the model that is in the folder now."""

    model_config = ConfigDict(protected_namespaces=())

    model_version: str
    """Version that answers now."""
    previous_version: str
    """Version that answered before."""


class Health(_Answer):
    """The state of a worker."""

    status: Literal["ok"]
    """Always "ok": a worker in trouble answers with a problem."""
    model_version: str | None = None
    """Version of the model that is ready to answer."""
