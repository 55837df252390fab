"""The live events of a server: the person leaves them too, and what the store keeps is read again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from segue.errors import ArtifactError, ConfigError
from segue.forgetting.traces import is_distinctive, longer_ids, names, search
from segue.server.settings import ServerSettings
from segue.server.store.event import ReadableStore, StoreUnavailable
from segue.server.store.opening import check_store, open_store
from segue.serving.index import FILE as INDEX

_DATABASE = "events.sqlite"
_FILES = (_DATABASE, f"{_DATABASE}-wal", f"{_DATABASE}-shm")
_WITHOUT_EVENTS = ("events.lock", f"{INDEX}.lock", INDEX)


@dataclass(frozen=True)
class Live:
    """Where live events are kept.

    Attributes:
        state: the folder of a server on this machine. store: "sqlite", or the address of a Redis server.
    """

    state: Path | None
    store: str

    @contextmanager
    def opened(self) -> Iterator[ReadableStore]:
        """The store, while people leave it.

        Raises ConfigError or ArtifactError where there is none or it cannot be used, also in the middle.
        """
        check_store(self.store)
        on_disk = self.store == "sqlite"
        if on_disk and self.state is None:
            raise ConfigError("--store sqlite keeps its events in a folder; name it with --state")
        if not on_disk and self.state is not None:
            raise ConfigError("--state is the folder of --store sqlite, another store is named; leave one of them out")
        if self.state is not None:
            _refuse_unless_state(self.state)
        store = open_store(self.store, self.state or Path(), ServerSettings(), begun=True)
        try:
            yield store
        except StoreUnavailable as error:
            raise ArtifactError(f"the live events cannot be reached ({error}); repeat when they can") from None
        finally:
            store.close()


def take_out(store: ReadableStore, ids: Sequence[str]) -> int:
    """Remove the events of some people; returns how many there were. Running servers take note by themselves."""
    return sum(store.forget(each) for each in ids)


def traces_in(live: Live, store: ReadableStore, ids: Sequence[str]) -> list[str]:
    """What is left of some people in a store, in words; the files of one on this machine are read byte by byte."""
    others = {event.user for event in store.everything() if event.user is not None} - {*ids}
    longer = longer_ids(ids, others)
    found = _still_there(store, ids, longer)
    if live.state is not None:
        # What an index was measured with are sessions of the old model; a server makes it anew where it is gone.
        (live.state / INDEX).unlink(missing_ok=True)
        files = [path for name in _FILES if (path := live.state / name).exists()]
        found += search(files, live.state, ids, (), longer).traces
    return found


def _still_there(store: ReadableStore, ids: Sequence[str], longer: Sequence[str]) -> list[str]:
    """Events of some people that come back, events that name them otherwise, and keys that do, in words.

    Args:
        longer: ids of others that hold one of these.
    """
    people, wanted = set(ids), [each for each in ids if is_distinctive(each)]
    theirs = naming = 0
    for event in store.everything():
        theirs += event.user in people
        naming += names(f"{event.session}\n{event.type}\n{event.id}", wanted, longer)
    keys = sum(names(key, wanted, longer) for key in store.lookup_keys())
    theirs = max(theirs, sum(len(store.of_user(each, 1)) for each in ids))
    found = {
        "events of the person come back": theirs,
        "events of others or of nobody have a session or an id that names the person": naming,
        "keys of the store name the person": keys,
    }
    return [f"{number:,} {what}" for what, number in found.items() if number]


def _refuse_unless_state(state: Path) -> None:
    """Raise ArtifactError for a folder that is none of a server, or holds what is not a server's."""
    if not (state / _DATABASE).is_file():
        raise ArtifactError(f"{state} holds no live events ({_DATABASE}); name the folder of the server with --state")
    for path in sorted(state.iterdir()):
        if path.name not in (*_FILES, *_WITHOUT_EVENTS):
            raise ArtifactError(
                f"{path} is no file of a server that Segue knows: whether the person is in it cannot be told; move it"
                " away and repeat"
            )
