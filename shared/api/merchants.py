"""Merchants and tokens: request bodies, and how they are shown."""

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from pydantic import Field

from shared.api.fields import (
    WHOLE,
    Country,
    Currency,
    Duration,
    Host,
    Name,
    Patch,
    Strict,
    TimeOfDay,
    Timezone,
    WebhooksPerMinute,
    duration_text,
    lasting,
    without_default,
)
from shared.api.problems import FieldError, invalid
from shared.domain.instants import DurationText, InstantText, to_rfc3339
from shared.domain.merchant import Merchant
from shared.domain.money import Money, MoneyJson, parse_money
from shared.domain.pointer import pointer
from shared.domain.settings import QuietHours, Settings, duration_range, out_of_range
from shared.store.configuration import TokenRecord

_DEFAULTS = Settings()
MOST_LIST_SHARDS = 16


def _ranged(name: str) -> Any:
    return lasting(*duration_range(name, local=False))


class QuietHoursBody(Strict):
    """The time in which nothing is sent, on the recipient's clock; it may span midnight; `start` and `end` differ."""

    start: TimeOfDay
    end: TimeOfDay

    def over(self, before: QuietHours | None) -> QuietHours:
        """The hours in place of those of before. Raises Problem 422 where nobody can tell a whole day from none.

        What is stored so from before this was asked may be sent again.
        """
        hours = QuietHours(self.start, self.end)
        if hours.start == hours.end and hours != before:
            detail = "must differ from start: a whole day would be as good as no campaign, and null is for none"
            raise invalid([FieldError(detail, pointer("settings", "quiet_hours", "end"))])
        return hours


class LeastBody(Strict):
    """An amount from which a cart is worth a message; zero: one of free samples is."""

    amount: Annotated[str, Field(pattern=r"^[0-9]{1,12}([.][0-9]{1,4})?$")]
    currency: Currency

    def money(self, at: int) -> Money:
        """The amount. Raises Problem 422 for more decimals than the currency has."""
        found = parse_money(self.amount, self.currency)
        if found is None or Decimal(found.amount()) != Decimal(self.amount):
            where = pointer("settings", "minimum_total", at, "amount")
            raise invalid([FieldError("has more decimals than its currency", where)])
        return found


class SettingsBody(Patch):
    """A merchant's rules. What is not named stays as it is (at first: the default shown)."""

    idle_after: Annotated[Duration, _ranged("idle_after")] = _DEFAULTS.idle_after
    recovery_horizon: Annotated[Duration, _ranged("recovery_horizon")] = _DEFAULTS.recovery_horizon
    retention: Annotated[Duration, _ranged("retention")] = _DEFAULTS.retention
    cooldown: Annotated[Duration, _ranged("cooldown")] = _DEFAULTS.cooldown
    min_step_gap: Annotated[Duration, _ranged("min_step_gap")] = _DEFAULTS.min_step_gap
    payment_pending_after: Annotated[Duration, _ranged("payment_pending_after")] = _DEFAULTS.payment_pending_after
    do_not_send_after: Annotated[Duration, _ranged("do_not_send_after")] = _DEFAULTS.do_not_send_after
    quiet_hours: QuietHoursBody | None = Field(
        default=QuietHoursBody.model_construct(
            start=_DEFAULTS.quiet_hours.start, end=_DEFAULTS.quiet_hours.end  # type: ignore[union-attr]  # set above
        ),
        description="None at all where null; at first 21:00 to 09:00",
        json_schema_extra=without_default,
    )  # fmt: skip
    consent: Literal["required", "unknown_allowed"] = _DEFAULTS.consent
    holdout_percent: Annotated[int, Field(ge=0, le=100), WHOLE] = _DEFAULTS.holdout_percent
    minimum_total: Annotated[list[LeastBody], Field(max_length=50)] = Field(default_factory=list)
    """One amount per currency; in any other a total must be above zero. Replaced whole."""

    @classmethod
    def nullable(cls) -> frozenset[str]:
        """No quiet hours at all is a choice."""
        return frozenset({"quiet_hours"})

    def on(self, settings: Settings, *, local: bool) -> Settings:
        """The settings with what the request names. Raises Problem 422 for a duration out of its range."""
        given = self.given()
        if "quiet_hours" in given and self.quiet_hours is not None:
            given["quiet_hours"] = self.quiet_hours.over(settings.quiet_hours)
        if "minimum_total" in given:
            given["minimum_total"] = self._minimum_total()
        changed = replace(settings, **given)
        wrong = {name: own for name, own in out_of_range(changed, local=local).items() if name in given}
        if wrong:
            raise invalid([FieldError(_range(*own), pointer("settings", name)) for name, own in wrong.items()])
        return changed

    def _minimum_total(self) -> tuple[Money, ...]:
        least = tuple(own.money(at) for at, own in enumerate(self.minimum_total))
        twice = [at for at, own in enumerate(least) if own.currency in {other.currency for other in least[:at]}]
        if twice:
            wrong = [FieldError("a currency stands once", pointer("settings", "minimum_total", at)) for at in twice]
            raise invalid(wrong)
        return least


class OperatorSettingsBody(SettingsBody):
    """A merchant's rules and what only the operator sets. ``list_shards`` may only rise: rows keep their shard."""

    list_shards: Annotated[int, Field(ge=1, le=MOST_LIST_SHARDS), WHOLE] = _DEFAULTS.list_shards
    webhooks_per_minute: WebhooksPerMinute | None = None

    @classmethod
    def nullable(cls) -> frozenset[str]:
        """No limit of its own: the stage's."""
        return super().nullable() | {"webhooks_per_minute"}

    def on(self, settings: Settings, *, local: bool) -> Settings:
        """As the merchant's own. Raises Problem 422 for fewer list shards."""
        changed = super().on(settings, local=local)
        if changed.list_shards < settings.list_shards:
            raise invalid([FieldError("may only rise", pointer("settings", "list_shards"))])
        return changed


class MerchantBody(Strict):
    """A new merchant."""

    name: Name
    store_domains: Annotated[list[Host], Field(max_length=50)] = Field(default_factory=list)
    country: Country = "IN"
    currency: Currency = "INR"
    timezone: Timezone = "Asia/Kolkata"
    settings: OperatorSettingsBody = Field(default=OperatorSettingsBody(), json_schema_extra=without_default)


class _ProfilePatch(Patch):
    name: Name = Field(default_factory=str)
    store_domains: Annotated[list[Host], Field(max_length=50)] = Field(default_factory=list)
    country: Country = Field(default_factory=str)
    currency: Currency = Field(default_factory=str)
    timezone: Timezone = Field(default_factory=str)

    def _changed(self, merchant: Merchant, settings: SettingsBody, *, local: bool) -> Merchant:
        given = {name: value for name, value in self.given().items() if name != "settings"}
        if "store_domains" in given:
            given["store_domains"] = tuple(dict.fromkeys(given["store_domains"]))
        return replace(merchant, **given, settings=settings.on(merchant.settings, local=local))


class MerchantPatch(_ProfilePatch):
    """Changes a merchant makes to itself."""

    settings: SettingsBody = Field(default=SettingsBody(), json_schema_extra=without_default)

    def on(self, merchant: Merchant, *, local: bool) -> Merchant:
        """The merchant with what the request names. Raises Problem 422 for a store domain that is not its own yet."""
        foreign = [at for at, host in enumerate(self.store_domains) if not _within(host, merchant.store_domains)]
        if foreign:
            detail = "only the operator adds a store domain; hosts under those you have may be named"
            raise invalid([FieldError(detail, pointer("store_domains", at)) for at in foreign])
        return self._changed(merchant, self.settings, local=local)


class OperatorMerchantPatch(_ProfilePatch):
    """Changes the operator makes to a merchant."""

    settings: OperatorSettingsBody = Field(default=OperatorSettingsBody(), json_schema_extra=without_default)

    def on(self, merchant: Merchant, *, local: bool) -> Merchant:
        """The merchant with what the request names."""
        return self._changed(merchant, self.settings, local=local)


class TokenBody(Strict):
    """A new token; the name is for the merchant's own overview."""

    name: Name | None = None


class QuietHoursJson(TypedDict):
    """The time in which nothing is sent, on the recipient's clock, `HH:MM`."""

    start: str
    end: str


class SettingsJson(TypedDict):
    """A merchant's rules."""

    idle_after: DurationText
    recovery_horizon: DurationText
    retention: DurationText
    cooldown: DurationText
    min_step_gap: DurationText
    payment_pending_after: DurationText
    do_not_send_after: DurationText
    quiet_hours: QuietHoursJson | None
    consent: Literal["required", "unknown_allowed"]
    holdout_percent: int
    minimum_total: list[MoneyJson]
    list_shards: int
    webhooks_per_minute: NotRequired[int]
    """Where the operator set one of its own."""


class MerchantJson(TypedDict):
    """A shop."""

    id: str
    name: str
    store_domains: list[str]
    country: str
    """ISO 3166-1 alpha-2."""
    currency: str
    """ISO 4217."""
    timezone: str
    """IANA."""
    settings: SettingsJson
    created_at: InstantText


class NewMerchantJson(MerchantJson):
    """A new merchant, with its first token: it is shown once."""

    token: str


class ErasingMerchantJson(TypedDict):
    """More is left than one call can erase."""

    id: str
    status: Literal["erasing"]


class TokenJson(TypedDict):
    """A token as it is listed: never itself."""

    id: str
    name: str | None
    created_at: InstantText


class NewTokenJson(TokenJson):
    """A new token: it is shown once."""

    token: str


def merchant_json(merchant: Merchant) -> MerchantJson:
    """A merchant as the API shows it."""
    return {
        "id": merchant.id,
        "name": merchant.name,
        "store_domains": list(merchant.store_domains),
        "country": merchant.country,
        "currency": merchant.currency,
        "timezone": merchant.timezone,
        "settings": settings_json(merchant.settings),
        "created_at": to_rfc3339(merchant.created_at),
    }


def settings_json(settings: Settings) -> SettingsJson:
    """The settings as the API shows them."""
    hours = settings.quiet_hours
    shown: SettingsJson = {
        "idle_after": duration_text(settings.idle_after),
        "recovery_horizon": duration_text(settings.recovery_horizon),
        "retention": duration_text(settings.retention),
        "cooldown": duration_text(settings.cooldown),
        "min_step_gap": duration_text(settings.min_step_gap),
        "payment_pending_after": duration_text(settings.payment_pending_after),
        "do_not_send_after": duration_text(settings.do_not_send_after),
        "quiet_hours": None if hours is None else {"start": f"{hours.start:%H:%M}", "end": f"{hours.end:%H:%M}"},
        "consent": settings.consent,
        "holdout_percent": settings.holdout_percent,
        "minimum_total": [own.as_json() for own in settings.minimum_total],
        "list_shards": settings.list_shards,
    }
    if settings.webhooks_per_minute is not None:
        shown["webhooks_per_minute"] = settings.webhooks_per_minute
    return shown


def token_json(token: TokenRecord) -> TokenJson:
    """A token as it is listed: never itself."""
    return {"id": token.id, "name": token.name, "created_at": to_rfc3339(token.created_at)}


def _within(host: str, domains: Collection[str]) -> bool:
    return any(host == own or host.endswith(f".{own}") for own in domains)


def _range(least: timedelta, greatest: timedelta) -> str:
    return f"must lie between {duration_text(least)} and {duration_text(greatest)}"
