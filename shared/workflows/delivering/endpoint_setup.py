"""Registering an endpoint: what its kind allows, which settings are secret, how its signing secret turns over."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from shared.delivery.exchange import DEFAULT_TIMEOUT
from shared.delivery.own_address import OwnAddress
from shared.delivery.signing import generate_private_key, generate_secret, public_key_of
from shared.delivery.target import check_url, with_ascii_host
from shared.destinations import registry
from shared.destinations.destination import Destination
from shared.destinations.destination import Endpoint as Target
from shared.domain.announcement import EventType
from shared.domain.ids import MerchantId
from shared.domain.merchant import (
    ASYMMETRIC,
    SYMMETRIC,
    Endpoint,
    EndpointCredentials,
    PublicKey,
    SigningSecret,
)
from shared.domain.pointer import pointer
from shared.store.configuration import EndpointStore, MerchantStore
from shared.workflows.delivering.refusals import Invalid

DEFAULT_EVENT_TYPES = tuple(own.value for own in EventType if own is not EventType.UPDATED)
"""What an endpoint that takes events gets and names no types: everything but the real-time feed."""
HIDDEN = "***"
"""What stands in an answer for a value that is not shown. Sent back in a change, it means the value that is there."""
_BEARER = "bearer_token"
_COMMON = ("timeout", "retry_schedule", "rate_limit", "filter")
_LIVE_SECRETS = 3
SHORTEST_DELAY = timedelta(seconds=5)
"""Before another attempt; only the stage ``local`` may be quicker."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An endpoint as the merchant wants it: ``settings`` hold durations as timedeltas, secret ones in the clear."""

    kind: str
    url: str | None
    headers: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


def default_event_types(kind: str) -> tuple[str, ...]:
    """The types of an endpoint that names none: message kinds receive campaign steps, not the feed."""
    return DEFAULT_EVENT_TYPES if registry.takes_events(kind) else ()


def check(draft: Draft, *, local: bool, own: OwnAddress | None = None, merchant_id: str = "") -> None:
    """Raises Invalid with everything that is wrong.

    ``local``: the stage that allows loopback and short delays; ``own``: where Checkback itself answers;
    ``merchant_id``: whose endpoint it is to be.
    """
    try:
        kind = registry.destination(draft.kind)
    except registry.UnknownKind:
        raise Invalid([("/kind", f"unknown kind; known are {', '.join(registry.kinds())}")]) from None
    problems = _url_problems(draft, local, own)
    problems += _settings_problems(kind, draft.settings)
    problems += _content_problems(draft.settings)
    problems += _hidden_problems(draft)
    delays: Any = draft.settings.get("retry_schedule") or []
    if not local:
        problems += [
            (f"/settings/retry_schedule/{position}", "at least PT5S")
            for position, delay in enumerate(delays)
            if delay < SHORTEST_DELAY
        ]
    if not problems:
        problems = kind.problems(_target(draft, merchant_id))
    if problems:
        raise Invalid(problems)


def unhidden(given: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """What is given, with the known value where ``HIDDEN`` stands for it; names are the same in either case."""
    there = {name.lower(): value for name, value in known.items()}
    return {name: there.get(name.lower(), value) if value == HIDDEN else value for name, value in given.items()}


def secret_names(kind: str) -> frozenset[str]:
    """The settings of a kind that are stored encrypted and never shown again."""
    properties = registry.destination(kind).settings.get("properties", {})
    return frozenset({_BEARER, *(name for name, schema in properties.items() if schema.get("writeOnly"))})


def with_contents(endpoint: Endpoint, draft: Draft, seal: Callable[[EndpointCredentials], bytes],
                  signing: tuple[SigningSecret, ...]) -> Endpoint:  # fmt: skip
    """The endpoint with the draft's contents; ``seal`` encrypts what is secret.

    ``signing`` are its secrets so far: a private key is made with the scheme that wants one, and goes with it.
    """
    hidden = secret_names(draft.kind)
    open_settings = {name: _stored(value) for name, value in draft.settings.items() if name not in hidden}
    if isinstance(open_settings.get("base_url"), str):
        open_settings["base_url"] = with_ascii_host(open_settings["base_url"])
    secret_settings = {name: str(value) for name, value in draft.settings.items() if name in hidden}
    signing = _of_schemes(signing, draft.settings.get("signatures") or (SYMMETRIC,))
    credentials = EndpointCredentials(
        signing=signing,
        bearer_token=secret_settings.get(_BEARER),
        headers=dict(draft.headers),
        settings={name: value for name, value in secret_settings.items() if name != _BEARER},
    )
    return replace(
        endpoint,
        url=None if draft.url is None else with_ascii_host(draft.url),
        settings=open_settings,
        header_names=tuple(draft.headers),
        secret_settings=tuple(secret_settings),
        sealed=seal(credentials),
        public_keys=public_keys(signing),
    )


def _stored(value: Any) -> Any:
    """Durations as milliseconds, wherever they stand."""
    if isinstance(value, timedelta):
        return value // timedelta(milliseconds=1)
    if isinstance(value, dict):
        return {name: _stored(part) for name, part in value.items()}
    return [_stored(part) for part in value] if isinstance(value, list) else value


def draft_of(endpoint: Endpoint, credentials: EndpointCredentials) -> Draft:
    """The endpoint as it stands, to be changed. Durations are timedeltas again."""
    settings: dict[str, Any] = dict(endpoint.settings)
    if "timeout" in settings:
        settings["timeout"] = timedelta(milliseconds=settings["timeout"])
    if "retry_schedule" in settings:
        settings["retry_schedule"] = [timedelta(milliseconds=delay) for delay in settings["retry_schedule"]]
    if "rate_limit" in settings:
        limit = settings["rate_limit"]
        settings["rate_limit"] = {"max": limit["max"], "per": timedelta(milliseconds=limit["per"])}
    settings |= credentials.settings
    if credentials.bearer_token is not None:
        settings[_BEARER] = credentials.bearer_token
    return Draft(endpoint.kind, endpoint.url, credentials.headers, settings)


def first_secret() -> tuple[SigningSecret, ...]:
    """The signing secrets of a new endpoint. Made whatever its schemes: it may want ``v1`` later."""
    return (SigningSecret(generate_secret()),)


def rotated(signing: tuple[SigningSecret, ...], now: datetime, overlap: timedelta) -> tuple[SigningSecret, ...]:
    """The signing secrets after a rotation: of each scheme a new one first, the older ones for ``overlap`` at most."""
    ends = now + overlap
    older = [
        SigningSecret(own.secret, ends if own.expires_at is None else min(own.expires_at, ends)) for own in signing
    ]
    living = [own for own in older if own.expires_at is not None and own.expires_at > now]
    turned = [*first_secret(), *(own for own in living if own.scheme == SYMMETRIC)][:_LIVE_SECRETS]
    if any(own.scheme == ASYMMETRIC for own in signing):
        private = [SigningSecret(generate_private_key()), *(own for own in living if own.scheme == ASYMMETRIC)]
        turned += private[:_LIVE_SECRETS]
    return tuple(turned)


def public_keys(signing: Iterable[SigningSecret]) -> tuple[PublicKey, ...]:
    """The public halves of the private keys, to be shown to anybody."""
    return tuple(PublicKey(public_key_of(own.secret), own.expires_at) for own in signing if own.scheme == ASYMMETRIC)


def _of_schemes(signing: tuple[SigningSecret, ...], schemes: Collection[str]) -> tuple[SigningSecret, ...]:
    """The secrets, with a private key where ``v1a`` is wanted, and without where it is not."""
    symmetric = tuple(own for own in signing if own.scheme == SYMMETRIC)
    if ASYMMETRIC not in schemes:
        return symmetric
    private = tuple(own for own in signing if own.scheme == ASYMMETRIC)
    return (*symmetric, *(private or (SigningSecret(generate_private_key()),)))


def refresh_flags(merchants: MerchantStore, endpoints: EndpointStore, merchant_id: MerchantId) -> None:
    """Tell ingest what the merchant's endpoints ask for; nothing is written where it stands so already.

    Read again after writing: of two changes at once, whoever writes the flags last has then seen both.
    """
    flags = _flags(endpoints, merchant_id)
    told = merchants.standing(merchant_id)
    if told is not None and (told.value.feed, told.value.raw) == flags:
        return
    for _ in range(3):
        merchants.flag(merchant_id, feed=flags[0], raw=flags[1])
        seen = _flags(endpoints, merchant_id)
        if seen == flags:
            return
        flags = seen


def _flags(endpoints: EndpointStore, merchant_id: MerchantId) -> tuple[bool, bool]:
    every = [own.value for own in endpoints.listed(merchant_id)]
    feed = any(own.wants(EventType.UPDATED) for own in every if own.active)
    # What is held for a disabled endpoint needs its body once it is recovered.
    return feed, any(own.settings.get("payload") == "provider" for own in every)


def _url_problems(draft: Draft, local: bool, own: OwnAddress | None) -> list[tuple[str, str]]:
    problems = []
    if draft.url is None and draft.kind == "webhook":
        problems.append(("/url", "required for this kind"))
    urls = {"/url": draft.url, "/settings/base_url": draft.settings.get("base_url")}
    for where, url in urls.items():
        if isinstance(url, str):
            problems += [(where, detail) for detail in check_url(url, allow_loopback=local, own=own)]
    if "?" in str(urls["/settings/base_url"] or ""):
        problems.append(("/settings/base_url", "must not hold a query: the vendor's paths go behind it"))
    return problems


def _hidden_problems(draft: Draft) -> list[tuple[str, str]]:
    """Where ``HIDDEN`` stands for nothing: nobody's secret is that."""
    detail = f"{HIDDEN} stands for a value that is not shown, and there is none: give the value itself"
    settings = (name for name in secret_names(draft.kind) if draft.settings.get(name) == HIDDEN)
    headers = (name for name, value in draft.headers.items() if value == HIDDEN)
    return [
        *((pointer("settings", name), detail) for name in settings),
        *((pointer("headers", name), detail) for name in headers),
    ]


def _content_problems(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with the content filter and the payload's template."""
    from shared.domain.criteria import parse

    _, problems = parse(settings.get("filter"), "/settings/filter", new=True)
    payload = settings.get("payload")
    if isinstance(payload, Mapping):
        from shared.destinations.liquid import syntax_problem

        wrong = syntax_problem(str(payload.get("liquid", "")), "json")
        problems += [("/settings/payload/liquid", wrong)] if wrong else []
    return problems


def _settings_problems(kind: Destination, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    schema = kind.settings
    known: Mapping[str, Any] = schema.get("properties", {})
    common = {*_COMMON, _BEARER}
    problems = [
        (pointer("settings", name), "unknown field for this kind")
        for name in settings
        if name not in known and name not in common
    ]
    own = {name: value for name, value in settings.items() if name in known and name not in common}
    required = [name for name in schema.get("required", ()) if name not in settings]
    problems += [(pointer("settings", name), "required for this kind") for name in required]
    if own:
        from jsonschema import Draft202012Validator

        validator = Draft202012Validator({"type": "object", "properties": known})
        for error in validator.iter_errors(own):
            problems.append((pointer("settings", *error.absolute_path), _told(error.validator)))
    return problems


def _told(rule: Any) -> str:
    """The rule that was broken, without the value: it may be a secret."""
    return f"does not fit the kind's schema ({rule})"


def _target(draft: Draft, merchant_id: str) -> Target:
    return Target(
        id="",
        kind=draft.kind,
        url=draft.url or str(draft.settings.get("base_url") or ""),
        bearer_token=draft.settings.get(_BEARER),
        headers=draft.headers,
        settings=draft.settings,
        timeout=draft.settings.get("timeout", DEFAULT_TIMEOUT),
        merchant_id=merchant_id,
    )
