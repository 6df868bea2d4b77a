"""One merchant, one source and one moment for the providers' tests, and the samples of ``events/``.

``events/<provider>/<name>.json`` is what the vendor posts; ``<name>.expected.json`` the checkout the contract shows
for it (without ``id``), written from the vendor's documentation.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from shared.domain.change import CheckoutChange
from shared.domain.ids import MerchantId, SourceId
from shared.domain.merchant import Merchant, Source, SourceCredentials, SourceSettings
from shared.providers import registry
from shared.providers.provider import Normalised, Provider, SourceContext, WebhookRequest
from shared.workflows.intake.preview import Preview, preview
from shared.workflows.intake.sources import context_of

EVENTS = Path(__file__).parents[3] / "events"
ARRIVED_AT = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
SECRET = "a-secret-of-the-source"

_AWKWARD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2**63, 10**40, 1e308, -0.5, 1e-9, "", "  ", "null", "0", "12,50", "\ud800", "🛒"),
    *(
        "99999999999999999999999",
        "1e999999",
        "NaN",
        "2026-02-30T99:99:99Z",
        "0001-01-01T00:00:00+23:59",
        "://[",
        [],
        {},
    ),
    *([None], [[]], [{}], ["x"], {"": None}, {"id": []}, {"amount": "x"}),
)


class Bench:
    """A provider with a source of its own; settings and credentials are set per test."""

    arrived_at = ARRIVED_AT
    secret = SECRET

    def __init__(self, name: str) -> None:
        """``name`` is the provider's."""
        self.provider: Provider = registry.provider(name)
        self.settings = SourceSettings()
        self.credentials = SourceCredentials(secrets=(SECRET,))
        self.merchant = Merchant(
            id=MerchantId("mer_01"),
            name="A shop",
            store_domains=("shop.example.com",),
            country="IN",
            currency="INR",
            timezone="Asia/Kolkata",
            created_at=ARRIVED_AT,
        )

    def configure(self, **settings: Any) -> "Bench":
        """Change the source's settings."""
        self.settings = replace(self.settings, **settings)
        return self

    @property
    def source(self) -> Source:
        """The source as stored."""
        return Source(SourceId("src_01"), self.merchant.id, self.provider.name, ARRIVED_AT, settings=self.settings)

    @property
    def context(self) -> SourceContext:
        """What the provider may know of the source."""
        return context_of(self.source, self.merchant, self.credentials, self.provider)

    def request(
        self,
        body: Any,
        headers: Mapping[str, str] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        event: str | None = None,
    ) -> WebhookRequest:
        """A webhook; ``body`` is bytes, or a value to be written as JSON."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        return WebhookRequest(lower, query or {}, raw, ARRIVED_AT, event)

    def authenticate(self, request: WebhookRequest) -> None:
        """Prove the request against the source."""
        self.provider.authenticate(request, self.context)

    def normalise(self, body: Any, headers: Mapping[str, str] | None = None, *, event: str | None = None) -> Normalised:
        """What the webhook says."""
        request = self.request(body, headers, event=event)
        context = self.context
        return self.provider.normalise(self.provider.read(request, context), request, context)

    def change(
        self, body: Any, headers: Mapping[str, str] | None = None, *, event: str | None = None
    ) -> CheckoutChange:
        """The one change that the webhook makes."""
        (change,) = self.normalise(body, headers, event=event).changes
        return change

    def preview(self, body: Any, headers: Mapping[str, str] | None = None, *, event: str | None = None) -> Preview:
        """The checkouts that the webhook alone makes."""
        request = self.request(body, headers, event=event)
        return preview(self.provider, request, self.source, self.merchant, ARRIVED_AT)

    def checkout(
        self, body: Any, headers: Mapping[str, str] | None = None, *, event: str | None = None
    ) -> dict[str, Any]:
        """The one checkout that the webhook alone makes, as the contract shows it, without its id."""
        (shown,) = self.preview(body, headers, event=event).checkouts
        return {name: value for name, value in shown.items() if name != "id"}

    def sample_bytes(self, name: str) -> bytes:
        """``events/<provider>/<name>.json`` as it is."""
        return (EVENTS / self.provider.name / f"{name}.json").read_bytes()

    def sample(self, name: str) -> Any:
        """The same, parsed; what a test changes in it stays in the test."""
        return json.loads(self.sample_bytes(name))

    def expected(self, name: str) -> dict[str, Any]:
        """``events/<provider>/<name>.expected.json``."""
        expected: dict[str, Any] = self.sample(f"{name}.expected")
        return expected

    @staticmethod
    def digest(body: bytes) -> bytes:
        """What stands in for an event id."""
        return hashlib.sha256(body).digest()[:16]


def mutations(payload: Any) -> "st.SearchStrategy[Any]":
    """The payload with up to four of its parts replaced by awkward values, dropped or repeated."""
    places = list(_places(payload))
    change = st.tuples(st.sampled_from(places), st.sampled_from(["set", "drop", "repeat"]), st.sampled_from(_AWKWARD))
    return st.lists(change, min_size=1, max_size=4).map(lambda changes: _mutated(payload, changes))


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every path in a JSON value, the root first."""
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield from _places(part, (*path, name))


def _mutated(payload: Any, changes: list[tuple[tuple[Any, ...], str, Any]]) -> Any:
    root = [json.loads(json.dumps(payload))]
    for path, action, value in changes:
        holder: Any = root
        whole = (0, *path)
        try:
            for name in whole[:-1]:
                holder = holder[name]
            if action == "drop" and path:
                del holder[whole[-1]]
            elif action == "repeat" and isinstance(holder[whole[-1]], list):
                holder[whole[-1]] = (holder[whole[-1]] * 30)[:30]
            else:
                holder[whole[-1]] = json.loads(json.dumps(value))
        except (LookupError, TypeError):
            continue  # an earlier change took the place away
    return root[0]
