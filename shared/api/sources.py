"""Sources: request bodies, and how they are shown."""

from dataclasses import replace
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from pydantic import Field, StringConstraints, field_validator

from shared.api.endpoints import RotationBody
from shared.api.fields import (
    Country,
    Currency,
    Duration,
    Name,
    Patch,
    ProviderValue,
    Secret,
    Shape,
    Strict,
    WebhooksPerMinute,
    described,
    duration_text,
    lasting,
    without_default,
)
from shared.api.problems import FieldError, invalid
from shared.delivery.target import with_ascii_host
from shared.domain.instants import DurationText, InstantText, to_rfc3339
from shared.domain.merchant import Source, SourceCredentials, SourceSettings
from shared.domain.money import MoneyUnit
from shared.domain.pointer import pointer
from shared.domain.representation import CheckoutJson
from shared.domain.settings import duration_range
from shared.providers.payload import MOST_PLACES, places_in
from shared.workflows.intake.source_setup import GivenCredentials

_Header = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$")]


def _providers(schema: dict[str, Any]) -> None:
    from shared.providers import registry

    schema.update({"enum": list(registry.names()), "examples": ["flexype"]})


class SignatureBody(Strict):
    """How a webhook is signed, where the vendor does not publish it (and for ``custom``)."""

    header: _Header
    algorithm: Literal["sha1", "sha256", "sha384", "sha512", "plain"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    signed_parts: Annotated[list[Annotated[str, StringConstraints(max_length=200)]], Field(max_length=10)] = Field(
        default_factory=lambda: ["body"]
    )
    timestamp_header: _Header | None = None


_LONGEST_FIELD = 200


def _fields_of_a_checkout(schema: dict[str, Any]) -> None:
    from shared.providers.mapping import ALIASES, FIELDS, ITEM_FIELDS

    fields, of_items = ("|".join(sorted(own)) for own in (FIELDS | ALIASES.keys(), ITEM_FIELDS))
    fields = fields.replace(".", r"\.")
    pattern = rf"^({fields}|attributes\.[\s\S]+|items(\[\]|\[\*\])?\.({of_items}))$"
    schema["propertyNames"] = {"maxLength": _LONGEST_FIELD, "pattern": pattern}
    schema["description"] = "A checkout's field, dotted, to the JMESPath expression that finds it in the payload"
    schema["examples"] = [{"customer.phone": "buyer.phone"}]


Expressions = Annotated[
    dict[
        Annotated[str, StringConstraints(max_length=_LONGEST_FIELD)], Annotated[str, StringConstraints(max_length=2000)]
    ],
    Field(max_length=200),
    Field(json_schema_extra=_fields_of_a_checkout),
]
"""Checkout field to JMESPath."""


class SourceSettingsBody(Patch):
    """How this source's payloads are read; ``null`` takes the merchant's setting or the provider's default."""

    currency: Currency | None = None
    country: Country | None = None
    idle_after: Annotated[Duration, lasting(*duration_range("idle_after", local=False))] | None = None
    on_arrival: Literal["timer", "abandoned"] | None = None
    recovery_url_template: (
        Annotated[
            str,
            StringConstraints(min_length=1, max_length=2048),
            Shape(
                r"[Hh][Tt][Tt][Pp][Ss]://[\s\S]*", "must begin with https://", ("https://shop.example.com/cart/{id}",)
            ),
        ]
        | None
    ) = None
    keep_click_ids: bool = False
    money_unit: MoneyUnit | None = None
    mapping: Expressions = Field(default_factory=dict)
    signature: SignatureBody | None = None
    webhooks_per_minute: WebhooksPerMinute | None = None
    accept_versions: Annotated[
        list[Annotated[str, StringConstraints(pattern=r"^(\*|[A-Za-z0-9._-]{1,40})$")]], Field(max_length=20)
    ] = Field(default_factory=list)

    @classmethod
    def nullable(cls) -> frozenset[str]:
        """All but the switches, the map and the list."""
        return frozenset(cls.model_fields) - {"keep_click_ids", "mapping", "accept_versions"}

    @field_validator("recovery_url_template")
    @classmethod
    def _bounded(cls, template: str | None) -> str | None:
        if template is not None and places_in(template) > MOST_PLACES:
            raise ValueError(f"must not hold more than {MOST_PLACES} places for an id")
        return None if template is None else with_ascii_host(template)

    def on(self, settings: SourceSettings, *, local: bool) -> SourceSettings:
        """The settings with what the request names. Raises Problem 422 for an idle time out of its range."""
        given = self.given()
        if "signature" in given:
            given["signature"] = {} if self.signature is None else self.signature.model_dump(exclude_none=True)
        if "accept_versions" in given:
            given["accept_versions"] = tuple(self.accept_versions)
        least, greatest = duration_range("idle_after", local=local)
        if self.idle_after is not None and not least <= self.idle_after <= greatest:
            detail = f"must lie between {duration_text(least)} and {duration_text(greatest)}"
            raise invalid([FieldError(detail, pointer("settings", "idle_after"))])
        return replace(settings, **given)


class CredentialsBody(Strict):
    """A provider's credentials: which of them it takes is told by ``GET /v1/providers``."""

    secret: Secret | None = None
    secrets: Annotated[list[Secret], Field(min_length=1, max_length=5)] | None = None
    public_key: Annotated[str, StringConstraints(min_length=32, max_length=4096)] | None = None
    api: (
        Annotated[
            dict[Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,40}$")], ProviderValue],
            Field(max_length=10),
            described(additionalProperties=False),
        ]
        | None
    ) = None

    def given(self) -> GivenCredentials:
        """The credentials; one secret counts before the list."""
        placed = [] if self.secret is None else [(self.secret, pointer("credentials", "secret"))]
        placed += [(own, pointer("credentials", "secrets", at)) for at, own in enumerate(self.secrets or ())]
        first = dict(reversed(placed))
        own_secrets = tuple(dict.fromkeys(secret for secret, _ in placed))
        places = tuple(first[secret] for secret in own_secrets)
        return GivenCredentials(own_secrets, places, self.public_key, self.api or {})


class SourceBody(Strict):
    """A new source."""

    provider: Annotated[str, StringConstraints(min_length=1, max_length=60), Field(json_schema_extra=_providers)]
    name: Name | None = None
    credentials: CredentialsBody = Field(default=CredentialsBody(), json_schema_extra=without_default)
    settings: SourceSettingsBody = Field(default=SourceSettingsBody(), json_schema_extra=without_default)


class SourcePatch(Patch):
    """Changes to a source. Credentials that are given replace the stored ones of the same name."""

    name: Name | None = None
    credentials: CredentialsBody = Field(default=CredentialsBody(), json_schema_extra=without_default)
    settings: SourceSettingsBody = Field(default=SourceSettingsBody(), json_schema_extra=without_default)

    @classmethod
    def nullable(cls) -> frozenset[str]:
        """The name may be dropped."""
        return frozenset({"name"})


class UrlRotationBody(RotationBody):
    """For how long webhooks to the older address are taken too."""


class TryBody(Strict):
    """A mapping to be tried on a body in quarantine."""

    mapping: Expressions

    def on(self, source: Source) -> Source:
        """The source as if it were its own. Raises Problem 422 for an expression that is none."""
        from shared.providers.mapping import InvalidMapping, compiled

        try:
            compiled(self.mapping)
        except InvalidMapping as wrong:
            expression = [wrong.field] if wrong.field else []
            raise invalid([FieldError(wrong.detail, pointer("mapping", *expression))]) from None
        return replace(source, settings=replace(source.settings, mapping=self.mapping))


class SourceSettingsJson(TypedDict):
    """How the source's payloads are read; null takes the merchant's setting or the provider's default."""

    currency: str | None
    country: str | None
    idle_after: DurationText | None
    on_arrival: Literal["timer", "abandoned"] | None
    recovery_url_template: str | None
    keep_click_ids: bool
    money_unit: MoneyUnit | None
    mapping: dict[str, str]
    signature: dict[str, Any] | None
    webhooks_per_minute: int | None
    accept_versions: list[str]


class PayloadsJson(TypedDict):
    """What a payload of none or several checkouts becomes."""

    data: list[CheckoutJson]
    ignored: str | None
    """Why it would be ignored."""


class TriedJson(PayloadsJson):
    """What a quarantined body would become."""

    missing: list[str]
    """Fields that it does not hold."""
    assumed: list[str]


class SourceJson(TypedDict):
    """A connected checkout provider."""

    id: str
    provider: str
    name: str | None
    url: str
    """Where the provider posts its webhooks; a token in it is shown once, afterwards as `***`."""
    settings: SourceSettingsJson
    created_at: InstantText


class SourceCredentialsJson(TypedDict):
    """What the provider must be told, or told us."""

    secret: NotRequired[str]
    secrets: NotRequired[list[str]]
    """Where there are several, while one replaces another."""
    public_key: NotRequired[str]
    api: NotRequired[dict[str, str]]
    """Which were given; their values are never shown."""


class NewSourceJson(SourceJson):
    """A new source. Its secrets are shown once."""

    credentials: SourceCredentialsJson


def source_json(source: Source, public_url: str, *, url_token: bool) -> SourceJson:
    """A source as the API shows it. ``url_token``: its provider signs nothing, and the URL carries a token."""
    return _source_json(source, public_url, "***" if url_token else None)


def new_source_json(source: Source, public_url: str, shown: SourceCredentials, *, url_token: bool) -> NewSourceJson:
    """A source in the one answer that shows its credentials."""
    plain = _source_json(source, public_url, (shown.url_token or "***") if url_token else None)
    return {**plain, "credentials": _credentials_json(shown)}


def moved_source_json(source: Source, public_url: str, credentials: SourceCredentials) -> SourceJson:
    """A source in the one answer that shows its new URL."""
    return _source_json(source, public_url, credentials.url_token)


def _source_json(source: Source, public_url: str, token: str | None) -> SourceJson:
    return {
        "id": source.id,
        "provider": source.provider,
        "name": source.name,
        "url": f"{public_url}/hooks/{source.id}" + ("" if token is None else f"?token={token}"),
        "settings": _settings_json(source.settings),
        "created_at": to_rfc3339(source.created_at),
    }


def _settings_json(settings: SourceSettings) -> SourceSettingsJson:
    return {
        "currency": settings.currency,
        "country": settings.country,
        "idle_after": None if settings.idle_after is None else duration_text(settings.idle_after),
        "on_arrival": settings.on_arrival,
        "recovery_url_template": settings.recovery_url_template,
        "keep_click_ids": settings.keep_click_ids,
        "money_unit": settings.money_unit,
        "mapping": dict(settings.mapping),
        "signature": dict(settings.signature) or None,
        "webhooks_per_minute": settings.webhooks_per_minute,
        "accept_versions": list(settings.accept_versions),
    }


def _credentials_json(credentials: SourceCredentials) -> SourceCredentialsJson:
    shown: SourceCredentialsJson = {}
    if credentials.secrets:
        shown["secret"] = credentials.secrets[0]
    if len(credentials.secrets) > 1:
        shown["secrets"] = list(credentials.secrets)
    if credentials.public_key is not None:
        shown["public_key"] = credentials.public_key
    if credentials.api:
        shown["api"] = dict.fromkeys(credentials.api, "***")
    return shown
