"""Whatever the e2e tests say to the stack and hear from it, collected for the scan of its logs.

One file per process, below ``LOCAL_DIR``: the tests run in several.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.logs.planted import Planted, planted_in, planted_in_headers, planted_in_url

_ABOUT_SHOPPERS = ("/hooks/", "/v1/customers", "/v1/checkouts", "/v1/suppressions", "/callbacks/")


def folder() -> Path:
    """Where it is kept."""
    return Path(os.environ.get("LOCAL_DIR", ".local")) / "planted"


@contextmanager
def collecting() -> Iterator[None]:
    """While this is entered, every request of httpx is collected, with its answer."""
    folder().mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as monkeypatch, (folder() / f"{os.getpid()}.jsonl").open("a") as file:
        known: set[Planted] = set()

        def collect(found: Iterator[Planted]) -> None:
            fresh = {*found} - known
            known.update(fresh)
            file.writelines(f"{json.dumps([own.kind, own.field, own.value])}\n" for own in fresh)

        send = httpx.Client.send

        def sent(client: httpx.Client, request: httpx.Request, **rest: Any) -> httpx.Response:
            answer = send(client, request, **rest)
            collect(_of(request, answer))
            return answer

        monkeypatch.setattr(httpx.Client, "send", sent)
        yield


def collected() -> set[Planted]:
    """All that was collected since the stack stands."""
    lines = (line for path in folder().glob("*.jsonl") for line in path.read_text().splitlines())
    return {Planted(*json.loads(line)) for line in lines}


def _of(request: httpx.Request, answer: httpx.Response) -> Iterator[Planted]:
    shoppers = any(own in request.url.path for own in _ABOUT_SHOPPERS)
    yield from planted_in_url(str(request.url))
    yield from planted_in_headers(request.headers)
    for body in (request.content, answer.content):
        try:
            said = json.loads(body)
        except ValueError:
            continue
        yield from planted_in(said, shoppers=shoppers)
        if "/hooks/" in request.url.path and isinstance(said, dict) and "checkout_id" in said:
            yield Planted("id", "checkout_id", said["checkout_id"])
