"""Examples of the description: what a test sent and was answered, written by it (``make openapi``)."""

import json
from pathlib import Path
from typing import Any, Final

from functions.merchant_api.session import LINES

FILE: Final = Path(__file__).with_name("examples.json")


def put_examples(document: dict[str, Any]) -> None:
    """Put each operation's request and answers beside their schemas, and each event beside its webhook's."""
    found: dict[str, Any] = json.loads(FILE.read_text())
    operations = {
        operation["operationId"]: operation
        for part in ("paths", "webhooks")
        for methods in document[part].values()
        for operation in methods.values()
    }
    for name, shown in found.items():
        if name not in operations:
            continue
        if "request" in shown:
            _put(operations[name].get("requestBody", {}), shown["request"])
        for status, body in shown.get("responses", {}).items():
            _put(operations[name]["responses"].get(status, {}), body)


def _put(described: dict[str, Any], example: Any) -> None:
    for media_type, content in described.get("content", {}).items():
        if media_type == LINES:
            content["example"] = json.dumps(example, separators=(",", ":")) + "\n"
        elif media_type == "application/json":
            content["example"] = example
