"""Consent: who may be messaged over which channel. Unknown is not consent; a merchant may answer for it, a law may not.

``Settings.consent`` says how an unknown consent counts. ``unknown_allowed`` is the merchant's word that its shop
obtained the opt-in although the checkout provider does not pass it on. In the EU and the UK that is not enough: there
the opt-in itself is needed or, for e-mail alone, the soft opt-in with proof that refusal was offered.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Literal

from shared.domain.checkout import Checkout, Consent
from shared.domain.settings import Settings

Policy = Literal["required", "unknown_allowed"]


class Channel(StrEnum):
    """How a shopper is reached. Consent is recorded per channel."""

    EMAIL = "email"
    SMS = "sms"
    WHATSAPP = "whatsapp"


CONTACT_OF = {
    Channel.EMAIL: "customer.email",
    Channel.SMS: "customer.phone",
    Channel.WHATSAPP: "customer.phone",
}
"""The leaf that holds a channel's address."""

_EU = "AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE"
OPT_IN_REGIONS = frozenset(f"{_EU} IS LI NO GB".split())
"""The EU, the rest of the EEA and the United Kingdom: ePrivacy directive, article 13, and PECR, regulation 22."""


def channel_consent(checkout: Checkout, channel: Channel) -> Consent:
    """What the shopper said about a channel; whatever is not a known answer is unknown."""
    said = checkout.text(f"consent.channels.{channel}")
    return Consent(said) if said in set(Consent) else Consent.UNKNOWN


def marketing_consent(checkout: Checkout) -> Consent:
    """Granted only if a channel is, denied only if none is and one is refused."""
    known = {channel_consent(checkout, channel) for channel in Channel}
    return next((own for own in (Consent.GRANTED, Consent.DENIED) if own in known), Consent.UNKNOWN)


def country_of(checkout: Checkout) -> str | None:
    """The alpha-2 country of the shipping address, else of the billing address, else None."""
    codes = (checkout.pair(f"{address}.country")[1] for address in ("shipping_address", "billing_address"))
    return next((code.strip().upper() for code in codes if code and code.strip()), None)


def policy(settings: Settings, countries: Iterable[str]) -> Policy:
    """What is asked of a shopper who may be in any of these countries: the strictest rule among them."""
    return "required" if OPT_IN_REGIONS & set(countries) else settings.consent


def permits(
    consent: Consent, channel: Channel, settings: Settings, countries: Iterable[str], *, soft_opt_in: bool = False
) -> bool:
    """Whether the channel may carry marketing to the shopper.

    ``soft_opt_in``: there is proof that the shopper bought before and was offered refusal; it stands in for a missing
    opt-in by e-mail, never by WhatsApp or SMS.
    """
    if consent is Consent.DENIED:
        return False
    if consent is Consent.GRANTED or policy(settings, countries) == "unknown_allowed":
        return True
    return soft_opt_in and channel is Channel.EMAIL
