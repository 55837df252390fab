"""Live events in a Redis or Valkey server that workers on several machines share.

Every event is a member of the sorted set of its session, and of that of its user, with its time as score; a running
number at the beginning of the member keeps events of one time in their order. What belongs together is done by scripts
in the server, whole or not at all.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from segue.errors import ArtifactError, ConfigError, first_line
from segue.server.store.event import Event, Position, StoreUnavailable
from segue.settings.units import DAY

FORMAT = "1"
"""Version of the keys; ``segue:format`` holds it."""
_PATIENCE = 2.0
"""Seconds to wait for the server."""
_NUMBER = 16
"""Digits of the running number."""
_MOST_USERS = 100_000
"""Most users that a search looks at."""
_TRIM = """
local function trim(key, before)
  local old = redis.call('ZRANGEBYSCORE', key, '-inf', '(' .. before)
  for _, member in ipairs(old) do
    local event = cjson.decode(string.sub(member, 17))
    if event[6] ~= cjson.null then redis.call('DEL', 'segue:id:' .. event[6]) end
  end
  redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. before)
  return #old
end
"""
"""The events of a key from before a time leave it, and so do their ids."""
_PRUNE = _TRIM + "return trim(KEYS[1], ARGV[1])"
_APPEND = (
    _TRIM
    + """
local new = {}
for at = 4, #ARGV, 5 do
  local id, user, session, time, event = ARGV[at], ARGV[at+1], ARGV[at+2], ARGV[at+3], ARGV[at+4]
  if id == '' or redis.call('SET', 'segue:id:' .. id, '1', 'NX', 'EX', ARGV[1]) then
    local member = string.format('%016d', redis.call('INCR', 'segue:number')) .. event
    local keys = {'segue:session:' .. session}
    if user ~= '' then
      keys[2] = 'segue:user:' .. user
      redis.call('ZADD', 'segue:users', 'GT', time, user)
    end
    for _, key in ipairs(keys) do
      redis.call('ZADD', key, time, member)
      trim(key, ARGV[2])
      redis.call('EXPIRE', key, ARGV[1])
    end
    redis.call('ZADD', 'segue:log', tonumber(string.sub(member, 1, 16)), member)
    redis.call('ZREMRANGEBYRANK', 'segue:log', 0, -1 - tonumber(ARGV[3]))
    new[#new+1] = 1
  else
    new[#new+1] = 0
  end
end
return new
"""
)
_FORGET = """
local key = 'segue:user:' .. ARGV[1]
local members = redis.call('ZRANGE', key, 0, -1)
for _, member in ipairs(members) do
  local event = cjson.decode(string.sub(member, 17))
  redis.call('ZREM', 'segue:session:' .. event[1], member)
  redis.call('ZREM', 'segue:log', member)
  if event[6] ~= cjson.null then redis.call('DEL', 'segue:id:' .. event[6]) end
end
redis.call('DEL', key)
redis.call('ZREM', 'segue:users', ARGV[1])
if #members > 0 then redis.call('INCR', 'segue:removals') end
return #members
"""


class RedisStore:
    """Live events under keys that begin with ``segue:``.

    Args:
        address: ``redis://HOST:PORT/DB``.
        retention_days: after which the server itself removes a key that nothing was added to.
        logged: newest events that are also kept in the order of their coming, for live counts.
        begun: whether a server of Segue must have used the database before.

    Raises ConfigError where the server cannot be reached, ArtifactError where it holds the state of another version, or
    none that has `begun`.
    """

    def __init__(self, address: str, retention_days: float, logged: int, *, begun: bool = False) -> None:
        self._logged = logged
        self._kept = int(retention_days * DAY)
        redis = _library()
        self._failures: tuple[type[Exception], ...] = (redis.RedisError, OSError)
        try:
            self._server: Any = redis.Redis.from_url(
                address,
                decode_responses=True,
                socket_timeout=_PATIENCE,
                socket_connect_timeout=_PATIENCE,
                retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
            )
            if not begun:
                self._server.set("segue:format", FORMAT, nx=True)
            found = self._server.get("segue:format")
        except (*self._failures, ValueError) as error:
            raise ConfigError(
                f"--store {_without_password(address)} cannot be used: {first_line(error)}; start redis-server, or"
                " leave --store out"
            ) from None
        if found is None:
            raise ArtifactError(
                f"{_without_password(address)} holds no live events; name the database of the server, as its own"
                " --store does"
            )
        if found != FORMAT:
            raise ArtifactError(
                f"{_without_password(address)} holds state of version {found!r:.20}, this Segue reads version {FORMAT};"
                " give the number of another database behind the port"
            )
        self._append: Callable[..., list[int]] = self._server.register_script(_APPEND)
        self._prune_key: Callable[..., int] = self._server.register_script(_PRUNE)
        self._forget: Callable[..., int] = self._server.register_script(_FORGET)

    def append(self, groups: Sequence[Sequence[Event]]) -> list[int]:
        """Keep the events of several requests, all or none; returns how many of each were new."""
        newest = max((event.time for events in groups for event in events), default=0)
        arguments: list[str | int] = [self._kept // 1000 + 1, newest - self._kept, self._logged]
        for events in groups:
            for each in events:
                arguments += [each.id or "", each.user or "", each.session, each.time, _as_text(each)]
        with self._talking():
            new = self._append(args=arguments)
        counts, start = [], 0
        for events in groups:
            counts.append(sum(new[start : start + len(events)]))
            start += len(events)
        return counts

    def of_user(self, user: str, limit: int) -> list[Event]:
        """The newest events of a user, oldest first."""
        return self._events(f"segue:user:{user}", limit)

    def of_session(self, session: str, limit: int) -> list[Event]:
        """The newest events with that session id, oldest first."""
        return self._events(f"segue:session:{session}", limit)

    def forget(self, user: str) -> int:
        """Remove all events of a user for good; returns how many there were."""
        with self._talking():
            return int(self._forget(args=[user]))

    def users(self, part: str, limit: int) -> list[str]:
        """Ids of users with events that hold a text, whatever its case, in order."""
        wanted, found = part.casefold(), []
        with self._talking():
            for looked_at, (user, _) in enumerate(self._server.zscan_iter("segue:users", count=1000)):
                if looked_at == _MOST_USERS:
                    break
                if wanted in user.casefold():
                    found.append(user)
        return sorted(found)[:limit]

    def prune(self, before: int) -> int:
        """Remove the events from before a time; returns how many there were."""
        with self._talking():
            self._prune("segue:user:*", before)
            self._server.zremrangebyscore("segue:users", "-inf", f"({before}")
            removed = self._prune("segue:session:*", before)
            if self._prune_log(before):
                self._server.incr("segue:removals")
            return removed

    def position(self) -> Position:
        """How far the store has come."""
        with self._talking():
            newest, removals = self._server.mget("segue:number", "segue:removals")
        return Position(int(newest or 0), int(removals or 0))

    def after(self, number: int, limit: int) -> list[tuple[int, Event]]:
        """The first events whose number is above this one, by number."""
        with self._talking():
            members = self._server.zrangebyscore("segue:log", f"({number}", "+inf", start=0, num=limit)
        return [(int(member[:_NUMBER]), _event(member)) for member in members]

    def everything(self) -> Iterator[Event]:
        """All events, session by session."""
        with self._talking():
            for key in {*self._server.scan_iter("segue:session:*", count=1000)}:
                yield from (_event(member) for member in {member for member, _ in self._server.zscan_iter(key)})

    def lookup_keys(self) -> Iterator[str]:
        """The names of all keys, and the users who can be found."""
        with self._talking():
            yield from self._server.scan_iter("segue:*", count=1000)
            yield from (user for user, _ in self._server.zscan_iter("segue:users", count=1000))

    def ping(self) -> None:
        """Do nothing where the server can be read and written."""
        with self._talking():
            self._server.set("segue:format", FORMAT)

    def close(self) -> None:
        """Hang up."""
        with suppress(*self._failures):
            self._server.close()

    def _prune(self, pattern: str, before: int) -> int:
        keys = self._server.scan_iter(pattern, count=1000)
        return sum(self._prune_key(keys=[key], args=[before]) for key in keys)

    def _prune_log(self, before: int) -> int:
        """Remove old events from the log of all; returns how many there were."""
        members = (member for member, _ in self._server.zscan_iter("segue:log", count=1000))
        old = [member for member in members if _event(member).time < before]
        for start in range(0, len(old), 1000):
            self._server.zrem("segue:log", *old[start : start + 1000])
        return len(old)

    def _events(self, key: str, limit: int) -> list[Event]:
        with self._talking():
            members = self._server.zrange(key, -limit, -1)
        return [_event(member) for member in members]

    @contextmanager
    def _talking(self) -> Iterator[None]:
        try:
            yield
        except self._failures as error:
            raise StoreUnavailable(f"Redis: {first_line(error)}") from None


def _event(member: str) -> Event:
    return Event(*json.loads(member[_NUMBER:]))


def _as_text(event: Event) -> str:
    return json.dumps([event.session, event.item, event.time, event.user, event.type, event.id])


def _without_password(address: str) -> str:
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _library() -> Any:
    try:
        return importlib.import_module("redis")
    except ImportError:
        raise ConfigError("--store redis://… needs one more package: pip install 'segue[redis]'") from None
