"""A real browser, the page served by a thread of the test, and a model whose names and ids are as odd as they come."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import runs
import served
import small_logs
import uvicorn

from segue.server.answering import Answering
from segue.server.app import App
from segue.server.control import Control
from segue.server.engine import Engine
from segue.server.route import Context
from segue.server.service import Service
from segue.server.settings import ServerSettings
from segue.server.store.sqlite import SqliteStore
from segue.server.store.writer import Writer
from segue.server.tokens import Tokens

SCRIPT = "<img src=x onerror=\"document.title='hacked'\">"
ODD_ITEMS = {
    SCRIPT: f"{SCRIPT}<script>document.title='hacked'</script>",
    "a/b?c#d%2F e&i=f": "",
    "ünï ✓ 🙂 \"quoted\" 'single'": "Ünï",
    "x" * 250: "",
    "long": "word " * 60 + "W" * 200,
    "__proto__": "constructor",
}
"""Id → name; an empty one for an item without."""
ODD_USERS = ("<script>document.title='hacked'</script>", "u/1 ?&#%41", "n" * 250)


DESK, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
SHOWN = {"a": served.KNOWN, "b": served.OTHER, "i": ["first1"]}
"""A view of the small model: two people of different taste, and a session of one item."""
Opened = Callable[..., Any]
"""Opens a page: the site, what it shows, size, colour scheme; see the fixture ``opened``."""


@contextmanager
def page_of(model: Path) -> Iterator[str]:
    """The address of a server of this process with a state of its own: nothing has to be imported again for it."""
    with tempfile.TemporaryDirectory(prefix="segue-tests-") as home, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        store = SqliteStore(Path(home) / "state")
        service, writer = Service(Engine(model), store, ServerSettings(log_requests=False)), Writer(store)
        answering, looking_up = Answering(service), ThreadPoolExecutor(2)
        app = App(Context(service, writer, cast(Control, None), answering, looking_up), service.settings, Tokens())
        config = uvicorn.Config(app, http="httptools", ws="none", lifespan="off", log_config=None, access_log=False)
        server = uvicorn.Server(config)
        running = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
        running.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            running.join()
            writer.close()
            answering.close()
            looking_up.shutdown()
            store.close()


@cache
def _home() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="segue-tests-")


@cache
def odd_model() -> Path:
    """A counting model of items and users that no page may trust. Not to be changed by a test."""
    home, items = Path(_home().name), list(ODD_ITEMS)
    visits = [(user, day) for day in range(8) for user in ODD_USERS]
    rows = [
        (user, items[(number + place) % len(items)], f"2024-01-{1 + day:02d}T10:{number:02d}:{place:02d}Z")
        for number, (user, day) in enumerate(visits)
        for place in range(4)
    ]
    log = small_logs.write_csv(home / "log.csv", rows)
    names = small_logs.write_csv(home / "items.csv", ODD_ITEMS.items(), ("item_id", "name"))
    runs.prepare(str(log), home / "corpus", small_logs.SMALL, items=names)
    return runs.train(home / "corpus", home / "model", {**small_logs.SMALL, "model": {"name": "markov"}})


def query(state: Mapping[str, Any]) -> str:
    """A view as it stands in the address."""
    return urlencode(state, doseq=True)


def names(page: Any, who: str) -> list[str]:
    """The names in a list, once the lists stand."""
    page.wait_for_selector("#lists:not([aria-busy])", state="attached")
    page.wait_for_selector(f".list.{who} .item")
    found: list[str] = page.locator(f".list.{who} .item > span:first-child").all_text_contents()
    return found


def expected(user: str | None, items: list[str]) -> list[str]:
    model = served.model()
    return [model.name(each.item) for each in model.recommend(user, items, k=10, exclude_seen="session")]
