"""Tokens: what needs one, and what a token file may hold."""

from __future__ import annotations

from pathlib import Path

import pytest
import servers
import small_logs

from segue.errors import ConfigError
from segue.server.problems import Refusal
from segue.server.tokens import exposed, read_tokens

FIRST, SECOND = "0123456789abcdef", "a-second-token-of-the-shop"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"# of the shop\n{FIRST}\n\n  {SECOND}  \n")
    return path


@pytest.mark.parametrize("header", [f"Bearer {FIRST}", f"bearer  {SECOND}"])
def test_each_token_of_the_file_is_let_through(file: Path, header: str) -> None:
    read_tokens(file).check(header)


@pytest.mark.parametrize("header", [None, "", "Bearer", f"Basic {FIRST}", f"Bearer {FIRST[:-1]}", "Bearer é", FIRST])
def test_everything_else_is_not(file: Path, header: str | None) -> None:
    with pytest.raises(Refusal, match="send the header Authorization: Bearer TOKEN") as refused:
        read_tokens(file).check(header)
    assert (refused.value.status, refused.value.headers) == (401, {"WWW-Authenticate": "Bearer"})


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "holds no token"), (b"# none\n", "holds no token"), (b"short\n", "of 5 characters"), (b"\xff", "is no text"),
     (b"with a blank inside it\n", "without blanks")],
)  # fmt: skip
def test_a_wrong_file_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "tokens"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        read_tokens(path)
    with pytest.raises(ConfigError, match="cannot read the token file"):
        read_tokens(tmp_path / "nowhere")


@pytest.mark.parametrize("mode", [0o666, 0o644, 0o660, 0o604, 0o602])
def test_a_file_that_others_may_read_or_change_is_said(file: Path, mode: int) -> None:
    file.chmod(mode)
    said = exposed(file)
    assert said is not None
    assert f"has the permissions {mode:o}: others on this machine may read or change it; chmod 600 {file}" in said


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o440])
def test_a_file_for_the_server_alone_is_not_spoken_of(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert exposed(file) is None


def test_events_reload_and_deletion_need_a_token_and_nothing_else_does(file: Path) -> None:
    model = small_logs.fitted_model()
    file.chmod(0o644)
    with servers.serving(model, "--token-file", file) as server, servers.client(server.url) as http:
        assert server.log.count("has the permissions 644") == 1
        guarded = [("POST", "/v1/events"), ("POST", "/v1/model:reload"), ("DELETE", "/v1/users/anna")]
        event = {"session": "s", "item": "first1"}
        for method, path in guarded:
            assert http.request(method, path, json=event).status_code == 401
            known = {"authorization": f"Bearer {SECOND}"}
            assert http.request(method, path, json=event, headers=known).status_code in (200, 202)
        for path in ("/v1/users/anna", "/v1/items", "/v1/model", "/metrics", "/docs", "/healthz"):
            assert http.get(path).status_code == 200
        assert http.post("/v1/recommend", json={}).status_code == 200
        paths = http.get("/openapi.json").json()["paths"]
        needing = {(m.upper(), p) for p, methods in paths.items() for m, each in methods.items() if "security" in each}
        assert needing == {*guarded[:2], ("DELETE", "/v1/users/{id}")}
