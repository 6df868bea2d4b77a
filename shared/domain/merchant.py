"""Who uses Checkback and what they registered: merchants, their sources and their endpoints."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from shared.domain.ids import EndpointId, MerchantId, SourceId
from shared.domain.money import MoneyUnit
from shared.domain.settings import Settings

SYMMETRIC: Final = "v1"
"""Standard Webhooks' scheme of a shared secret."""
ASYMMETRIC: Final = "v1a"
"""The one of a key pair: whoever verifies cannot sign."""


@dataclass(frozen=True, slots=True)
class Merchant:
    """A shop. ``store_domains`` are lower-case hosts; ``country`` alpha-2; ``currency`` ISO 4217.

    ``feed`` and ``raw`` say what ingest must keep because an endpoint asks for it: a mark at every update, the
    provider's own body.
    """

    id: MerchantId
    name: str
    store_domains: tuple[str, ...]
    country: str
    currency: str
    timezone: str
    created_at: datetime
    settings: Settings = Settings()
    feed: bool = False
    raw: bool = False


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """How one source's payloads are read; None takes the merchant's setting or the provider's default."""

    currency: str | None = None
    country: str | None = None
    idle_after: timedelta | None = None
    on_arrival: Literal["timer", "abandoned"] | None = None
    recovery_url_template: str | None = None
    keep_click_ids: bool = False
    money_unit: MoneyUnit | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    signature: Mapping[str, Any] = field(default_factory=dict)
    webhooks_per_minute: int | None = None
    accept_versions: tuple[str, ...] = ()
    """Versions of the provider's payloads that its module does not know and that the merchant wants read like those."""


@dataclass(frozen=True, slots=True)
class Source:
    """One connected checkout provider. ``sealed`` is the ciphertext of its credentials."""

    id: SourceId
    merchant_id: MerchantId
    provider: str
    created_at: datetime
    name: str | None = None
    settings: SourceSettings = SourceSettings()
    sealed: bytes | None = None


@dataclass(frozen=True, slots=True)
class OlderToken:
    """A token that stood in a source's URL before; webhooks with it are taken until ``expires_at``."""

    token: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SourceCredentials:
    """A source's credentials in the clear, for the moment they are needed; never logged or shown again."""

    secrets: tuple[str, ...] = ()
    public_key: str | None = None
    api: Mapping[str, str] = field(default_factory=dict)
    url_token: str | None = None
    """The ``?token=`` of a provider that signs nothing."""
    older_tokens: tuple[OlderToken, ...] = ()
    """What it was before, newest first."""

    def url_tokens_at(self, now: datetime) -> tuple[str, ...]:
        """The tokens by which a webhook of ``now`` is proved, the newest first."""
        older = tuple(own.token for own in self.older_tokens if own.expires_at > now)
        return older if self.url_token is None else (self.url_token, *older)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One Standard Webhooks public key (``whpk_...``) by which an endpoint's ``v1a`` signatures are verified.

    After a rotation the older one holds until ``expires_at``, as its ``SigningSecret`` does.
    """

    key: str
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where events or messages go. ``settings`` is the kind's own; durations in it are milliseconds.

    ``sealed`` is the ciphertext of signing secrets, bearer token and custom headers. ``public_keys`` are the public
    halves of its private keys, newest first.
    """

    id: EndpointId
    merchant_id: MerchantId
    kind: str
    created_at: datetime
    name: str | None = None
    url: str | None = None
    event_types: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    status: Literal["active", "disabled"] = "active"
    disabled_reason: str | None = None
    sealed: bytes | None = None
    header_names: tuple[str, ...] = ()
    secret_settings: tuple[str, ...] = ()
    """Names of what is sealed: shown to the merchant without decrypting anything."""
    public_keys: tuple[PublicKey, ...] = ()

    @property
    def signatures(self) -> tuple[str, ...]:
        """The Standard Webhooks schemes by which what it receives is signed: ``v1``, ``v1a`` or both."""
        return tuple(self.settings.get("signatures") or (SYMMETRIC,))

    def public_keys_at(self, now: datetime) -> tuple[PublicKey, ...]:
        """The keys by which an attempt at ``now`` may be verified."""
        return tuple(own for own in self.public_keys if own.expires_at is None or own.expires_at > now)

    @property
    def active(self) -> bool:
        """Whether anything may be sent to it."""
        return self.status == "active"

    def wants(self, event_type: str) -> bool:
        """Whether it subscribed to the event type."""
        return event_type in self.event_types


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """One Standard Webhooks secret (``whsec_``) or private key (``whsk_``).

    After a rotation the older one signs too until ``expires_at``.
    """

    secret: str
    expires_at: datetime | None = None

    @property
    def scheme(self) -> str:
        """What it makes: ``v1`` or ``v1a``."""
        return ASYMMETRIC if self.secret.startswith("whsk_") else SYMMETRIC


@dataclass(frozen=True, slots=True)
class EndpointCredentials:
    """An endpoint's secrets in the clear; of each scheme the newest signing secret first."""

    signing: tuple[SigningSecret, ...] = ()
    bearer_token: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    """The kind's own secret settings (``writeOnly`` in its schema) beside the bearer token."""

    def signing_at(self, now: datetime, schemes: Collection[str] = (SYMMETRIC, ASYMMETRIC)) -> tuple[str, ...]:
        """The secrets of these schemes that sign an attempt at ``now``."""
        living = (own for own in self.signing if own.expires_at is None or own.expires_at > now)
        return tuple(own.secret for own in living if own.scheme in schemes)
