"""What a request may cost, the size and the time of its body, and where it may come from."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import parse_qsl

from starlette.types import Receive

from segue.server.problems import Refusal

_MOST_PARAMETERS = 20
_REFUSED_BYTES, _REFUSED_SECONDS = 1 << 26, 2.0
"""How much of a body that is too large is taken before the answer, and for how long."""


class ClientGone(Exception):
    """The client has closed the connection: nobody waits for an answer."""


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, size: int, seconds: float) -> bytes:
    """The body of a request.

    Args:
        size: most bytes. seconds: within which all of it must have come.

    Raises Refusal for a body that is larger, slower, compressed, or said to be no JSON; ClientGone.
    """
    _check_kind(headers)
    given = headers.get(b"content-length", b"")
    if given.isdigit() and int(given) > size:
        if b"expect" not in headers:  # else the client waits for a word before it sends
            await _let_come(receive)
        raise _too_large(size)
    pieces, got = [], 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                piece = message.get("body", b"")
                got += len(piece)
                if got > size:
                    if message.get("more_body"):
                        await _let_come(receive)
                    raise _too_large(size)
                pieces.append(piece)
                if not message.get("more_body"):
                    return b"".join(pieces)
    except TimeoutError:
        raise Refusal(
            408, f"the body did not arrive within {seconds:g} seconds; send it faster", headers={"Connection": "close"}
        ) from None


async def _let_come(receive: Receive) -> None:
    """Take what still comes of a body that is too large, within bounds: most clients read no answer before they have
    sent all, and lose it when the connection is closed meanwhile."""
    got, more = 0, True
    with suppress(TimeoutError):
        async with asyncio.timeout(_REFUSED_SECONDS):
            while more and got < _REFUSED_BYTES:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                got += len(message.get("body", b""))
                more = message.get("more_body", False)


def check_origin(headers: Mapping[bytes, bytes]) -> None:
    """Raise Refusal for a request that a browser sends from a page of another site.

    A body of JSON is not sent so without asking first; for a request without a body, this is asked of the headers.
    """
    origin = headers.get(b"origin")
    if origin is not None and origin.partition(b"://")[2].lower() != headers.get(b"host", b"").lower():
        shown = origin.decode("latin-1")[:60]
        raise Refusal(403, f"the request comes from a page of another site ('{shown}'); send it without a browser")


def read_query(query: bytes) -> dict[str, str]:
    """The parameters of a query. Raises Refusal for too many of them, and for one that is given twice."""
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        raise Refusal(422, f"the query has more than {_MOST_PARAMETERS} parameters") from None
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Refusal(422, "the query has a parameter twice; send each once")
    return found


def _check_kind(headers: Mapping[bytes, bytes]) -> None:
    # A missing type too: a page of another site can make a browser post a body, but not as JSON without being asked.
    kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
    if kind != b"application/json":
        shown = kind.decode("latin-1")[:60]
        raise Refusal(415, f"the body is of type '{shown}'; send Content-Type: application/json")
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding != b"identity":
        raise Refusal(415, f"the body is encoded as '{encoding.decode('latin-1')[:60]}'; send it as it is")


def _too_large(size: int) -> Refusal:
    return Refusal(413, f"the body is larger than {size:,} bytes; send less at a time", headers={"Connection": "close"})
