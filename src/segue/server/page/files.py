"""The files of the page, and the headers that they are sent with.

Everything that the page loads comes from this server, and it runs no script but its own files: its policy says so to
the browser. Addresses are relative, so that the page works below any path of a proxy.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from segue.server.problems import Refusal
from segue.server.route import Plain

_FOLDER = Path(__file__).with_name("static")
_START = "index.html"
_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".html": "text/html"}
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    b" base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SAFE = (
    (b"content-security-policy", _POLICY),
    (b"referrer-policy", b"no-referrer"),
)
_CHANGES, _STAYS = (b"cache-control", b"no-cache"), (b"cache-control", b"public, max-age=31536000, immutable")


def start() -> Plain:
    """The page itself, which names its files by their version."""
    files, version = _read()
    return Plain(_kind(_START), files[_START].replace(b"VERSION", version.encode()), (*_SAFE, _CHANGES))


def file(path: str) -> Plain:
    """A file, from ``VERSION/NAME``. One of another version is sent as it is now, and not kept by the browser.

    Raises Refusal for a file that is not there.
    """
    files, version = _read()
    asked, _, name = path.partition("/")
    if name not in files or name == _START:
        raise Refusal(404, "the page has no such file; open / again")
    return Plain(_kind(name), files[name], (*_SAFE, _STAYS if asked == version else _CHANGES))


def _kind(name: str) -> str:
    return f"{_KINDS[Path(name).suffix]}; charset=utf-8"


@cache
def _read() -> tuple[dict[str, bytes], str]:
    """Name → contents of every file, and the version of all of them."""
    files = {path.name: path.read_bytes() for path in sorted(_FOLDER.iterdir()) if path.suffix in _KINDS}
    return files, hashlib.sha256(b"".join(files.values())).hexdigest()[:12]
