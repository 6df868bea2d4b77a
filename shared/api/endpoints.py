"""Endpoints: request bodies, and how they are shown."""

import base64
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self, TypedDict

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from shared.api.checkouts import Instant
from shared.api.fields import (
    CRITERIA,
    SAID,
    WHOLE,
    Duration,
    Name,
    Patch,
    Strict,
    Url,
    duration_text,
    id_of,
    lasting,
    storable,
    without_default,
)
from shared.delivery.signing import public_bytes
from shared.domain.announcement import EventType
from shared.domain.breaker import BreakerState, Health
from shared.domain.ids import IdKind
from shared.domain.instants import InstantText, parse_instant, to_rfc3339
from shared.domain.job import has_stalled
from shared.domain.merchant import Endpoint, EndpointCredentials, PublicKey
from shared.store.deliveries import DeliveryRecord, DeliveryStatus
from shared.store.resend_jobs import ResendJob
from shared.workflows.delivering.endpoint_setup import HIDDEN, SHORTEST_DELAY, Draft, draft_of, unhidden
from shared.workflows.delivering.resend import NEVER_RESENT

_LONGEST_LIQUID = 32_768
LONGEST_OVERLAP = timedelta(days=7)

_EventTypes = Annotated[list[Annotated[EventType, Field(strict=False)]], Field(max_length=20)]
_Resent = Annotated[
    DeliveryStatus,
    Field(strict=False),
    WithJsonSchema({"type": "string", "enum": [own.value for own in DeliveryStatus if own not in NEVER_RESENT]}),
]
_Statuses = Annotated[list[_Resent], Field(min_length=1, max_length=8)]
_SHORTEST_WINDOW = SHORTEST_TIMEOUT = timedelta(seconds=1)
LONGEST_TIMEOUT = timedelta(seconds=30)
_DAY = timedelta(days=1)
_Headers = Annotated[
    dict[Annotated[str, StringConstraints(max_length=128)], Annotated[str, StringConstraints(max_length=4096)]],
    Field(max_length=20),
]


def _within(least: timedelta, greatest: timedelta, value: timedelta) -> timedelta:
    if not least <= value <= greatest:
        raise ValueError(f"must lie between {duration_text(least)} and {duration_text(greatest)}")
    return value


def _delay(value: timedelta) -> timedelta:
    return _within(timedelta(), _DAY, value)


def _kinds(schema: dict[str, Any]) -> None:
    from shared.destinations import registry

    schema.update({"enum": list(registry.kinds()), "examples": ["webhook"]})


class RateLimitBody(Strict):
    """At most ``max`` sends in any window of ``per``."""

    max: Annotated[int, Field(ge=1, le=100_000), WHOLE]
    per: Annotated[Duration, lasting(_SHORTEST_WINDOW, _DAY)]

    @field_validator("per")
    @classmethod
    def _window(cls, per: timedelta) -> timedelta:
        return _within(_SHORTEST_WINDOW, _DAY, per)


class LiquidBody(Strict):
    """A payload made by a Liquid template."""

    liquid: Annotated[str, StringConstraints(min_length=1, max_length=_LONGEST_LIQUID, strip_whitespace=False)]


class EndpointSettingsBody(Patch):
    """Settings that every kind has; a kind's own are checked against its schema (``GET /v1/destinations``)."""

    model_config = ConfigDict(extra="allow")

    timeout: Annotated[Duration, lasting(SHORTEST_TIMEOUT, LONGEST_TIMEOUT)] | None = None
    retry_schedule: Annotated[
        list[Annotated[Duration, AfterValidator(_delay), lasting(SHORTEST_DELAY, _DAY)]], Field(max_length=20)
    ] | None = None  # fmt: skip
    rate_limit: RateLimitBody | None = None
    payload: Literal["checkback", "provider"] | LiquidBody | None = None
    filter: Annotated[dict[str, Any], CRITERIA] | None = None
    bearer_token: Annotated[str, StringConstraints(min_length=1, max_length=4096), SAID] | None = None

    @classmethod
    def nullable(cls) -> frozenset[str]:
        """Every setting can be dropped."""
        return frozenset(cls.model_fields)

    @field_validator("timeout")
    @classmethod
    def _timeout(cls, timeout: timedelta | None) -> timedelta | None:
        return None if timeout is None else _within(SHORTEST_TIMEOUT, LONGEST_TIMEOUT, timeout)

    @field_validator("filter")
    @classmethod
    def _storable(cls, criteria: dict[str, Any] | None) -> dict[str, Any] | None:
        return None if criteria is None else storable(criteria)

    @model_validator(mode="after")
    def _kinds_own_storable(self) -> Self:
        storable(self.model_extra or {})
        return self

    def on(self, settings: dict[str, Any]) -> dict[str, Any]:
        """The settings with what the request names; ``null`` drops one, ``***`` leaves it as it is."""
        given = self.given() | (self.model_extra or {})
        if self.rate_limit is not None:
            given["rate_limit"] = {"max": self.rate_limit.max, "per": self.rate_limit.per}
        if isinstance(self.payload, LiquidBody):
            given["payload"] = {"liquid": self.payload.liquid}
        changed = settings | unhidden(given, settings)
        return {name: value for name, value in changed.items() if value is not None}


class EndpointBody(Strict):
    """A new endpoint. A webhook without ``event_types`` gets all types but ``checkout.updated``."""

    kind: Annotated[str, StringConstraints(min_length=1, max_length=40), Field(json_schema_extra=_kinds)]
    name: Name | None = None
    url: Url | None = None
    event_types: _EventTypes | None = None
    headers: _Headers = Field(default_factory=dict)
    settings: EndpointSettingsBody = Field(default=EndpointSettingsBody(), json_schema_extra=without_default)

    def draft(self) -> Draft:
        """What the merchant wants."""
        return Draft(self.kind, self.url, self.headers, self.settings.on({}))


class EndpointPatch(Patch):
    """Changes to an endpoint. ``headers`` replaces all; ``settings`` merges. `***` leaves a secret as it is."""

    name: Name | None = None
    url: Url | None = None
    event_types: _EventTypes = Field(default_factory=list)
    headers: _Headers = Field(default_factory=dict)
    settings: EndpointSettingsBody = Field(default=EndpointSettingsBody(), json_schema_extra=without_default)

    @classmethod
    def nullable(cls) -> frozenset[str]:
        """Name and url may be dropped (where the kind needs no url)."""
        return frozenset({"name", "url"})

    def on(self, endpoint: Endpoint, credentials: EndpointCredentials) -> Draft:
        """What the merchant wants now."""
        now = draft_of(endpoint, credentials)
        named = self.model_fields_set
        return Draft(
            endpoint.kind,
            self.url if "url" in named else now.url,
            unhidden(self.headers, now.headers) if "headers" in named else now.headers,
            self.settings.on(dict(now.settings)),
        )


class RotationBody(Strict):
    """For how long the older secret signs too."""

    overlap: Annotated[Duration, lasting(timedelta(), LONGEST_OVERLAP)] = timedelta(days=1)

    @field_validator("overlap")
    @classmethod
    def _overlap(cls, overlap: timedelta) -> timedelta:
        return _within(timedelta(), LONGEST_OVERLAP, overlap)


class PayloadPreviewBody(Strict):
    """On which stored checkout, and with which settings in place of the endpoint's own; they merge, as in a change."""

    checkout_id: Annotated[str, StringConstraints(min_length=1, max_length=64), id_of(IdKind.CHECKOUT)]
    settings: EndpointSettingsBody = Field(default=EndpointSettingsBody(), json_schema_extra=without_default)


class RecoverBody(Strict):
    """Which deliveries to send again."""

    since: Instant | None = None
    statuses: _Statuses | None = None


class PayloadPreviewJson(TypedDict):
    """What an endpoint would be sent: the request's body as text, secrets as `***`."""

    body: str | None
    """Null where there would be none."""
    content_type: str | None
    reason: str | None
    """Why there would be none; `provider_payload`: the provider's own body, as it came."""


class ResendCountsJson(TypedDict):
    """Deliveries looked at, and those sent again."""

    examined: int
    resent: int


class ResendJson(TypedDict):
    """A job that sends an endpoint's undelivered deliveries again."""

    id: str
    type: Literal["recover"]
    endpoint_id: str
    status: Literal["queued", "running", "stalled", "completed"]
    """`stalled`: nothing was heard of it for half an hour. It may go on, and another may be begun."""
    since: InstantText
    statuses: list[str]
    deliveries: ResendCountsJson
    created_at: InstantText
    updated_at: InstantText
    finished_at: InstantText | None


class PublicKeyJson(TypedDict):
    """A public key in Standard Webhooks' spelling (`whpk_…`)."""

    key: str
    expires_at: InstantText | None
    """Of the older one after a rotation: until then it signs too."""


class JsonWebKeyJson(PublicKeyJson):
    """A public key as JWK (RFC 8037) too."""

    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    use: Literal["sig"]
    x: str


class KeySetJson(TypedDict):
    """A JWK set (RFC 7517), newest first."""

    keys: list[JsonWebKeyJson]


class EndpointJson(TypedDict):
    """Where events or messages go."""

    id: str
    kind: str
    name: str | None
    url: str | None
    event_types: list[str]
    headers: dict[str, str]
    """Their values are never shown."""
    settings: dict[str, Any]
    """As `GET /v1/destinations` describes them for the kind; secret ones are never shown."""
    status: Literal["active", "disabled"]
    disabled_reason: str | None
    public_keys: list[PublicKeyJson]
    """By which its `v1a` signatures are verified."""
    public_keys_url: str | None
    created_at: InstantText


class NewEndpointJson(EndpointJson):
    """An endpoint whose signing secret was just made: it is shown once."""

    signing_secret: str


class BreakerJson(TypedDict):
    """The circuit breaker: open, it holds attempts back."""

    state: BreakerState
    failures: int
    """In a row."""
    retry_at: InstantText | None


class HealthJson(TypedDict):
    """How an endpoint is doing."""

    last_success_at: InstantText | None
    last_failure_at: InstantText | None
    failing_since: InstantText | None
    breaker: BreakerJson


class EndpointWithHealthJson(EndpointJson, HealthJson):
    """An endpoint and how it is doing."""


def resend_json(job: ResendJob, now: datetime) -> ResendJson:
    """A job that sends undelivered deliveries again, as the API shows it."""
    return {
        "id": job.id,
        "type": "recover",
        "endpoint_id": job.endpoint_id,
        "status": "stalled" if has_stalled(job.status, job.updated_at, now) else job.status,
        "since": to_rfc3339(job.since),
        "statuses": list(job.statuses),
        "deliveries": {"examined": job.examined, "resent": job.resent},
        "created_at": to_rfc3339(job.created_at),
        "updated_at": to_rfc3339(job.updated_at),
        "finished_at": None if job.finished_at is None else to_rfc3339(job.finished_at),
    }


def health_json(health: Health, newest: Sequence[DeliveryRecord], now: datetime) -> HealthJson:
    """How the endpoint is doing. A healthy one keeps no record of its own: its ``newest`` deliveries tell."""
    answered = [
        found
        for own in newest
        if own.status is DeliveryStatus.DELIVERED and own.attempts
        if (found := parse_instant(own.attempts[-1].get("at"))) is not None
    ]
    succeeded = max((*answered, *([health.last_success_at] if health.last_success_at else [])), default=None)
    return {
        "last_success_at": None if succeeded is None else to_rfc3339(succeeded),
        "last_failure_at": None if health.last_failure_at is None else to_rfc3339(health.last_failure_at),
        "failing_since": None if health.failing_since is None else to_rfc3339(health.failing_since),
        "breaker": {
            "state": health.state(now),
            "failures": health.failures,
            "retry_at": None if health.open_until is None else to_rfc3339(health.open_until),
        },
    }


def endpoint_json(endpoint: Endpoint, public_url: str) -> EndpointJson:
    """An endpoint as the API shows it, without its secrets.

    ``public_url`` is what public addresses begin with. Public keys are those of ``v1a`` signatures.
    """
    return {
        "id": endpoint.id,
        "kind": endpoint.kind,
        "name": endpoint.name,
        "url": endpoint.url,
        "event_types": list(endpoint.event_types),
        "headers": dict.fromkeys(endpoint.header_names, HIDDEN),
        "settings": _settings_json(endpoint),
        "status": endpoint.status,
        "disabled_reason": endpoint.disabled_reason,
        "public_keys": [_public_key_json(own) for own in endpoint.public_keys],
        "public_keys_url": f"{public_url}/v1/endpoints/{endpoint.id}/public-keys" if endpoint.public_keys else None,
        "created_at": to_rfc3339(endpoint.created_at),
    }


def key_set_json(keys: Sequence[PublicKey]) -> KeySetJson:
    """Public keys as a JWK set (RFC 7517; Ed25519 by RFC 8037), with Standard Webhooks' own spelling beside."""
    return {
        "keys": [
            {
                "kty": "OKP",
                "crv": "Ed25519",
                "use": "sig",
                "x": base64.urlsafe_b64encode(public_bytes(own.key)).decode().rstrip("="),
                **_public_key_json(own),
            }
            for own in keys
        ]
    }


def _public_key_json(own: PublicKey) -> PublicKeyJson:
    return {"key": own.key, "expires_at": None if own.expires_at is None else to_rfc3339(own.expires_at)}


def _settings_json(endpoint: Endpoint) -> dict[str, Any]:
    shown = dict(draft_of(endpoint, EndpointCredentials()).settings)
    if "timeout" in shown:
        shown["timeout"] = duration_text(shown["timeout"])
    if "retry_schedule" in shown:
        shown["retry_schedule"] = [duration_text(own) for own in shown["retry_schedule"]]
    if "rate_limit" in shown:
        shown["rate_limit"] = {"max": shown["rate_limit"]["max"], "per": duration_text(shown["rate_limit"]["per"])}
    return shown | dict.fromkeys(endpoint.secret_settings, HIDDEN)
