"""Bearer tokens: who may write events, swap the model and delete."""

from __future__ import annotations

import hashlib
import hmac
import shlex
from collections.abc import Sequence
from pathlib import Path

from segue.errors import ConfigError
from segue.server.problems import Refusal
from segue.system.reading import read_text

_LARGEST = 1 << 20
_SHORTEST = 16


class Tokens:
    """The tokens of a file; without any, everybody may do everything.

    Args:
        tokens: the tokens as text.
    """

    def __init__(self, tokens: Sequence[str] = ()) -> None:
        self._hashes = [_hash(token.encode()) for token in tokens]

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def check(self, authorization: str | None) -> None:
        """Raise the refusal 401 unless the header ``Authorization`` holds one of the tokens, or none is needed.

        Hashes of all tokens are compared in constant time: how long it takes says nothing about a token.
        """
        if not self._hashes:
            return
        scheme, _, token = (authorization or "").partition(" ")
        given = _hash(token.strip().encode("utf-8", "surrogateescape"))
        found = [hmac.compare_digest(given, each) for each in self._hashes]
        if scheme.lower() != "bearer" or not any(found):
            what = "the token is unknown" if authorization else "a token is missing"
            raise Refusal(
                401,
                f"{what}; send the header Authorization: Bearer TOKEN with one of the server's token file",
                headers={"WWW-Authenticate": "Bearer"},
            )


def read_tokens(path: Path | None) -> Tokens:
    """The tokens of a file: one per line; empty lines and lines that begin with # do not count. Raises ConfigError."""
    if path is None:
        return Tokens()
    try:
        lines = [line.strip() for line in read_text(path, _LARGEST).splitlines()]
    except OSError as error:
        raise ConfigError(f"cannot read the token file {path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"the token file {path} is no text: {error}") from None
    tokens = [line for line in lines if line and not line.startswith("#")]
    wrong = next((t for t in tokens if len(t) < _SHORTEST or not t.isascii() or not t.isprintable() or " " in t), None)
    if wrong is not None:
        raise ConfigError(
            f"the token file {path} holds a token of {len(wrong)} characters; tokens have at least {_SHORTEST} ASCII"
            " characters without blanks: openssl rand -hex 24"
        )
    if not tokens:
        raise ConfigError(f"the token file {path} holds no token; leave out --token-file where none is wanted")
    return Tokens(tokens)


def exposed(path: Path) -> str | None:
    """What is to be said of a token file that other users of the machine may read or write."""
    mode = path.stat().st_mode & 0o777
    if not mode & 0o027:  # a group of its own that reads it is a usual arrangement
        return None
    return (
        f"the token file {path} has the permissions {mode:o}: others on this machine may read or change it;"
        f" chmod 600 {shlex.quote(str(path))}"
    )


def _hash(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
