"""Suppressions: a lasting "never contact", kept per identifier and channel, outliving the personal data itself."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from shared.domain.consent import Channel


class SuppressionReason(StrEnum):
    """Why somebody is never contacted again."""

    OPT_OUT = "opt_out"
    HARD_BOUNCE = "hard_bounce"
    COMPLAINT = "complaint"
    REFUSED_BY_VENDOR = "refused_by_vendor"
    MERCHANT = "merchant"


SHOPPERS_OWN = frozenset({SuppressionReason.OPT_OUT, SuppressionReason.REFUSED_BY_VENDOR})
"""What the shopper takes back by opting in again (vendors keep opt-outs too, and refuse by them). Not what the merchant
said, nor a dead address or a complaint."""


class EndReason(StrEnum):
    """Why an episode ended. The first four act at once, without waiting for a gate."""

    REPLIED = "replied"
    OPTED_OUT = "opted_out"
    DISMISSED = "dismissed"
    ERASED = "erased"
    PURCHASED = "purchased"
    JOINED = "joined"
    """Its shopper turned out to be another open episode's, which is older and stays."""
    FOLLOWED = "followed"
    """Its time to send was over when its shopper left a cart again: that one has an episode of its own."""
    TOO_OLD = "too_old"
    HORIZON = "horizon"


def channels_meant(channels: Iterable[str] | None) -> frozenset[Channel]:
    """The channels a request means; without any, all: whoever asks not to be contacted means it."""
    return frozenset(Channel) if channels is None else frozenset(map(Channel, channels))


def suppressed(held: Mapping[Channel, str], channels: Iterable[Channel], reason: str) -> dict[Channel, str]:
    """What an identifier's record holds after a suppression; the first reason of a channel stays."""
    return {**dict.fromkeys(channels, reason), **held}


def lifted(held: Mapping[Channel, str], channels: Iterable[Channel]) -> dict[Channel, str]:
    """What is left after the merchant, or the shopper's own resumption, lifts a suppression."""
    gone = set(channels)
    return {channel: reason for channel, reason in held.items() if channel not in gone}
