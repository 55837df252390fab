"""The description of the API (OpenAPI 3.1), made from the table of routes and the schemas of their classes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from segue.server.problems import MEDIA_TYPE, Problem
from segue.server.route import Route
from segue.version import __version__

_ALWAYS = (503,)
"""Problems of every route: too many requests wait, or the answer took too long."""
_TEMPLATE = "#/components/schemas/{model}"


def describe(routes: Sequence[Route], attributes: Sequence[str], *, tokens: bool) -> bytes:
    """The description as JSON.

    Args:
        attributes: names of the attributes that the items of the model have: a filter may name these.
        tokens: whether guarded routes need a token.
    """
    wanted: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = [(Problem, "serialization")]
    wanted += [(route.reads, "validation") for route in routes if route.reads is not None]
    wanted += [(route.answer, "serialization") for route in routes if not isinstance(route.answer, str)]
    refs, definitions = models_json_schema(wanted, ref_template=_TEMPLATE)
    filtered = definitions["$defs"]["Recommend"]["properties"]["filter"]["anyOf"][0]
    filtered["propertyNames"] = {"enum": list(attributes)}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = re.sub(r":any\}", "}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, refs, definitions["$defs"], tokens=tokens)
    components: dict[str, Any] = {"schemas": definitions["$defs"]}
    if tokens:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    info = {
        "title": "Segue",
        "version": __version__,
        "description": "The next items of live sessions, for users that the model knows and for others.",
    }
    return json.dumps({"openapi": "3.1.0", "info": info, "paths": paths, "components": components}).encode()


def _operation(route: Route, refs: Any, definitions: dict[str, Any], *, tokens: bool) -> dict[str, Any]:
    guarded = tokens and route.guarded
    problems = sorted({*route.problems, *_ALWAYS, *((401,) if guarded else ())})
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [*_path_parameters(route)],
        "responses": {str(route.status): _answer(route, refs), **_problems(problems, refs)},
    }
    if route.reads is not None:
        schema = refs[(route.reads, "validation")]
        if route.method == "POST":
            operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
        else:
            operation["parameters"] += _query_parameters(definitions[schema["$ref"].rpartition("/")[2]])
    if guarded:
        operation["security"] = [{"token": []}]
    return operation


def _path_parameters(route: Route) -> Iterable[dict[str, Any]]:
    if "{id" in route.path:
        yield {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _query_parameters(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "required": False, "description": each.get("description", ""), "schema": each}
        for name, each in schema["properties"].items()
    ]


def _answer(route: Route, refs: Any) -> dict[str, Any]:
    if isinstance(route.answer, str):
        kind, schema = route.answer, {"type": "object"} if "json" in route.answer else {"type": "string"}
    else:
        kind, schema = "application/json", refs[(route.answer, "serialization")]
    described = "Kept for good." if route.status == 202 else "The answer."
    return {"description": described, "content": {kind: {"schema": schema}}}


def _problems(statuses: Iterable[int], refs: Any) -> dict[str, Any]:
    schema: type[BaseModel] = Problem
    mode: Literal["serialization"] = "serialization"
    content = {MEDIA_TYPE: {"schema": refs[(schema, mode)]}}
    return {str(status): {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}
