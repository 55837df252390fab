"""Requests per processor second of one small route in several frameworks and servers, as ratios to the first.

The route reads a request like that of ``/v1/recommend``, checks it, and answers ten items with scores; nothing is
recommended. Needs ``wrk`` and, beside the tools of development, ``pip install fastapi litestar granian``.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

PYDANTIC = """
from typing import Annotated, Literal
from pydantic import BaseModel, ConfigDict, Field
class Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    user: Annotated[str, Field(max_length=200)] | None = None
    items: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=1000)] | None = None
    k: Annotated[int, Field(ge=1, le=1000)] = 10
    exclude_seen: Literal["session", "history"] | None = None
class Item(BaseModel):
    item: str
    name: str
    score: float
class Answer(BaseModel):
    recommendation_id: str
    items: list[Item]
    warnings: list[str]
"""
MSGSPEC = """
from typing import Annotated, Literal
from msgspec import Meta, Struct
class Request(Struct, forbid_unknown_fields=True):
    user: Annotated[str, Meta(max_length=200)] | None = None
    items: Annotated[list[Annotated[str, Meta(max_length=200)]], Meta(max_length=1000)] | None = None
    k: Annotated[int, Meta(ge=1, le=1000)] = 10
    exclude_seen: Literal["session", "history"] | None = None
class Item(Struct):
    item: str
    name: str
    score: float
class Answer(Struct):
    recommendation_id: str
    items: list[Item]
    warnings: list[str]
"""
ANSWER = """
def answer(k):
    items = [Item(item=f"i{n}", name=f"name {n}", score=1 / (n + 1)) for n in range(k)]
    return Answer(recommendation_id="x", items=items, warnings=[])
"""
APPS = {
    "FastAPI": PYDANTIC + ANSWER + """
from fastapi import FastAPI
app = FastAPI()
@app.post("/v1/recommend")
async def recommend(request: Request) -> Answer:
    return answer(request.k)
""",
    "Litestar": MSGSPEC + ANSWER + """
from litestar import Litestar, post
@post("/v1/recommend", status_code=200)
async def recommend(data: Request) -> Answer:
    return answer(data.k)
app = Litestar([recommend])
""",
    "Starlette and pydantic": PYDANTIC + ANSWER + """
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
async def recommend(request):
    asked = Request.model_validate_json(await request.body())
    return Response(answer(asked.k).model_dump_json().encode(), media_type="application/json")
app = Starlette(routes=[Route("/v1/recommend", recommend, methods=["POST"])])
""",
}  # fmt: skip
BODY = '{"user":"u12345","items":["i1","i22","i333","i4444","i5"],"k":10,"exclude_seen":"session"}'
SCRIPT = f"""
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{BODY}'
"""
PORT, REPEATS, SECONDS = 9182, 3, 3
SERVERS = {
    "uvicorn": ["-m", "uvicorn", "app:app", "--port", str(PORT), "--no-access-log", "--log-level", "warning"],
    "granian": ["-m", "granian", "app:app", "--interface", "asgi", "--port", str(PORT), "--log-level", "warning"],
}
URL = f"http://127.0.0.1:{PORT}/v1/recommend"


def processor_seconds(pid: int) -> float:
    """User and system time of a process and of those that it started, in hundredths."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (int(fields[11]) + int(fields[12])) / 100 + sum(processor_seconds(int(child)) for child in children)


def rate(app: str, server: str, folder: Path) -> float:
    """Requests per processor second of the server."""
    (folder / "app.py").write_text(APPS[app])
    process = subprocess.Popen([sys.executable, *SERVERS[server]], cwd=folder)
    try:
        for _ in range(200):
            try:
                head = {"Content-Type": "application/json"}
                urllib.request.urlopen(urllib.request.Request(URL, BODY.encode(), head)).read()
                break
            except OSError:
                time.sleep(0.1)
        before = processor_seconds(process.pid)
        command = ["wrk", "-t1", "-c8", f"-d{SECONDS}", "-s", str(folder / "post.lua"), URL]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        spent = processor_seconds(process.pid) - before
    finally:
        process.terminate()
        process.wait()
    found = re.search(r"(\d+) requests in", said)
    assert found is not None, said
    assert "Non-2xx" not in said, said
    return int(found[1]) / spent


def main() -> None:
    """Print a line per pair, the best of several rounds."""
    best: dict[tuple[str, str], float] = {}
    with tempfile.TemporaryDirectory() as home:
        (Path(home) / "post.lua").write_text(SCRIPT)
        for _ in range(REPEATS):
            for app in APPS:
                for server in SERVERS:
                    best[app, server] = max(best.get((app, server), 0.0), rate(app, server, Path(home)))
    first = next(iter(best.values()))
    for (app, server), value in best.items():
        print(f"{app} on {server}: {value / first:.2f} ({value:,.0f} per processor second)")


if __name__ == "__main__":
    main()
