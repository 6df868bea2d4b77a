"""Connecting a checkout provider: what a source's credentials and settings must be, and what is generated."""

import base64
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any, TypedDict

from shared.delivery.own_address import OwnAddress
from shared.delivery.target import check_url
from shared.domain.merchant import OlderToken, SourceCredentials, SourceSettings
from shared.domain.pointer import pointer
from shared.providers import registry
from shared.providers.provider import Description, Provider
from shared.providers.pull import api_of
from shared.workflows.delivering.refusals import Conflict, Invalid

_GENERATED_BYTES = 32
_OLDER_TOKENS = 2
"""That hold beside the newest: who turns it over more often has given the first ones up."""


@dataclass(frozen=True, slots=True)
class GivenCredentials:
    """Credentials as a merchant sends them; empty where it sends none."""

    secrets: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    """Where in the request each of the secrets stands."""
    public_key: str | None = None
    api: Mapping[str, str] = field(default_factory=dict)

    def names(self) -> set[str]:
        """Which of the three are given."""
        given = {"secret": bool(self.secrets), "public_key": self.public_key is not None, "api": bool(self.api)}
        return {name for name, present in given.items() if present}


def provider_named(name: str) -> Provider:
    """The provider. Raises Invalid."""
    try:
        return registry.provider(name)
    except registry.UnknownProvider:
        known = ", ".join(registry.names())
        raise Invalid([("/provider", f"unknown provider; known are {known}")]) from None


def first_credentials(provider: Provider, given: GivenCredentials) -> SourceCredentials:
    """The credentials of a new source, generated where the scheme allows it. Raises Invalid."""
    description = provider.description
    problems = _problems(description, given)
    wanted = {_group(own.name): own for own in description.credentials}
    own_secrets = given.secrets
    if "secret" in wanted and not own_secrets and wanted["secret"].generated:
        own_secrets = (secrets.token_urlsafe(_GENERATED_BYTES),)
    present = given.names() | ({"secret"} if own_secrets else set())
    problems += [
        (f"/credentials/{own.name.replace('.', '/')}", "required for this provider")
        for own in description.credentials
        if own.required and _group(own.name) not in present
    ]
    if problems:
        raise Invalid(problems)
    url_token = secrets.token_urlsafe(_GENERATED_BYTES) if description.url_token else None
    return SourceCredentials(own_secrets, given.public_key, dict(given.api), url_token)


def changed_credentials(provider: Provider, current: SourceCredentials, given: GivenCredentials) -> SourceCredentials:
    """The credentials after a change: what is given replaces, the rest stays. Raises Invalid."""
    problems = _problems(provider.description, given)
    if problems:
        raise Invalid(problems)
    return replace(
        current,
        secrets=given.secrets or current.secrets,
        public_key=given.public_key or current.public_key,
        api={**current.api, **given.api},
    )


def turned_over(
    provider: Provider, current: SourceCredentials, bits: bytes, now: datetime, overlap: timedelta
) -> SourceCredentials:
    """The credentials with another token in the URL, made of ``bits``; the older ones hold for ``overlap`` at most.

    The same bits twice are one turn. Raises Conflict where the provider's URL carries none.
    """
    if not provider.description.url_token or current.url_token is None:
        raise Conflict("The address of this source carries no token: its webhooks are proved by its secret or key.")
    fresh = base64.urlsafe_b64encode(bits).decode().rstrip("=")
    if fresh == current.url_token:
        return current
    ends = now + overlap
    before = (OlderToken(current.url_token, ends), *current.older_tokens)
    older = [replace(own, expires_at=min(own.expires_at, ends)) for own in before]
    living = tuple(own for own in older if own.expires_at > now)
    return replace(current, url_token=fresh, older_tokens=living[:_OLDER_TOKENS])


def check_api_address(given: GivenCredentials, *, local: bool, own: OwnAddress) -> None:
    """Raises Invalid where the provider's API would be asked at an address that is never dialled, ours included."""
    url = given.api.get("base_url")
    wrong = [] if url is None else check_url(url.strip(), allow_loopback=local, own=own)
    if wrong:
        raise Invalid([("/credentials/api/base_url", detail) for detail in wrong])


def check_settings(provider: Provider, settings: SourceSettings) -> None:
    """Raises Invalid where a setting that the provider requires is missing, or an expression is wrong."""
    problems = [
        (f"/settings/{name}", "required for this provider")
        for name in provider.description.required_settings
        if name in {own.name for own in fields(SourceSettings)} and not getattr(settings, name)
    ]
    if settings.accept_versions and registry.versions(provider.name) is None:
        problems.append(("/settings/accept_versions", "this provider's webhooks tell no version"))
    if settings.mapping:
        from shared.providers.mapping import InvalidMapping, compiled

        try:
            compiled(settings.mapping)
        except InvalidMapping as wrong:
            expression = [wrong.field] if wrong.field else []
            problems.append((pointer("settings", "mapping", *expression), wrong.detail))
    problems += [
        (pointer("settings", "signature", *path), detail) for path, detail in _unsigned(settings.signature, provider)
    ]
    if problems:
        raise Invalid(problems)


def _unsigned(signature: Mapping[str, Any], provider: Provider) -> Iterator[tuple[tuple[str, ...], str]]:
    """What a signature's settings leave unproved: the place of each fault, and what is wrong with it."""
    if not signature:
        return
    parts = list(signature.get("signed_parts") or ("body",))
    header = str(signature.get("timestamp_header") or "")
    if parts.count("body") != 1:
        yield ("signed_parts",), "must hold body once"
    stamped = "timestamp" in parts or any(part.lower() == f"header:{header.lower()}" for part in parts)
    if header and (signature.get("algorithm") == "plain" or not stamped):
        # Whoever repeats an old webhook could write today's time into it.
        yield ("timestamp_header",), "proves nothing unless timestamp is among signed_parts"
        yield ("signed_parts",), "must hold timestamp where timestamp_header is set"
    if "timestamp" in parts and not header and provider.description.timestamp_header is None:
        yield ("timestamp_header",), "required where timestamp is among signed_parts: it says where the timestamp is"


class VersionsJson(TypedDict):
    """The versions of the provider's payloads that are known."""

    told_in: str
    """Where a webhook names its version."""
    known: list[str]


class CredentialFieldJson(TypedDict):
    """One credential of a source."""

    name: str
    description: str
    required: bool
    generated: bool
    """Made here where it is not given."""
    secret: bool


class BackfillableJson(TypedDict):
    """Its past checkouts can be read, given access to its API (`credentials.api`)."""

    filters: list[str]
    """What they can be narrowed by, besides `since`."""


class ProviderJson(TypedDict):
    """A checkout provider, and how it is connected."""

    provider: str
    title: str
    authentication: str
    """How its webhooks are proved."""
    setup: str
    """Where to paste what."""
    declares_abandonment: bool
    """It says itself when a checkout is abandoned."""
    events: list[str]
    required_settings: list[str]
    url_token: bool
    """It signs nothing: the source's URL carries a token."""
    versions: VersionsJson | None
    pages: list[str]
    """Its own documentation."""
    read: str | None
    """When that was read."""
    credentials: list[CredentialFieldJson]
    backfill: BackfillableJson | None
    """Null where its past checkouts cannot be asked for."""


def describe(name: str) -> ProviderJson:
    """What ``GET /v1/providers`` tells about a provider."""
    provider = registry.provider(name)
    description = provider.description
    versions = registry.versions(name)
    api = api_of(provider)
    return {
        "provider": name,
        "title": description.title,
        "authentication": description.authentication,
        "setup": description.setup,
        "declares_abandonment": description.declares_abandonment,
        "events": list(description.events),
        "required_settings": list(description.required_settings),
        "url_token": description.url_token,
        "versions": None if versions is None else {"told_in": versions.told_in, "known": list(versions.known)},
        "pages": list(description.reading.pages),
        "read": description.reading.read or None,
        "credentials": [
            {
                "name": own.name,
                "description": own.description,
                "required": own.required,
                "generated": own.generated,
                "secret": own.secret,
            }
            for own in description.credentials
        ],
        "backfill": {"filters": sorted(api.filters)} if api is not None and api.lists else None,
    }


def _problems(description: Description, given: GivenCredentials) -> list[tuple[str, str]]:
    wanted = {_group(own.name) for own in description.credentials}
    found = [
        (f"/credentials/{name}", "this provider takes no such credential") for name in sorted(given.names() - wanted)
    ]
    values = {"public_key": [("/credentials/public_key", given.public_key)] if given.public_key else []}
    values["secret"] = [*zip(given.places, given.secrets, strict=True)]
    for own in description.credentials:
        for place, value in values.get(_group(own.name), ()):
            unfit = own.unfit(value)
            if unfit is not None:
                found.append((place, unfit))
    return found


def _group(name: str) -> str:
    """``api.client_id`` and the like belong to ``api``; ``secrets`` is a list of ``secret``."""
    group = name.partition(".")[0]
    return "secret" if group == "secrets" else group
