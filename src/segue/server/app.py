"""The ASGI application: from a request to its route and back, whatever goes wrong on the way."""

from __future__ import annotations

import asyncio
import re
import secrets
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.routing import Match
from starlette.routing import Route as Pattern
from starlette.types import Receive, Scope, Send

from segue.server import metrics, problems
from segue.server.limits import ClientGone, check_origin, read_body, read_query
from segue.server.problems import Refusal
from segue.server.route import Context, Plain, Route
from segue.server.routes import ROUTES
from segue.server.settings import ServerSettings
from segue.server.store.event import StoreUnavailable
from segue.server.tokens import Tokens
from segue.settings.units import size_in_bytes
from segue.system.log_lines import line

_NOWHERE = "(none)"
"""Route of requests that belong to none, in metrics and log."""
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_CLOSE = (b"connection", b"close")
_AGAIN = {"Retry-After": "1"}


class _Any(PathConvertor):
    """The rest of a path, whatever it is: an id may hold line breaks, at which Starlette's own `path` ends."""

    regex = "(?s:.*)"


register_url_convertor("any", _Any())


@dataclass
class _Reply:
    """What is sent."""

    status: int
    media_type: str
    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = ()
    route: str = _NOWHERE


class App:
    """Answers HTTP requests by the table of routes.

    Args:
        context: what the routes work with.
        tokens: what guarded routes ask for.
    """

    def __init__(self, context: Context, settings: ServerSettings, tokens: Tokens) -> None:
        self._context, self._settings, self._tokens = context, settings, tokens
        self._body_size = size_in_bytes(settings.body_size)
        by_path: dict[str, dict[str, Route]] = {}
        for route in ROUTES:
            by_path.setdefault(route.path, {})[route.method] = route
        self._paths = [(Pattern(path, self), methods) for path, methods in by_path.items()]
        self._waiting = 0
        self.ending = False
        """Whether the server is about to end: clients are told so with their answers, and come no more."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        start = perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        try:
            reply = await self._reply(scope, headers, receive, request_id)
        except ClientGone:
            return
        sent = [
            (b"content-type", reply.media_type.encode()),
            (b"content-length", str(len(reply.body)).encode()),
            (b"x-request-id", request_id.encode()),
            (b"x-content-type-options", b"nosniff"),
            *reply.headers,
            *([_CLOSE] if self.ending else []),
        ]
        await send({"type": "http.response.start", "status": reply.status, "headers": sent})
        await send({"type": "http.response.body", "body": reply.body})
        seconds = perf_counter() - start
        metrics.answered(reply.route, scope["method"], reply.status, seconds)
        if self._settings.log_requests:
            line(
                "info", "request", request_id=request_id, method=scope["method"], route=reply.route,
                status=reply.status, ms=round(seconds * 1000, 2),
            )  # fmt: skip

    async def _reply(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, request_id: str) -> _Reply:
        """The answer to a request, or the problem that it ends with."""
        where = _NOWHERE
        try:
            methods, item = self._found(scope)
            where = next(iter(methods.values())).path
            route = methods.get("GET" if scope["method"] == "HEAD" else scope["method"])
            if route is None:
                allowed = ", ".join(sorted(methods))
                raise Refusal(405, f"{where} takes {allowed}, not {scope['method'][:20]}", headers={"Allow": allowed})
            return await self._answer(route, scope, headers, receive, item)
        except Refusal as refusal:
            problem = refusal
        except StoreUnavailable as error:
            line("error", "store", request_id=request_id, why=str(error))
            problem = Refusal(503, f"the store of live events is not available: {error}; try again", headers=_AGAIN)
        except ClientGone:
            raise
        except Exception:
            line("error", "defect", request_id=request_id, trace=traceback.format_exc())
            problem = Refusal(500, "the server failed; its log says more under the id of this request")
        more = [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
        return _Reply(problem.status, problems.MEDIA_TYPE, problem.body(request_id), more, where)

    def _found(self, scope: Scope) -> tuple[dict[str, Route], str]:
        """The routes of a path by method, and the id in it. Raises Refusal for a path without any."""
        for pattern, methods in self._paths:
            match, inner = pattern.matches(scope)
            if match is not Match.NONE:
                item: str = inner["path_params"].get("id", "-")
                if item:
                    return methods, item
        raise Refusal(404, "there is nothing under this path; /docs lists what there is")

    async def _answer(
        self, route: Route, scope: Scope, headers: dict[bytes, bytes], receive: Receive, item: str
    ) -> _Reply:
        """What the handler of a route answers. Raises Refusal."""
        if route.guarded:
            authorization = headers.get(b"authorization")
            self._tokens.check(authorization.decode("latin-1") if authorization is not None else None)
        if route.method == "POST" and route.reads is None:
            check_origin(headers)
        read = await self._read(route, scope, headers, receive)
        if self._waiting >= self._settings.waiting:
            raise Refusal(503, f"{self._waiting} requests are waiting already; try again", headers=_AGAIN)
        self._waiting += 1
        try:
            async with asyncio.timeout(None if route.unhurried else self._settings.answer_seconds):
                answer = await route.handler(self._context, read, item)
        except TimeoutError:
            seconds = self._settings.answer_seconds
            raise Refusal(503, f"there is no answer after {seconds:g} seconds; try again", headers=_AGAIN) from None
        finally:
            self._waiting -= 1
        if isinstance(answer, Plain):
            return _Reply(route.status, answer.media_type, answer.body, answer.headers, route.path)
        body = answer.model_dump_json(exclude_none=True).encode()
        return _Reply(route.status, "application/json", body, route=route.path)

    async def _read(self, route: Route, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> Any:
        """The body or the query of a request as the class that its route declares. Raises Refusal."""
        kind: type[BaseModel] | None = route.reads
        try:
            if kind is None:
                return None
            if route.method != "POST":
                return kind.model_validate_strings(read_query(scope["query_string"]))
            size, seconds = self._body_size, self._settings.body_seconds
            return kind.model_validate_json(await read_body(headers, receive, size, seconds))
        except ValidationError as error:
            raise problems.unfit(error, "the body" if route.method == "POST" else "the query") from None
