"""What is written down of the description: its examples, and ``docs/openapi.json``; by ``make openapi`` anew."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from functions.merchant_api.examples import FILE as EXAMPLES
from tests.integration.api import described

PAGE = Path(__file__).parents[3] / "docs" / "openapi.json"
ANEW = "OPENAPI" in os.environ
_ULID = re.compile(r"(?:(?<=_)|(?<=[0-9A-Z]{26}))([0-7][0-9A-HJKMNP-TV-Z]{9})[0-9A-HJKMNP-TV-Z]{16}")
_DIGEST = re.compile(r"(?<=chk_)[a-z2-7]{26}")
_SECRET = re.compile(
    r"((?:cbk|whsec|whpk)_)[A-Za-z0-9+/=_-]+|((?:/r|/console/enter)/|sup_[a-z]+_)[^\"\s/?]+|(?<=\?token=)[^*\"]+"
)
_HIDDEN = frozenset({"secret", "x", "identifier_hash", "cursor", "next_cursor"})


class Examples:
    """One request and its answers for each operation: the first that succeeds, without what is random or secret."""

    def __init__(self) -> None:
        """None yet."""
        self._of: dict[str, dict[str, Any]] = {}
        self._known: dict[str, str] = {}

    def note(self, name: str, request: Any, responses: Mapping[int, str]) -> None:
        """Keep what an operation was sent and answered, unless there is an example."""
        if name in self._of:
            return
        answered = {
            str(status): self._shown(json.loads(text.splitlines()[0])) for status, text in responses.items() if text
        }
        sent = {} if request is None else {"request": self._shown(request)}
        self._of[name] = sent | ({"responses": answered} if answered else {})

    def check(self, names: frozenset[str]) -> None:
        """Raises AssertionError where the examples that are kept of these operations are others."""
        made = {name: own for name, own in self._of.items() if own}
        kept: dict[str, Any] = json.loads(EXAMPLES.read_text())
        if ANEW:
            others = {name: own for name, own in kept.items() if name not in names}
            write(EXAMPLES, others | made)
            return
        assert {name: own for name, own in kept.items() if name in names} == made, "run `make openapi`"

    def _shown(self, part: Any, name: str = "") -> Any:
        if isinstance(part, dict):
            return {own: self._shown(value, own) for own, value in part.items()}
        if isinstance(part, list):
            return [self._shown(value, name) for value in (part[:1] if name == "data" else part)]
        if not isinstance(part, str):
            return part
        if name in _HIDDEN:
            return "EXAMPLE-ONLY"
        plain = _SECRET.sub(lambda found: f"{found[1] or found[2] or ''}EXAMPLE-ONLY", part)
        return _DIGEST.sub(self._digest_named, _ULID.sub(self._ulid_named, plain))

    def _ulid_named(self, found: re.Match[str]) -> str:
        return self._known.setdefault(found[0], f"{found[1]}{len(self._known) + 1:016d}")

    def _digest_named(self, found: re.Match[str]) -> str:
        return self._known.setdefault(found[0], chr(ord("a") + len(self._known) % 26) * 25 + "a")


def write(path: Path, document: Any) -> None:
    """Write a document down."""
    path.write_text(pretty(document))


def pretty(document: Any) -> str:
    """Indented and sorted: the same document makes the same file."""
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def shown_examples() -> Iterator[tuple[str, Any, Any]]:
    """Every example of the description with the schema beside it."""
    for part in ("paths", "webhooks"):
        for methods in described.document()[part].values():
            for operation in methods.values():
                places = [operation.get("requestBody", {}), *operation["responses"].values()]
                for content in (own for place in places for own in place.get("content", {}).values()):
                    if "example" in content:
                        yield operation["operationId"], content["schema"], content["example"]
