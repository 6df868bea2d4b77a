"""Answers of the reading function: JSON that nobody keeps, and who asked for it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.domain.ids import MerchantId


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. ``merchant_id`` goes into the log, never out."""

    status: int
    body: Mapping[str, Any]
    merchant_id: MerchantId | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def as_http(self) -> dict[str, Any]:
        """The HTTP API's answer (payload 2.0)."""
        return {
            "statusCode": self.status,
            "headers": {"content-type": "application/json; charset=utf-8", "cache-control": "no-store", **self.headers},
            "body": json.dumps(self.body, separators=(",", ":")),
            "isBase64Encoded": False,
        }
