"""Two open episodes that turn out to be one shopper's: the older stays, and every identifier holds it."""

from typing import Any

from shared.domain.episode import EpisodeStatus
from shared.domain.identity import IdentityKind
from shared.domain.ids import EpisodeId
from shared.store.episodes import EpisodeStore
from shared.store.events import EventRecord, read_event
from shared.store.shoppers import ShopperStore
from tests.integration.shop import MERCHANT, Shop


def who(**given: Any) -> dict[str, Any]:
    return {"dial_code": "91", "address": {}, **given}


def test_a_checkout_with_both_identifiers_joins_the_episodes(shop: Shop) -> None:
    shop.abandon("by-phone", user=who(phone_no="7777711111"))
    shop.settle()
    shop.abandon("by-mail", user=who(email="one@shop.example", phone_no="7777722222"))
    shop.settle()
    older, younger = (EpisodeId(shop.checkout(own).episode_id or "") for own in ("by-phone", "by-mail"))
    assert older != younger

    shop.abandon("both", user=who(email="one@shop.example", phone_no="7777711111"))
    shop.settle()

    episodes = EpisodeStore(shop.table).get_many([older, younger])
    assert episodes[older].status is EpisodeStatus.ACTIVE
    assert (episodes[younger].status, episodes[younger].end_reason) == (EpisodeStatus.ENDED, "joined")
    hasher = shop.stores.hasher
    phones = [hasher.identity(MERCHANT, IdentityKind.PHONE, f"+91{own}") for own in ("7777711111", "7777722222")]
    mail = hasher.identity(MERCHANT, IdentityKind.EMAIL, "one@shop.example")
    records = ShopperStore(shop.table).get_many([*phones, mail])
    assert {own.episode_id for own in records.values()} == {older}

    shop.webhook(session="elsewhere", session_state="COMPLETED", user=who(phone_no="7777722222"))
    ended = EpisodeStore(shop.table).get(older)
    assert ended is not None
    assert (ended.status, ended.end_reason) == (EpisodeStatus.ENDED, "purchased")


def test_a_newer_abandoned_checkout_of_the_shopper_replaces_the_older_one(shop: Shop) -> None:
    shop.endpoint("checkout.abandoned", "checkout.superseded")
    shop.abandon("older")
    shop.settle()
    shop.abandon("newer")
    shop.settle()

    assert [shop.checkout(own).status.value for own in ("older", "newer")] == ["superseded", "abandoned"]
    assert shop.checkout("older").reason is None
    told = [(own.type, own.checkout_digest == shop.digest("older")) for own in map(_event, shop.rows()) if own]
    assert sorted(told) == [
        ("checkout.abandoned", False),
        ("checkout.abandoned", True),
        ("checkout.superseded", True),
    ]
    shop.webhook(session="older", session_state="COMPLETED")
    assert shop.checkout("older").status.value == "recovered"


def _event(row: dict[str, Any]) -> EventRecord | None:
    return read_event(row) if row["sk"].startswith("E#") else None
