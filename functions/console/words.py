"""Plain words and forms for what the API says in names: reasons, statuses, money, times."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from shared.domain.checkout import SAMPLE_PREFIX

REASONS: Mapping[str, str] = {
    "campaign_paused": "the campaign is paused",
    "holdout": "this shopper is in the holdout: nobody there is written to, so that lift can be measured",
    "already_sent": "this message went out before",
    "purchased": "they bought meanwhile",
    "payment_pending": "a payment of theirs is not settled yet",
    "superseded": "a newer checkout of the same shopper took over",
    "below_minimum_total": "the cart is worth less than the minimum you set",
    "shopper_active": "the shopper is still active",
    "too_old": "too much time went by since the checkout was left",
    "no_contact": "there is no phone number and no e-mail address to write to",
    "quarantined": "a webhook of this checkout waits in quarantine and may say that it was bought",
    "suppressed": "the shopper is suppressed: they opted out, or you closed the channel",
    "no_consent": "no consent of the shopper is known for a channel we could use",
    "region_blocked": "this kind of message may not be sent to the shopper's region",
    "frequency_cap": "the shopper got as many messages lately as you allow",
    "criteria_not_met": "the checkout does not meet the campaign's criteria",
    "coupon_unavailable": "no coupon code was left",
    "link_dead": "the way back into the checkout does not work any more",
    "outside_window": "it is quiet hours on the shopper's clock",
    "another_campaign": "another campaign writes to them",
    "incomplete": "the shopper left before buying",
    "payment_failed": "the payment failed",
    "payment_unresolved": "the payment was never settled",
    "provider_declared": "the provider said so",
    "purchased_elsewhere": "they bought in another checkout",
    "merchant": "switched off by you",
}
_ENTRIES: Mapping[str, tuple[str, str]] = {
    "SCHEDULED": ("Message planned", "plan"),
    "NOT_SENT": ("No message sent", "stop"),
    "NOTIFICATION_SENT": ("Message handed over", "good"),
    "TASK_CREATED": ("Handed to your messaging provider", "good"),
    "MESSAGE_DELIVERED": ("Message delivered", "good"),
    "MESSAGE_READ": ("Message read", "good"),
    "MESSAGE_FAILED": ("Message failed", "stop"),
    "UNSUBSCRIBED": ("Shopper unsubscribed", "stop"),
    "LINK_CLICKED": ("Recovery link opened", "good"),
    "discarded": ("Discarded by you", "stop"),
    "begun": ("Checkout begun", "plain"),
    "abandoned": ("Counted as abandoned", "plan"),
    "bought": ("Bought", "good"),
}
_OUTCOMES: Mapping[str, str] = {"delivered": "good", "failed": "stop", "expired": "stop", "skipped": "stop"}


class Entry(NamedTuple):
    """One entry of a timeline as it is shown. ``tone``: plan, good, stop or plain."""

    title: str
    tone: str
    why: str | None


def entry(activity: Mapping[str, Any]) -> Entry:
    """What an activity means."""
    kind = str(activity["type"])
    why = activity["detail"].get("reason")
    title, tone = _ENTRIES.get(kind, (said(kind), "plain"))
    if kind.endswith("_NOT_SENT"):
        title, tone = f"No message sent ({said(kind.removesuffix('_NOT_SENT')).lower()})", "stop"
    elif kind.endswith("_SENT") and kind not in _ENTRIES:
        title, tone = f"{said(kind.removesuffix('_SENT'))} message handed over", "good"
    return Entry(title, tone, None if why is None else reason(str(why)))


def told(delivery: Mapping[str, Any]) -> Entry:
    """What a delivery's place in the timeline means."""
    status = str(delivery["status"])
    title = f"{said(delivery['event_type'])} to an endpoint: {said(status).lower()}"
    return Entry(title, _OUTCOMES.get(status, "plan"), reason(delivery["reason"]) or None)


def is_sample(checkout: Mapping[str, Any]) -> bool:
    """Whether a sample webhook made it, and no shopper."""
    return bool(checkout["test"]) and str(checkout["external_id"]).startswith(SAMPLE_PREFIX)


def label(checkout: Mapping[str, Any]) -> str:
    """What to call a checkout: by its name, by what is in it, by its id."""
    titles = [own["title"] for own in checkout["items"] if own["title"]]
    more = f" and {len(titles) - 1} more" if len(titles) > 1 else ""
    return str(checkout["name"] or (titles and titles[0] + more) or checkout["external_id"] or checkout["id"])


def reason(name: str | None) -> str:
    """Why, in a sentence's words; a name we have no words for is shown as it is."""
    return "" if name is None else REASONS.get(name, said(name).lower())


def said(name: Any) -> str:
    """``payment_pending`` as "Payment pending"."""
    text = str(name).replace("_", " ").replace(".", " ").strip()
    return text[:1].upper() + text[1:].lower() if text else ""


def many(count: int, one: str, more: str | None = None) -> str:
    """``1 checkout``, ``2 checkouts``."""
    return f"{count} {one if count == 1 else more or one + 's'}"


def money(amount: Mapping[str, str] | None) -> str:
    """An amount with its currency, with the decimals that the currency has, as the API says it."""
    if not amount:
        return "-"
    whole, point, part = amount["amount"].partition(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{int(digits or '0'):,}{point}{part} {amount['currency']}"


def percent(rate: float | None) -> str:
    """A rate in percent."""
    return "-" if rate is None else f"{rate * 100:.1f} %"


def masked(text: str | None) -> str:
    """Enough of a phone number or an address to tell two apart, and no more."""
    if not text:
        return "-"
    name, at, host = text.partition("@")
    if at:
        return f"{name[:1]}•••@{host}"
    return f"•••• {text[-2:]}"


def on_clock(at: str, zone: str) -> str:
    """An RFC 3339 instant on a clock, to the second, with the zone's own short name."""
    local = datetime.fromisoformat(at).astimezone(ZoneInfo(zone))
    return f"{local:%-d %b %Y, %H:%M:%S} {local.tzname()}"
